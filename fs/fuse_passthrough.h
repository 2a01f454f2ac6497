#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "fs/filesystem.h"
#include "fs/fuse_api.h"

namespace lakefuse {

// Which open files the kernel reads by itself, from files that the read cache lends (FUSE passthrough). The
// kernel wants all opens of one node to go the same way, by one registered file: the first one says which,
// until the last is closed. Safe to use from many threads at once; takes microseconds. Where libfuse, the
// kernel or the cache's disk has no such thing, each open goes the old way, and status says why.
class FusePassthrough {
 public:
  // At init, before all else. Only a mount that nobody can write by has it: a write would have to go to the
  // file.
  void begin(Filesystem& filesystem, fuse_conn_info* kernel);

  // Says in `file`, which is about to go to the kernel, which way this open goes.
  void opened(fuse_req_t request, fuse_ino_t node, const OpenedFile& opened, Filesystem& filesystem,
              fuse_file_info* file);
  // Once for each of those: by a request that is still to be answered; null where the answer did not get
  // through.
  void closed(fuse_req_t request, fuse_ino_t node);

 private:
  struct Opens {
    std::uint64_t count = 0;
    int backing_id = 0;  // 0: by way of us.
  };

  bool is_on_ = false;                           // Constant after begin().
  std::mutex mutex_;                             // A leaf.
  std::unordered_map<fuse_ino_t, Opens> opens_;  // Guarded by mutex_.
};

}  // namespace lakefuse
