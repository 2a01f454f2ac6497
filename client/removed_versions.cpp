#include "client/removed_versions.h"

namespace lakefuse {
namespace {

// The commit that brings a version back was running when it was removed; with hooks it takes its time. What
// is there again after that was put there by somebody.
constexpr std::chrono::minutes kLongestCommit{1};
constexpr std::size_t kMostRemembered = 10'000;

}  // namespace

void RemovedVersions::add(const std::string& path, const ObjectInfo& version, Moment now) {
  const std::lock_guard lock(mutex_);
  by_path_.insert_or_assign(path, Removed{version.physical_address, now});
  order_.emplace_back(now, path);
  while (order_.size() > kMostRemembered || order_.front().first + kLongestCommit < now) {
    const auto oldest = by_path_.find(order_.front().second);
    if (oldest != by_path_.end() && oldest->second.when == order_.front().first) by_path_.erase(oldest);
    order_.pop_front();
  }
}

bool RemovedVersions::has(const std::string& path, const ObjectInfo& found, Moment now) const {
  const std::lock_guard lock(mutex_);
  const auto removed = by_path_.find(path);
  return removed != by_path_.end() && removed->second.physical_address == found.physical_address &&
         now <= removed->second.when + kLongestCommit;
}

Result<bool> is_undone_removal(ObjectStore& lake, const RemovedVersions& removed, const ObjectPath& path,
                               const ObjectInfo& found) {
  if (!removed.has(path.str(), found)) return false;
  const auto committed = look_at(lake, path, ObjectStore::Look::kCommitted);
  if (!committed) return committed.error();
  return *committed && (*committed)->physical_address == found.physical_address;
}

}  // namespace lakefuse
