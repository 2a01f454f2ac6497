#include "client/publish_attempt.h"

#include <string>
#include <utility>

#include "client/patience.h"

namespace lakefuse {
namespace {

using Kind = Expectation::Kind;

Error exists(const ObjectPath& path) {
  return {Errc::kExists, "\"" + path.str() + "\": another client put an object there first"};
}

Error conflict(const ObjectPath& path, bool is_gone) {
  return {Errc::kConflict,
          "\"" + path.str() +
              "\": " + (is_gone ? "the object was removed" : "another client put another version there") +
              " since it was opened"};
}

}  // namespace

PublishAttempt::PublishAttempt(ObjectStore& lake, const PublishJob& job, const ByteSource& body,
                               const Sleep& sleep, const RemovedVersions& removed)
    : lake_(lake),
      job_(job),
      sleep_(sleep),
      removed_(removed),
      entry_(lake, job, body, sleep),
      expected_(job.expected),
      is_doubtful_(job.look_again) {}

Result<ObjectInfo> PublishAttempt::run() {
  if (auto uploaded = upload(); !uploaded) return uploaded.error();
  if (job_.unwanted.stop_requested()) {
    entry_.abandon();
    return Error{Errc::kInterrupted, "\"" + job_.path.str() + "\" was removed while it was being uploaded"};
  }
  auto entry = put_in_rounds();
  if (!entry && !may_be_done(entry.error().code)) withdraw();
  return entry;
}

Result<ObjectInfo> PublishAttempt::put_in_rounds() {
  for (int round_number = 0; round_number < kMaxRounds; ++round_number) {
    if (round_number > 0)
      if (auto slept = sleep_(kBetweenRounds * round_number); !slept) return slept.error().in(last_.message);
    if (auto verdict = round()) return *std::move(verdict);
  }
  return Error{Errc::kUnavailable, "\"" + job_.path.str() + "\": no clear answer in " +
                                       std::to_string(kMaxRounds) +
                                       " rounds; the last one: " + last_.message};
}

// Two may end an upload: whoever waits for it, and whoever makes it needless.
Result<> PublishAttempt::upload() {
  const PatienceUntil patience(job_.unwanted);
  return entry_.upload();
}

void PublishAttempt::withdraw() {
  if (claim_) (void)Publisher(lake_, sleep_).remove(job_.path, *claim_);
  entry_.abandon();
}

PublishAttempt::Verdict PublishAttempt::claim() {
  class Nothing : public ByteSource {
    [[nodiscard]] std::uint64_t size() const override { return 0; }
    Result<std::size_t> read(std::uint64_t, std::span<std::byte>) const override { return std::size_t{0}; }
  };
  PublishJob job = job_;
  job.target.reset();
  job.ahead.reset();
  job.nonce = entry_.nonce();
  auto claimed = PublishAttempt(lake_, job, Nothing(), sleep_, removed_).run();
  if (!claimed) return claimed;
  claim_ = *std::move(claimed);
  expected_ = Expectation::of(*claim_);
  return std::nullopt;
}

PublishAttempt::Verdict PublishAttempt::round() {
  if (expected_.kind == Kind::kAbsent && entry_.goes_in_parts())
    if (auto verdict = claim()) return verdict;
  if (expected_.kind == Kind::kVersion) {
    // With the URL: who opens the old version just now, and reads it when it is replaced, has no other way to
    // it.
    auto found = look_at(lake_, job_.path, ObjectStore::Look::kForReading);
    if (!found) return found.error();
    if (auto verdict = judge(*found)) return verdict;
  }
  const bool must_be_absent = expected_.kind == Kind::kAbsent;
  auto entry = entry_.put(must_be_absent ? Condition::kIfAbsent : Condition::kNone);
  if (!entry) return after_failure(entry.error());
  if (must_be_absent && is_doubtful_) return confirm();
  return entry;
}

PublishAttempt::Verdict PublishAttempt::after_failure(const Error& error) {
  last_ = error;
  // The address is too old, or a server before 1.22 wants other bytes after a commit. Either way nothing was
  // put.
  if (error.code == Errc::kExpired || error.code == Errc::kConflict) {
    if (auto uploaded = entry_.upload_again(error); !uploaded) return uploaded.error();
    return std::nullopt;
  }
  const bool is_refused = error.code == Errc::kExists && expected_.kind == Kind::kAbsent;
  if (!is_refused && !may_be_done(error.code)) return error;
  is_doubtful_ = true;

  auto found = look_after(error, std::chrono::milliseconds(0), lake_, job_.path, sleep_);
  if (!found) return found.error();
  // A refused link is over and done with; a lost one may still be on its way.
  if (!is_refused && is_as_before(*found)) {
    found = look_after(error, kUntilSecondLook, lake_, job_.path, sleep_);
    if (!found) return found.error();
  }
  auto verdict = judge(*found);
  if (!verdict && !is_refused && ++lost_answers_ >= kMaxLostAnswers) return error;
  return verdict;
}

bool PublishAttempt::is_as_before(const std::optional<ObjectInfo>& found) const {
  switch (expected_.kind) {
    case Kind::kAbsent:
      return !found;
    case Kind::kVersion:
      return found && same_version(*found, expected_.version);
    case Kind::kAnything:
      return !found || entry_.origin(*found) != PublishEntry::Origin::kThis;
  }
  return false;
}

bool PublishAttempt::is_foreign(const std::optional<ObjectInfo>& found) const {
  return found && entry_.origin(*found) == PublishEntry::Origin::kForeign;
}

bool PublishAttempt::is_ours(const std::optional<ObjectInfo>& found) const {
  return found && entry_.origin(*found) == PublishEntry::Origin::kThis;
}

PublishAttempt::Verdict PublishAttempt::judge(const std::optional<ObjectInfo>& found) {
  if (is_as_before(found)) return std::nullopt;
  if (!found) return conflict(job_.path, true);
  switch (entry_.origin(*found)) {
    case PublishEntry::Origin::kThis:
      return assert_again(*found);
    case PublishEntry::Origin::kEarlier:
      // The name is ours already; these bytes are what it holds from now on.
      expected_ = Expectation::of(*found);
      return std::nullopt;
    case PublishEntry::Origin::kForeign:
      break;
  }
  if (expected_.kind != Kind::kAbsent) return conflict(job_.path, false);
  const auto is_nobodys = is_undone_removal(lake_, removed_, job_.path, *found);
  if (!is_nobodys) return is_nobodys.error();
  if (!*is_nobodys) return lose();
  // A commit has it: so it can be removed for good.
  auto gone = Publisher(lake_, sleep_).remove(job_.path, *found, Publisher::Sight::kJustNow);
  if (!gone) return gone.error();
  return std::nullopt;
}

// Their entry may be one that a commit is about to drop while ours comes to stay.
PublishAttempt::Verdict PublishAttempt::lose() {
  auto found = look_after(exists(job_.path), kUntilLost, lake_, job_.path, sleep_);
  if (!found) return found.error();
  if (is_foreign(*found)) return exists(job_.path);
  // Nobody changes it that often: it is the server that says now this and now that.
  if (++nearly_lost_ > kMaxRounds)
    return Error{Errc::kUnavailable, "\"" + job_.path.str() + "\": each look finds another entry there"};
  return judge(*found);
}

Result<bool> PublishAttempt::outlives_commit() {
  for (int look = 1; look <= kMaxLooksForCommit; ++look) {
    auto committed = look_at(lake_, job_.path, ObjectStore::Look::kCommitted);
    if (!committed) return committed.error();
    if (is_ours(*committed)) return true;
    if (auto slept = sleep_(kBetweenRounds * look); !slept) return slept.error();
    auto found = look_at(lake_, job_.path);
    if (!found) return found.error();
    if (!is_ours(*found)) return false;
  }
  return true;
}

PublishAttempt::Verdict PublishAttempt::assert_again(const ObjectInfo& ours) {
  // Where the server chooses addresses an entry is known by a mark in its metadata. Were ours dropped, and
  // another's put, right before we write, they would not know theirs again, and nobody would have won.
  if (!lake_.facts().can_presign) {
    const auto outlived = outlives_commit();
    if (!outlived) return outlived.error();
    if (!*outlived) return std::nullopt;
  }
  auto written = lake_.set_metadata(job_.path, entry_.metadata_of(ours));
  if (!written) {
    last_ = written.error();
    const bool was_dropped = last_.code == Errc::kNotFound;
    if (was_dropped || may_be_done(last_.code)) return std::nullopt;
    return last_;
  }
  auto found = look_at(lake_, job_.path);
  if (!found) return found.error();
  if (is_ours(*found)) return **std::move(found);
  return judge(*found);
}

PublishAttempt::Verdict PublishAttempt::confirm() {
  if (auto slept = sleep_(kUntilConfirmed); !slept) return slept.error();
  auto found = look_at(lake_, job_.path);
  if (!found) return found.error();
  if (is_ours(*found)) return **std::move(found);
  return judge(*found);
}

}  // namespace lakefuse
