#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>

#include "client/object_store.h"

namespace lakefuse {

// What this mount knows of versions for as long as it serves: which of them it last met at a path, and which
// addresses it linked itself. Safe to use from many threads at once.
class KnownVersions {
 public:
  // The version that this mount last opened or published at a path: what a rename may replace there (W6).
  void met(const std::string& path, const ObjectInfo& version);
  void removed(
      const std::string& path);  // What it had met there: what comes later is no other version of it.
  [[nodiscard]] std::optional<ObjectInfo> last_met(const std::string& path) const;

  void is_ours_now(const std::string& physical_address);
  [[nodiscard]] bool is_ours(const std::string& physical_address) const;

 private:
  mutable std::mutex mutex_;  // A leaf. Guards all below.
  std::map<std::string, ObjectInfo> met_;
  std::unordered_set<std::string> ours_;
};

}  // namespace lakefuse
