#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fs/inode.h"

namespace lakefuse {

// Names that the mount shows as absent although the lake still holds an object there: those that a rename to
// a temporary or local name left behind (W9), until they are published anew or a while has passed, so that an
// editor that moves the file out of the way before it writes the new one never takes it from the other
// clients; and those whose removal is promised and not done (--writeback). Safe to use from many threads at
// once; no call blocks.
class VacatedNames {
 public:
  struct Vacated {
    ObjectInfo version;  // What the lake still holds, at its path.
    InodePtr directory;
    std::string key;
    Moment due;
  };

  void add(Vacated name);
  // The name is somebody's again: what is there now is shown, equal or not.
  void forget(const std::string& path);
  void forget_below(const std::string& prefix);
  // What is still there at that path.
  [[nodiscard]] std::optional<ObjectInfo> at(const std::string& path) const;
  // Whether the mount shows this entry of the lake as absent.
  [[nodiscard]] bool hides(const ObjectInfo& object) const;
  // Those below `prefix` whose time has come.
  [[nodiscard]] std::vector<Vacated> due(const std::string& prefix, Moment now) const;
  void put_off(const std::string& path, Moment due);

  // A removal that is promised, until it is done.
  void hide(const RemovalRecord& removal);
  void unhide(const RemovalRecord& removal);
  // Whether one is promised at a path that begins so.
  [[nodiscard]] bool hides_below(const std::string& prefix) const;

 private:
  mutable std::mutex mutex_;              // A leaf.
  std::map<std::string, Vacated> names_;  // Guarded by mutex_, as all below. By path on the branch.
  std::multimap<std::string, RemovalRecord> removals_;
};

}  // namespace lakefuse
