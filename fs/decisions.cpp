// What a person decides about pending bytes: `lakefuse resolve` and `lakefuse discard`.

#include <algorithm>

#include "fs/beside_name.h"
#include "fs/filesystem_core.h"

namespace lakefuse {
namespace {

constexpr int kMostNamesTried = 100;  // Beside one file: more decisions than anybody makes.

// "report.mine.csv", "report.mine-2.csv": programs go by the ending.
std::string name_beside(const std::string& path, int n) {
  const auto slash = path.rfind('/');
  const std::size_t begin = slash == path.npos ? 0 : slash + 1;
  const auto dot = path.rfind('.');
  const std::size_t end = dot == path.npos || dot <= begin ? path.size() : dot;
  return path.substr(0, end) + ".mine" + (n == 1 ? "" : "-" + std::to_string(n)) + path.substr(end);
}

Result<InodePtr> find_pending(FilesystemCore& core, const std::string& which) {
  if (which.empty() || which == ".")
    return Error{Errc::kInvalid,
                 "name a file that is pending, not all of the mount; `lakefuse pending` lists them"};
  const std::string path = core.options.prefix + which;
  std::vector<InodePtr> found;
  std::string kept;
  const auto look_for = [&](const std::string& key) {
    for (const InodePtr& inode : core.publishing.staged()) {
      const PendingFile file = core.publishing.describe(inode);
      if (file.state == "clean" || (file.path != key && file.kept_in != which)) continue;
      found.push_back(inode);
      kept += (kept.empty() ? " " : ", ") + file.kept_in;
    }
  };
  look_for(path);
  const auto beside = key_beside(path);  // The object `a` is `a.lakefs-object` in the mount.
  if (found.empty() && beside) look_for(*beside);
  for (const WriteQueue::Waiting& removal : core.publishing.queue().removals())
    if (found.empty() && removal.record.path == path)
      return Error{Errc::kInvalid,
                   path +
                       " was removed here, and is removed on the lake as soon as it can be; what is "
                       "to stay has to be written anew"};
  if (found.empty())
    return Error{Errc::kNotFound, "nothing is pending for " + which + "; `lakefuse pending` lists what is"};
  if (found.size() > 1)
    return Error{Errc::kInvalid, "several versions of " + path +
                                     " are pending; name one by the file that it is kept in:" + kept};
  return found.front();
}

// The bytes go to a path of the branch, where what is expected is.
Result<> publish_at(FilesystemCore& core, const InodePtr& inode, const std::string& path,
                    const Expectation& expected) {
  std::optional<Error> failure;
  {
    const std::lock_guard lock(inode->mutex);
    failure = std::exchange(inode->staging.failure, std::nullopt);
    inode->staging.wait = Wait::kClose;
    inode->staging.exclusive = false;
  }
  auto done = core.publishing.publish_in_turn(inode, Publishing::Aim{path, expected});
  if (done) {
    core.publishing.took_name(inode);
    core.distrust_path(path);
    return {};
  }
  const std::lock_guard lock(inode->mutex);
  inode->staging.wait = Wait::kPerson;
  inode->staging.failure = failure;
  if (done.error().code != Errc::kStale) return done;
  return done.error().in(
      "it was changed in part, and its other bytes can be had no more: copy what you need out of " +
      inode->staging.spool->data_path().string() + ", then --theirs or `lakefuse discard` ends it");
}

// What is decided about is what the person was told of (W6): another version that came since is told first.
Result<TheirVersion> look_as_told(FilesystemCore& core, const InodePtr& inode, const std::string& path) {
  std::optional<TheirVersion> told;
  {
    const std::lock_guard lock(inode->mutex);
    told = inode->staging.theirs;
  }
  auto now = core.publishing.look_at_theirs(inode);
  if (!now) return now.error();
  const bool is_the_same = !told || (told->object && now->object ? same_version(*told->object, *now->object)
                                                                 : !told->object && !now->object);
  if (is_the_same) return now;
  return Error{Errc::kConflict,
               path + " was changed on the branch since `lakefuse pending` said what is there: " +
                   to_words(*now) + "; decide again, about that"};
}

Result<std::string> publish_over(FilesystemCore& core, const InodePtr& inode, const std::string& path) {
  const auto theirs = look_as_told(core, inode, path);
  if (!theirs) return theirs.error();
  auto done = publish_at(core, inode, path,
                         theirs->object ? Expectation::of(*theirs->object) : Expectation::absent());
  if (!done) return done.error();
  return path + " is yours on the branch now";
}

Result<std::string> publish_beside(FilesystemCore& core, const InodePtr& inode, const std::string& path) {
  for (int n = 1; n <= kMostNamesTried; ++n) {
    const std::string name = name_beside(path, n);
    auto done = publish_at(core, inode, name, Expectation::absent());
    if (done) return "yours is " + name + " on the branch now, and " + path + " is theirs";
    if (done.error().code != Errc::kBusy) return done.error();  // Else that name is taken.
  }
  return Error{Errc::kExists, "all names beside " + path + " are taken"};
}

std::string drop(FilesystemCore& core, const InodePtr& inode, const std::string& path) {
  core.bury(inode);
  core.tree.unname(inode);
  core.distrust_path(path);
  return "the bytes kept for " + path + " are dropped";
}

}  // namespace

Result<std::string> Filesystem::decide(const std::string& which, Decision decision) {
  FilesystemCore& core = *core_;
  if (decision == Decision::kDiscard && core.spool != nullptr) {
    auto gone = core.spool->discard_damaged(which);
    if (gone) return which + " is dropped";
    if (gone.error().code != Errc::kNotFound) return gone.error();
  }
  auto found = find_pending(core, which);
  if (!found) return found.error();
  const InodePtr& inode = *found;
  const auto stands = core.standing.hold({inode, core.nearest_directory(core.tree.last_path(inode)).first});
  if (!stands) return stands.error();
  const auto turn = core.take_turn_from_upload(inode);  // One is for bytes that may not be wanted.
  if (!turn) return turn.error();
  const std::string path = core.tree.last_path(inode);
  {
    const std::lock_guard lock(inode->mutex);
    const Staging& staging = inode->staging;
    if (staging.spool == nullptr || !staging.dirty)
      return Error{Errc::kNotFound, path + " is on the lake by now"};
    if (inode->writers > 0) return Error{Errc::kBusy, "a program has " + path + " open; close it first"};
    if (decision != Decision::kDiscard && staging.wait != Wait::kPerson)
      return Error{Errc::kInvalid, path +
                                       " is no conflict: it is published by itself as soon as it can be, " +
                                       "or dropped by `lakefuse discard`"};
  }
  switch (decision) {
    case Decision::kMine:
      return publish_over(core, inode, path);
    case Decision::kKeepBoth:
      return publish_beside(core, inode, path);
    case Decision::kTheirs:
      if (auto theirs = look_as_told(core, inode, path); !theirs) return theirs.error();
      [[fallthrough]];
    case Decision::kDiscard:
      return drop(core, inode, path);
  }
  return Error{Errc::kUnsupported, "no such decision"};
}

}  // namespace lakefuse
