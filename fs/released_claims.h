#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cache/spool.h"
#include "client/object_store.h"
#include "fs/inode.h"

namespace lakefuse {

// Claims (W5) that are given up, and may be on the lake all the same: their creation failed and the lake
// could not be asked what had become of it, or the server undid their removal (rule 3). Each is looked at
// again, more than once, and taken away where it is still ours. Safe to use from many threads at once; no
// call blocks.
class ReleasedClaims {
 public:
  struct Claim {
    std::string path;
    std::string nonce;                            // Of one that was never seen there; else:
    std::optional<ObjectInfo> version;            // what was there.
    std::shared_ptr<SpoolFile> record = nullptr;  // For the next mount, until the last look.
    Moment due = {};
    int looks_left = 2;
  };

  void add(Claim claim);
  // Renamed back: servers of 1.71 to 1.78 may copy to the same address.
  void forget(const std::string& path);
  std::vector<Claim> take_due(Moment now);

 private:
  std::mutex mutex_;           // A leaf.
  std::vector<Claim> claims_;  // Guarded by mutex_.
};

}  // namespace lakefuse
