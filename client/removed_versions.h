#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "client/object_store.h"
#include "client/publish_look.h"

namespace lakefuse {

// What was removed of late, by path: the server undoes a removal that it acknowledged where a commit was just
// beginning and none had the object before (design rule 3). Who meets such a version again where nothing
// should be then knows that it may be nobody's. Bounded: what is oldest is forgotten first. Safe to use from
// many threads at once; no call blocks.
class RemovedVersions {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  // The version that was there; the one that was removed there before is forgotten.
  void add(const std::string& path, const ObjectInfo& version, Moment now = std::chrono::steady_clock::now());
  // Whether this is the very object that was removed there.
  [[nodiscard]] bool has(const std::string& path, const ObjectInfo& found,
                         Moment now = std::chrono::steady_clock::now()) const;

 private:
  struct Removed {
    std::string physical_address;
    Moment when;
  };

  mutable std::mutex mutex_;                          // A leaf. Guards all below.
  std::unordered_map<std::string, Removed> by_path_;  // Each has its place in order_, the oldest first.
  std::deque<std::pair<Moment, std::string>> order_;
};

// Whether `found` is nobody's: removed here, and brought back by a commit, which has it. One that no commit
// has was put there by somebody, at the same address where the server clones (lakeFS 1.71 to 1.78): to remove
// it could lose it. One call, none where nothing was removed there.
Result<bool> is_undone_removal(ObjectStore& lake, const RemovedVersions& removed, const ObjectPath& path,
                               const ObjectInfo& found);

}  // namespace lakefuse
