// RENAME_EXCHANGE of two files: the lake has no such call. Both contents are safe on this disk before the
// first of them replaces the other on the lake, so that a failure in between loses nothing.

#include "fs/filesystem_core.h"

namespace lakefuse {
namespace {

// One of the two, with its bytes on this disk, and as it was.
class Side {
 public:
  Side(FilesystemCore& core, const InodePtr& inode) : core_(core), inode_(inode) {}
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;
  ~Side() {
    if (!is_here_) return;
    {
      const std::lock_guard lock(inode_->mutex);
      --inode_->writers;
    }
    core_.publishing.drop_if_clean(inode_);
  }

  // The bytes come here, as if a writer had it open and had changed them.
  Result<> bring_here() {
    {
      const std::lock_guard lock(inode_->mutex);
      ++inode_->writers;  // First: a reader's RELEASE would take away what is staged and not changed yet.
      is_here_ = true;
    }
    auto staged = core_.stage(inode_, true);
    if (!staged) return staged.error();
    {
      const std::lock_guard lock(inode_->mutex);
      was_dirty_ = inode_->staging.dirty;
      version_ = inode_->version;
      expected_ = version_ ? Expectation::of(*version_) : inode_->staging.expected;
      nonce_ = inode_->staging.nonce;
    }
    if (auto whole = core_.publishing.complete(inode_, 0, UINT64_MAX); !whole) return whole.error();
    is_changed_ = true;
    make_dirty(version_, expected_);
    return core_.publishing.make_safe(inode_);
  }

  [[nodiscard]] ObjectInfo published() const {
    const std::lock_guard lock(inode_->mutex);
    return *inode_->version;
  }

  // By the other's nonce, so that the other knows it for ours when it goes back to its name.
  Result<> publish_over(const Side& other, const std::string& path) {
    return core_.publishing.publish_in_turn(inode_, Publishing::Aim{path, other.expected_, other.nonce_});
  }

  // Nothing of it was published elsewhere, or that does not count any more.
  void stay() {
    if (!is_changed_) return;
    make_dirty(version_, expected_);
    const std::lock_guard lock(inode_->mutex);
    if (was_dirty_) return;
    inode_->staging.dirty = false;
    inode_->staging.wait = Wait::kNothing;
    inode_->is_ours = false;
  }

  // The same where the other did not get its name, as far as we were told: it may have it on the lake (rule
  // 1), and what was there goes back over it, now or by a retry; what has a close or a retry to come, by
  // that.
  void stay_in_spite_of(const Error& why) {
    if (!may_be_done(why.code)) return stay();
    make_dirty(version_, expected_);
    if (!was_dirty_) std::ignore = core_.publishing.publish_in_turn(inode_);
  }

  // Its name on the lake holds the other's bytes: its own go back there, now or by a retry.
  Result<> return_over(const ObjectInfo& intruder) {
    make_dirty(intruder, Expectation::of(intruder));
    return core_.publishing.publish_in_turn(inode_);
  }

 private:
  void make_dirty(const std::optional<ObjectInfo>& version, const Expectation& expected) {
    const std::lock_guard lock(inode_->mutex);
    Staging& staging = inode_->staging;
    inode_->version = version;
    inode_->is_ours = true;
    staging.expected = expected;
    staging.nonce = nonce_;
    staging.may_be_linked = true;
    staging.dirty = true;
    ++staging.generation;
    if (staging.wait == Wait::kNothing) staging.wait = Wait::kClose;
  }

  FilesystemCore& core_;
  const InodePtr inode_;
  bool is_here_ = false;
  bool is_changed_ = false;
  bool was_dirty_ = false;
  std::optional<ObjectInfo> version_;
  // What the lake holds under its name: also where the mount shows bytes that are not there yet (W9).
  Expectation expected_ = Expectation::absent();
  std::string nonce_;
};

}  // namespace

Result<> FilesystemCore::exchange_files(const InodePtr& one, const InodePtr& other) {
  for (const InodePtr& inode : {one, other})
    if (auto first = catch_up(tree.last_path(inode)); !first) return first;
  const auto stand = standing.hold({one, other});
  if (!stand) return stand.error();
  const auto turns = take_turns({one, other});
  if (!turns) return turns.error();
  const auto one_path = tree.path(one), other_path = tree.path(other);
  if (!one_path || !other_path) return Error{Errc::kNotFound, "exchange: one of the names is gone"};
  if (is_local_name(one) || is_local_name(other))
    return Error{Errc::kInvalid, "exchange: a file that never leaves this machine cannot change places"};
  if (auto late = publishing.cut_off().outlast({*one_path, *other_path}); !late) return late.error();
  Side first(*this, one), second(*this, other);
  if (auto here = first.bring_here(); !here) {
    first.stay();
    return here;
  }
  if (auto here = second.bring_here(); !here) {
    first.stay();
    second.stay();
    return here;
  }
  if (auto done = first.publish_over(second, *other_path); !done) {
    first.stay();
    second.stay_in_spite_of(done.error());
    return done;
  }
  const ObjectInfo at_other = first.published();
  if (auto done = second.publish_over(first, *one_path); !done) {
    first.stay_in_spite_of(done.error());
    std::ignore = second.return_over(at_other);  // Where that fails, too: status and pending tell.
    return done;
  }
  const ObjectInfo at_one = second.published();
  const auto [one_directory, one_name] = tree.parent_and_name(one);
  const auto [other_directory, other_name] = tree.parent_and_name(other);
  for (const std::string& path : {*one_path, *other_path}) vacated.forget(path);
  {
    const std::lock_guard lock(naming);
    view.changed_object(one_directory, one->key, at_one);
    view.changed_object(other_directory, other->key, at_other);
    tree.exchange(one, other);
  }
  for (const InodePtr& directory : {one_directory, other_directory}) view.changed_time(directory);
  for (const InodePtr& inode : {one, other}) {
    publishing.took_name(inode);
    const std::lock_guard lock(inode->mutex);
    inode->attributes.ctime = now_on_the_clock();
  }
  return {};
}

}  // namespace lakefuse
