#pragma once

#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/mount/files.h"

namespace lakefuse::test {

// A disk of its own, so small that a test can fill it.
class TinyDisk {
 public:
  explicit TinyDisk(const std::string& size) {
    const std::string options = "mode=0700,size=" + size;
    mounted_ = ::mount("tmpfs", scratch_.path().c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  ~TinyDisk() {
    if (mounted_) ::umount2(scratch_.path().c_str(), MNT_DETACH);
  }
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;
  [[nodiscard]] bool is_there() const { return mounted_; }
  [[nodiscard]] const std::filesystem::path& path() const { return scratch_.path(); }
  [[nodiscard]] std::uint64_t free_bytes() const {
    struct statvfs facts {};
    return ::statvfs(scratch_.path().c_str(), &facts) == 0 ? facts.f_bavail * facts.f_frsize : 0;
  }

 private:
  const ScratchDirectory scratch_;
  bool mounted_ = false;
};

}  // namespace lakefuse::test

// Ends a test that needs a disk of its own where it cannot have one.
#define NEEDS_DISK(disk)                                   \
  if (!(disk).is_there()) {                                \
    MESSAGE("skipped: mounting a small tmpfs needs root"); \
    return;                                                \
  }
