#include "tests/support/memory_branch.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace lakefuse::test {
namespace {

// graveler's BranchWriteMaxTries.
constexpr int kMaxTries = 3;

bool same_identity(const ObjectInfo& a, const ObjectInfo& b) {
  return a.size_bytes == b.size_bytes && a.checksum == b.checksum && a.metadata == b.metadata &&
         a.content_type == b.content_type;
}

bool same_record(const std::optional<ObjectInfo>& a, const std::optional<ObjectInfo>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->physical_address == b->physical_address && same_identity(*a, *b);
}

void put(MemoryBranch::Entries& entries, const std::string& path, const std::optional<ObjectInfo>& value) {
  if (!value) {
    entries.erase(path);
    return;
  }
  const auto [at, is_new] = entries.emplace(path, *value);
  if (!is_new && !same_identity(at->second, *value)) at->second = *value;
}

}  // namespace

std::optional<ObjectInfo> MemoryBranch::find_locked(const std::string& path) const {
  if (const auto staged = staging_->find(path); staged != staging_->end()) return staged->second;
  for (const auto& token : sealed_)
    if (const auto found = token->find(path); found != token->end()) return found->second;
  if (const auto found = committed_.find(path); found != committed_.end()) return found->second;
  return std::nullopt;
}

bool MemoryBranch::occurs_locked(const std::string& path) const {
  const auto holds = [&](const auto& token) { return token->contains(path); };
  return committed_.contains(path) || std::any_of(sealed_.begin(), sealed_.end(), holds);
}

std::optional<ObjectInfo> MemoryBranch::find(const std::string& path) const {
  std::lock_guard lock(mutex_);
  if (auto ghost = std::exchange(ghost_, std::nullopt); ghost && ghost->path == path) return ghost;
  return find_locked(path);
}

MemoryBranch::Entries MemoryBranch::all() const {
  std::lock_guard lock(mutex_);
  Entries entries = committed_;
  const auto lay_over = [&](const Token& token) {
    for (const auto& [path, value] : token) {
      entries.erase(path);
      if (value) entries.emplace(path, *value);
    }
  };
  for (auto token = sealed_.rbegin(); token != sealed_.rend(); ++token) lay_over(**token);
  lay_over(*staging_);
  return entries;
}

std::optional<ObjectInfo> MemoryBranch::find_committed(const std::string& path) const {
  std::lock_guard lock(mutex_);
  const auto found = committed_.find(path);
  return found == committed_.end() ? std::nullopt : std::optional(found->second);
}

Result<> MemoryBranch::write(const std::string& path, bool strict, const Change& change) {
  for (int attempt = 0; attempt < kMaxTries; ++attempt) {
    std::shared_ptr<Token> token;
    std::optional<ObjectInfo> before;
    {
      std::lock_guard lock(mutex_);
      token = staging_;
      before = find_locked(path);
    }
    std::this_thread::yield();
    {
      std::lock_guard lock(mutex_);
      const auto staged = token->find(path);
      const std::optional<ObjectInfo> current = staged != token->end() ? staged->second : before;
      if (strict && !same_record(current, before)) return Error{Errc::kUnavailable, "predicate failed"};
      auto changed = change(current);
      if (!changed) return changed.error();
      // A tombstone is written wherever an older entry could show up again, be it hidden now or not.
      if (*changed || current || occurs_locked(path)) (*token)[path] = *changed;
    }
    std::this_thread::yield();
    std::lock_guard lock(mutex_);
    if (staging_ == token) return {};
  }
  return Error{Errc::kTooManyRequests, "Too many attempts, try again later"};
}

Result<> MemoryBranch::set(const ObjectInfo& entry, Condition condition) {
  if (condition == Condition::kIfAbsent) {
    std::lock_guard lock(mutex_);
    if (next_fate_ && !find_locked(entry.path)) {
      overtake_locked(entry, *std::exchange(next_fate_, std::nullopt));
      return Error{Errc::kExists, "Precondition failed"};
    }
  }
  return write(entry.path, false, [&](const auto& current) -> Result<std::optional<ObjectInfo>> {
    if (condition == Condition::kIfAbsent && current) return Error{Errc::kExists, "Precondition failed"};
    return std::optional(entry);
  });
}

Result<> MemoryBranch::set_metadata(const std::string& path, const Metadata& metadata) {
  return write(path, true, [&](const auto& current) -> Result<std::optional<ObjectInfo>> {
    if (!current) return Error{Errc::kNotFound, "not found"};
    auto changed = current;
    changed->metadata = metadata;
    return changed;
  });
}

Result<> MemoryBranch::remove(const std::string& path) {
  return write(path, false,
               [](const auto&) -> Result<std::optional<ObjectInfo>> { return std::optional<ObjectInfo>(); });
}

void MemoryBranch::commit_during_next_set(Fate fate) {
  std::lock_guard lock(mutex_);
  next_fate_ = fate;
}

void MemoryBranch::overtake_locked(const ObjectInfo& entry, Fate fate) {
  for (const auto& [path, value] : *staging_) put(committed_, path, value);
  staging_ = std::make_shared<Token>();
  if (fate == Fate::kCommitted) put(committed_, entry.path, entry);
  if (fate == Fate::kSeenThenDropped) ghost_ = entry;
}

void MemoryBranch::commit() {
  std::lock_guard turn(commit_mutex_);
  std::vector<std::shared_ptr<Token>> merging;
  Entries merged;
  {
    std::lock_guard lock(mutex_);
    sealed_.insert(sealed_.begin(), std::exchange(staging_, std::make_shared<Token>()));
    merging = sealed_;
    merged = committed_;
  }
  std::this_thread::yield();
  for (auto token = merging.rbegin(); token != merging.rend(); ++token) {
    // One key at a time, so that a late writer into this sealed token is before the iteration or behind it.
    std::string at;
    for (bool first = true;; first = false) {
      std::lock_guard lock(mutex_);
      const auto next = first ? (*token)->begin() : (*token)->upper_bound(at);
      if (next == (*token)->end()) break;
      at = next->first;
      put(merged, next->first, next->second);
    }
    std::this_thread::yield();
  }
  std::lock_guard lock(mutex_);
  committed_ = std::move(merged);
  sealed_.resize(sealed_.size() - merging.size());
}

}  // namespace lakefuse::test
