#pragma once

#include <malloc.h>

#include <cstddef>
#include <optional>

namespace lakefuse::test {

// What this process has in use on its heap; nothing where a sanitizer's allocator is in its place.
inline std::optional<std::size_t> heap_bytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return std::nullopt;
#else
  return ::mallinfo2().uordblks;
#endif
}

}  // namespace lakefuse::test
