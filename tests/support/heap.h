#pragma once

#include <malloc.h>
#include <sys/types.h>

#include <cstddef>
#include <fstream>
#include <optional>
#include <string>

namespace lakefuse::test {

// What this process has in use on its heap; nothing where a sanitizer's allocator is in its place.
inline std::optional<std::size_t> heap_bytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return std::nullopt;
#else
  return ::mallinfo2().uordblks;
#endif
}

// What a process has in memory; -1 where that cannot be read.
inline long resident_kib(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string word; status >> word;) {
    long kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  return -1;
}

}  // namespace lakefuse::test
