#pragma once

#include <optional>

#include "client/publish_entry.h"
#include "client/removed_versions.h"

namespace lakefuse {

// One publish from its first call to its answer: the protocol by which a server that can only "set" and "set
// if absent", and runs writes again when somebody commits, still gives one winner and no silent loss
// (lakefs-api.md section 3, design rules 1 to 3). It goes in rounds: look where a version is expected, put,
// and after any answer but a plain success look what is there. For one thread, and one run().
class PublishAttempt {
 public:
  PublishAttempt(ObjectStore& lake, const PublishJob& job, const ByteSource& body, const Sleep& sleep,
                 const RemovedVersions& removed);

  Result<ObjectInfo> run();

 private:
  // What to answer; nothing: another round is needed.
  using Verdict = std::optional<Result<ObjectInfo>>;

  Result<> upload();
  Result<ObjectInfo> put_in_rounds();
  Verdict round();
  Verdict after_failure(const Error& error);
  Verdict judge(const std::optional<ObjectInfo>& found);
  // Takes a name that must be absent, by an empty object of ours: what goes up in parts can only replace.
  Verdict claim();
  // The publish has failed for good: no name and no parts of it stay behind. One whose answers were lost is
  // tried again, and takes the name for its own.
  void withdraw();
  // Another's entry is in our new name's place: a loss, if it still is a moment later.
  Verdict lose();
  // Writes our entry again into the current staging area without replacing anybody's: where we see it, it may
  // lie in one that a commit is about to drop.
  Verdict assert_again(const ObjectInfo& ours);
  // Our entry is seen: waits until it is in a commit, though not for ever. False: it was dropped meanwhile.
  Result<bool> outlives_commit();
  // A win that something casts doubt on must still be there.
  Verdict confirm();

  [[nodiscard]] bool is_foreign(const std::optional<ObjectInfo>& found) const;
  [[nodiscard]] bool is_ours(const std::optional<ObjectInfo>& found) const;
  [[nodiscard]] bool is_as_before(const std::optional<ObjectInfo>& found) const;

  ObjectStore& lake_;
  const PublishJob& job_;
  const Sleep& sleep_;
  const RemovedVersions& removed_;

  PublishEntry entry_;
  Expectation expected_;
  bool is_doubtful_;
  std::optional<ObjectInfo> claim_;
  int lost_answers_ = 0;
  int nearly_lost_ = 0;
  Error last_{Errc::kUnavailable, ""};
};

}  // namespace lakefuse
