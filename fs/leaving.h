#pragma once

#include <string>

#include "fs/filesystem_core.h"

namespace lakefuse {

// An rmdir that waits for promised unlinks (--writeback), as long as this lives: each emptied directory would
// get a marker otherwise, three calls of work for the rmdir to remove with a fourth.
class FilesystemCore::Leaving {
 public:
  Leaving(FilesystemCore& core, InodePtr directory, std::string path);
  ~Leaving();  // Not gone: the directory is kept after all.
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

  void is_gone() { is_gone_ = true; }

 private:
  FilesystemCore& core_;
  const InodePtr directory_;
  const std::string path_;
  bool is_gone_ = false;
};

}  // namespace lakefuse
