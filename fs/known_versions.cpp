#include "fs/known_versions.h"

namespace lakefuse {
namespace {

constexpr std::size_t kMetRemembered = 100'000;     // For renames over them.
constexpr std::size_t kOursRemembered = 1'000'000;  // For commit's question.

}  // namespace

bool KnownVersions::is_ours(const std::string& physical_address) const {
  const std::lock_guard lock(mutex_);
  return ours_.contains(physical_address);
}

void KnownVersions::is_ours_now(const std::string& physical_address) {
  const std::lock_guard lock(mutex_);
  if (ours_.size() < kOursRemembered) ours_.insert(physical_address);
}

void KnownVersions::met(const std::string& path, const ObjectInfo& version) {
  const std::lock_guard lock(mutex_);
  if (met_.size() >= kMetRemembered && !met_.contains(path)) met_.erase(met_.begin());
  met_[path] = version;
}

void KnownVersions::removed(const std::string& path) {
  const std::lock_guard lock(mutex_);
  met_.erase(path);
}

std::optional<ObjectInfo> KnownVersions::last_met(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = met_.find(path);
  return found == met_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace lakefuse
