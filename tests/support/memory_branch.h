#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/object_store.h"

namespace lakefuse::test {

// The entries of one branch, kept as the server keeps them (lakefs-api.md section 3): writes go into the
// current staging token; a commit seals that token, merges the sealed ones into the committed range and drops
// them; a write that finds another token than it started with runs again. So commits that run beside writes
// give false 412s, dropped values and undone deletes here for the same reasons as there. Safe to call from
// many threads at once.
class MemoryBranch {
 public:
  using Entries = std::map<std::string, ObjectInfo>;  // Bytewise order, as lakeFS lists.

  [[nodiscard]] std::optional<ObjectInfo> find(const std::string& path) const;
  [[nodiscard]] Entries all() const;

  // Set, or set if absent: kExists (true or false), kTooManyRequests.
  Result<> set(const ObjectInfo& entry, Condition condition);

  // kNotFound; kUnavailable, as the server's 500 "predicate failed", when the entry changed meanwhile.
  Result<> set_metadata(const std::string& path, const Metadata& metadata);

  // Nothing is written where nothing is.
  Result<> remove(const std::string& path);

  // What the server does to a conditional write that a commit overtakes, always answered by a false kExists.
  enum class Fate {
    kCommitted,       // The value got into the commit.
    kDropped,         // The commit had gone past the key: the value is gone when the answer arrives.
    kSeenThenDropped  // The same, but the first find() after the answer still sees it.
  };
  void commit_during_next_set(Fate fate);

  // Seals, merges, drops. Commits take turns. An older record that is equal in size, checksum, metadata and
  // content type stays in the place of a newer one.
  void commit();

  // What the last commit holds.
  [[nodiscard]] std::optional<ObjectInfo> find_committed(const std::string& path) const;

 private:
  // No value: a tombstone.
  using Token = std::map<std::string, std::optional<ObjectInfo>>;
  using Change = std::function<Result<std::optional<ObjectInfo>>(const std::optional<ObjectInfo>& current)>;

  // Runs `change` on the current value as graveler's safeBranchWrite does. `strict`: fails when the staged
  // value changes between the change's read and its write.
  Result<> write(const std::string& path, bool strict, const Change& change);
  [[nodiscard]] std::optional<ObjectInfo> find_locked(const std::string& path) const;
  [[nodiscard]] bool occurs_locked(const std::string& path) const;
  void overtake_locked(const ObjectInfo& entry, Fate fate);

  std::mutex commit_mutex_;  // Held across a whole commit; taken before mutex_.

  mutable std::mutex mutex_;  // A leaf. Guards all below.
  std::shared_ptr<Token> staging_ = std::make_shared<Token>();
  std::vector<std::shared_ptr<Token>> sealed_;  // Newest first.
  Entries committed_;
  std::optional<Fate> next_fate_;
  mutable std::optional<ObjectInfo> ghost_;  // A dropped value that the next find() still sees.
};

}  // namespace lakefuse::test
