#pragma once

#include <doctest/doctest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/cache/support.h"

namespace lakefuse::test {

// A disk of a few pages, for tests of what happens when it is full. Only root can have one: tests ask first.
class TinyDisk {
 public:
  explicit TinyDisk(std::uint64_t size_bytes) {
    const std::string options = "mode=0700,size=" + std::to_string(size_bytes);
    is_there_ = ::mount("lakefuse-test", scratch_.path().c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!is_there_) MESSAGE("skipped, for it needs a small disk of its own: mount: " << std::strerror(errno));
  }
  ~TinyDisk() {
    if (is_there_) ::umount2(scratch_.path().c_str(), MNT_DETACH);
  }
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;

  explicit operator bool() const { return is_there_; }
  [[nodiscard]] const std::filesystem::path& path() const { return scratch_.path(); }

 private:
  ScratchDirectory scratch_;
  bool is_there_ = false;
};

}  // namespace lakefuse::test
