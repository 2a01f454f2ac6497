// Rename of a file, symlink or special file: bytes that are not on the lake change their target, an object is
// copied and then removed.

#include <algorithm>
#include <utility>

#include "client/nonce.h"
#include "fs/filesystem_core.h"

namespace lakefuse {
namespace {

// What was seen so lately is not looked at again.
constexpr std::chrono::milliseconds kJustNow{50};
// Fetched before it is replaced, though nobody has it open yet: what is saved by rename in a loop is small.
constexpr std::uint64_t kKeptUnopened = 1 << 20;

// Who opens a file while it is being replaced reads what he opened. Where a URL leads there no more is
// needed; else this holds the file open as long as it lives, so that its bytes are kept here.
class Onlooker {
 public:
  Onlooker(FilesystemCore& core, const InodePtr& inode) : core_(core) {
    if (inode == nullptr || inode->kind != Kind::kFile || core.lake.facts().can_presign) return;
    {
      const std::lock_guard lock(inode->mutex);
      if (!inode->version || inode->version.size_bytes() > kKeptUnopened) return;
    }
    core.tree.count_handle(inode);
    inode_ = inode;
  }
  ~Onlooker() {
    if (inode_ == nullptr) return;
    core_.tree.drop_handle(inode_);
    core_.publishing.drop_if_clean(inode_);
    core_.tree.tidy(inode_);
  }
  Onlooker(const Onlooker&) = delete;
  Onlooker& operator=(const Onlooker&) = delete;

 private:
  FilesystemCore& core_;
  InodePtr inode_;
};

// One rename of a file or symlink, by somebody who has the turns of all that it touches.
struct FileRename {
  FilesystemCore& core;
  const InodePtr& inode;
  const InodePtr& from_directory;
  const FilesystemCore::Place& to;
  const bool may_replace;
  const FilesystemCore::Vacancy& vacant;  // Of the new name, where nothing is.
  const InodePtr& replaced = to.replaced;

  [[nodiscard]] std::string new_path() const { return core.tree.path_below(to.directory, to.key); }

  [[nodiscard]] Expectation expected() const {
    if (replaced == nullptr) return vacant.expected;
    if (core.options.on_conflict == OnConflict::kOverwrite) return Expectation::anything();
    const auto last = core.publishing.versions().last_met(new_path());
    const std::lock_guard lock(replaced->mutex);
    if (!replaced->version)  // What is staged may be meant for a vacated name.
      return replaced->staging.spool != nullptr ? replaced->staging.expected : Expectation::absent();
    return Expectation::of(last ? *last : *replaced->version);
  }

  // What the lake holds under the new name.
  [[nodiscard]] std::optional<ObjectInfo> on_lake() const {
    if (replaced == nullptr)
      return vacant.expected.kind == Expectation::Kind::kVersion ? std::optional(vacant.expected.version)
                                                                 : std::nullopt;
    const std::lock_guard lock(replaced->mutex);
    const Expectation& meant = replaced->staging.expected;
    if (!replaced->version && meant.kind == Expectation::Kind::kVersion) return meant.version;
    return replaced->version;
  }

  // W6: ESTALE would be hidden by the kernel, which comes again.
  [[nodiscard]] Error told(Error error) const {
    const bool is_conflict = error.code == Errc::kConflict || (error.code == Errc::kExists && may_replace);
    if (is_conflict) error.code = Errc::kBusy;
    return error;
  }

  void change_names(std::optional<ObjectInfo> now_there) {
    core.view.changed_object(from_directory, inode->key, std::nullopt);
    if (now_there) core.vacated.forget(now_there->path);
    if (now_there) core.released_claims.forget(now_there->path);
    if (now_there) core.view.changed_object(to.directory, to.key, std::move(now_there));
    core.view.changed_time(from_directory);
    core.view.changed_time(to.directory);
    const std::lock_guard naming(core.naming);
    core.tree.move(inode, to.directory, to.name, to.key);
  }

  void finish(std::optional<ObjectInfo> now_there) {
    change_names(now_there);
    if (replaced != nullptr) core.bury(replaced);
    // Whoever opened what was there may have met that in between.
    if (replaced != nullptr && now_there) core.publishing.versions().met(now_there->path, *now_there);
    core.publishing.took_name(inode);
    const std::lock_guard lock(inode->mutex);
    inode->attributes.ctime = now_on_the_clock();
  }

  // Bytes that are not on the lake just change their target, or get there by this rename.
  Result<> move_staged(bool is_open) {
    const auto destination = new_path();
    RemovalRecord old_name{.path = core.tree.last_path(inode)};
    const Expectation expectation = expected();
    {
      const std::lock_guard lock(inode->mutex);
      old_name.version = inode->version;
      if (inode->staging.may_be_linked) old_name.nonce = inode->staging.nonce;
    }
    if (!old_name.version && (is_open || goes_out_of_sight())) {
      auto under_it = on_lake();
      {
        const std::lock_guard lock(inode->mutex);
        inode->version = std::move(under_it);  // So that it goes when this name does.
        inode->staging.expected = expectation;
        inode->staging.exclusive = false;
        if (std::exchange(inode->staging.may_be_linked, false)) inode->staging.nonce = draw_nonce();
        inode->staging.ahead.reset();  // An address is bound to its path, and so are parts.
        inode->staging.parts.reset();
      }
      leave_unpublished();
      finish(std::nullopt);
      if (!old_name.nonce.empty())
        if (auto promised = core.remove_behind(std::move(old_name), SpoolFile::Safety::kDurable); !promised)
          return promised;
      if (!is_open) return core.settle_in_turn(inode);
      return {};
    }
    Publishing::Aim aim{.path = destination, .expected = expectation};
    if (replaced != nullptr) {  // Where this fails, and is done all the same, those bytes meet no stranger.
      const std::lock_guard lock(replaced->mutex);
      aim.nonce = replaced->staging.nonce;
      replaced->staging.may_be_linked |= !aim.nonce.empty();
    }
    if (auto done = core.publishing.publish_in_turn(inode, aim); !done) {
      core.publishing.give_back(to.directory, to.name);  // It may be there all the same.
      return done.error();
    }
    std::optional<ObjectInfo> now_there;
    {
      const std::lock_guard lock(inode->mutex);
      now_there = inode->version;
    }
    const auto left = left_under(old_name);
    const auto done = !left ? Result<>(left.error()) : *left ? give_up_old_name(**left) : Result<>();
    if (!done) {
      core.publishing.took_name(inode);
      return done.error();
    }
    if (!*left) leave_unpublished();
    finish(std::move(now_there));
    return {};
  }

  // --writeback: whether only the journal need know.
  [[nodiscard]] bool may_wait() const {
    const std::string old_path = core.tree.last_path(inode);
    const bool is_vacated = core.left_at(old_path).has_value();
    const std::lock_guard lock(inode->mutex);
    if (is_vacated && core.may_be_linked_at(*inode, old_path)) return false;
    const Staging& staging = inode->staging;
    const bool is_closed =
        staging.wait == Wait::kQueue || staging.wait == Wait::kRename || staging.wait == Wait::kRetry;
    const bool is_superseded = staging.wait == Wait::kRetry;  // What was sealed, by what was closed since.
    return staging.dirty && is_closed && (!staging.sealed || is_superseded) && !inode->is_deleted &&
           !(inode->version && goes_out_of_sight());
  }

  // A file that has a promised place, as it was before it got another name.
  struct Before {
    Before(FilesystemCore& core, const InodePtr& inode)
        : name(core.tree.parent_and_name(inode).second), key(core.tree.key_of(inode)) {
      const std::lock_guard lock(inode->mutex);
      const Staging& staging = inode->staging;
      version = inode->version;
      expected = staging.expected;
      nonce = staging.nonce;
      exclusive = staging.exclusive;
      may_be_linked = staging.may_be_linked;
      wait = staging.wait;
      due = staging.due;
      order = staging.order;
    }
    std::string name, key;
    std::optional<ObjectInfo> version;
    Expectation expected;
    std::string nonce;
    bool exclusive = false, may_be_linked = false;
    Wait wait = Wait::kNothing;
    Moment due{};
    WriteQueue::Order order = 0;
  };

  // The new name could neither be promised nor made: nothing has changed. What may be on the lake there all
  // the same is known by the nonce for the replaced file's (rule 1).
  void move_back(const Before& before) {
    {
      const std::lock_guard naming(core.naming);
      core.tree.move(inode, from_directory, before.name, before.key);
      if (replaced != nullptr) core.tree.move(replaced, to.directory, to.name, to.key);
    }
    const auto queue_again = [&](const InodePtr& one) {
      bool is_queued = false;
      {
        const std::lock_guard lock(one->mutex);
        is_queued = one->staging.dirty && (one->staging.wait == Wait::kQueue || one->staging.sealed);
      }
      if (is_queued) core.publishing.post(one);  // Its job may have found nothing to do meanwhile.
    };
    {
      const std::lock_guard lock(inode->mutex);
      Staging& staging = inode->staging;
      inode->version = before.version;
      inode->is_ours = true;
      staging.expected = before.expected;
      staging.nonce = before.nonce;
      staging.exclusive = before.exclusive;
      staging.may_be_linked = before.may_be_linked;
      staging.wait = before.wait;
      staging.due = before.due;
      staging.order = before.order;
      ++staging.generation;
    }
    core.publishing.save(inode);
    queue_again(inode);
    if (replaced != nullptr) {
      {
        const std::lock_guard lock(replaced->mutex);
        replaced->is_deleted = false;
        replaced->staging.may_be_linked |= replaced->staging.dirty;
      }
      queue_again(replaced);
    }
    core.view.distrust(from_directory, before.key);
    core.view.distrust(to.directory, to.key);
  }

  // The closed bytes are promised under the new name; what the lake holds under the old one goes after that.
  Result<> move_behind() {
    const auto old_path = core.tree.path(inode);
    if (!old_path) return Error{Errc::kNotFound, "rename of " + core.tree.last_path(inode) + ": it is gone"};
    std::string nonce = draw_nonce();
    bool may_be_linked = false;
    std::optional<Expectation> of_replaced;
    if (replaced != nullptr) {
      const std::lock_guard lock(replaced->mutex);
      replaced->is_deleted = true;
      replaced->publish_stop.request_stop();
      if (replaced->staging.dirty) {  // What is on its way there may be in our place by then, and is ours.
        nonce = replaced->staging.nonce;
        may_be_linked = replaced->staging.may_be_linked;
        of_replaced = replaced->staging.expected;
      }
    }
    // Only now: a publish of it that ended just before has said what is there, and no other one will.
    Expectation expectation = expected();
    if (of_replaced && expectation.kind != Expectation::Kind::kAnything) expectation = *of_replaced;
    auto under_it = on_lake();
    RemovalRecord old_name{.path = *old_path};
    bool is_on_lake = false;
    const Before before(core, inode);
    {
      const std::lock_guard lock(inode->mutex);
      Staging& staging = inode->staging;
      old_name.version = std::exchange(inode->version, std::move(under_it));
      old_name.nonce = std::exchange(staging.nonce, std::move(nonce));
      is_on_lake = old_name.version || staging.may_be_linked;
      staging.may_be_linked = may_be_linked;
      staging.expected = std::move(expectation);
      staging.exclusive = false;
      staging.ahead.reset();
      staging.parts.reset();
      // Closed, and nobody's to publish before its name has changed: a reader's RELEASE may come just now.
      staging.wait = Wait::kRename;
      staging.due = Moment::max();
      staging.order = 0;  // After all that was promised by now.
      ++staging.generation;
    }
    if (!old_name.version) leave_unpublished();
    change_names(std::nullopt);
    const auto promised =
        core.stays_here(inode) ? false : core.publishing.publish_behind(inode, WriteQueue::Kind::kBarrier);
    const auto done = !promised   ? Result<>(promised.error())
                      : *promised ? Result<>()
                                  : core.settle_in_turn(inode);
    if (!done) {
      move_back(before);
      return told(done.error());
    }
    core.publishing.queue().hurry();  // An upload that was dropped has nothing to come again for.
    if (replaced != nullptr) core.bury(replaced);
    if (is_on_lake && !core.remove_behind(old_name, SpoolFile::Safety::kDurable)) {
      // This machine cannot promise it: now, then, and after the new name (rule 4).
      if (auto done = core.settle_in_turn(inode); !done) return done;
      if (auto done = core.remove_promised({old_name}); !done)
        return done.error().in("rename made the new name, but the old one is still there");
    }
    const std::lock_guard lock(inode->mutex);
    inode->attributes.ctime = now_on_the_clock();
    return {};
  }

  // Bytes of the replaced file that a publish brought there and was not told so are no stranger's (rule 1).
  Result<> meet_untold(const ObjectPath& destination) {
    if (replaced == nullptr) return {};
    {
      const std::lock_guard lock(replaced->mutex);
      if (!replaced->staging.dirty || !replaced->staging.may_be_linked) return {};
    }
    const auto there = look_at(core.lake, destination);
    if (!there) return there.error();
    if (!*there) return {};
    const std::lock_guard lock(replaced->mutex);
    if (!core.publishing.goes_on_above_locked(replaced->staging, **there)) return {};
    replaced->version = **there;
    core.publishing.versions().met((*there)->path, **there);
    return {};
  }

  Result<> move_published(const ObjectInfo& version) {
    auto destination = ObjectPath::make(new_path());
    if (!destination) return destination.error();
    if (auto met = meet_untold(*destination); !met) return met.error();
    Metadata metadata;
    {
      const std::lock_guard lock(inode->mutex);
      const bool was_meant = version.metadata.contains(std::string(kMeantForKey));
      metadata = metadata_of(inode->attributes, core.options, was_meant ? version.checksum : "");
    }
    const Expectation expectation = expected();
    const Moment begun = std::chrono::steady_clock::now();
    auto copied = core.publisher.copy(version, *destination, expectation, metadata);
    if (!copied) {
      core.view.distrust(to.directory, to.key);
      if (replaced != nullptr && may_be_done(copied.error().code)) {  // No stranger to bytes that wait there.
        const std::lock_guard lock(replaced->mutex);
        if (replaced->staging.dirty) replaced->staging.copied_over = version;
      }
      return told(copied.error());
    }
    core.publishing.versions().is_ours_now(copied->physical_address);
    core.publishing.versions().met(copied->path, *copied);
    // The copy was a look at the old object. Where it took a call more than it must, for the time that it had
    // to be told or for what it replaced, another look is spared.
    const bool took_one_more =
        !version.metadata.contains(std::string(kMtimeKey)) || expectation.kind == Expectation::Kind::kVersion;
    const bool is_just_seen = took_one_more && std::chrono::steady_clock::now() - begun < kJustNow;
    const auto sight = is_just_seen ? Publisher::Sight::kJustNow : Publisher::Sight::kLook;
    if (auto done = give_up_old_name(version, sight); !done) return done.error();
    {
      const std::lock_guard lock(inode->mutex);
      inode->version = *copied;
      if (inode->staging.spool != nullptr) {
        inode->staging.expected = Expectation::of(*copied);
        inode->staging.base = inode->staging.base ? copied.value() : inode->staging.base;
      }
    }
    finish(*copied);
    return {};
  }

  // Its name says that the file is a backup, or on its way to another name.
  [[nodiscard]] bool goes_out_of_sight() const {
    return core.rules.is_local(shown_destination()) || core.rules.is_temporary(to.name, false);
  }

  // W9: a file that goes out of sight stays on the lake for the others until its name is published anew.
  Result<> give_up_old_name(const ObjectInfo& version, Publisher::Sight sight = Publisher::Sight::kLook) {
    if (from_directory != to.directory) {
      if (auto kept = core.keep_directory(from_directory, inode->key); !kept) return kept.error();
    }
    const auto [directory, old_name] = core.tree.parent_and_name(inode);
    const bool was_out_of_sight = core.is_local_name(inode) || core.rules.is_temporary(old_name, false);
    if (!goes_out_of_sight() || was_out_of_sight) return remove_old(version, sight);
    core.publishing.versions().met(version.path, version);
    core.vacated.add({.version = version,
                      .directory = from_directory,
                      .key = inode->key,
                      .due = std::chrono::steady_clock::now() + core.options.temporary_age});
    return {};
  }

  void leave_unpublished() {
    if (from_directory != to.directory) core.keep_without(from_directory, inode);
  }

  // What of ours the lake holds there: what we know of, or what a publish brought that was not told so (rule
  // 1).
  Result<std::optional<ObjectInfo>> left_under(const RemovalRecord& old_name) const {
    const auto path = ObjectPath::make(old_name.path);
    if (old_name.nonce.empty() || !path) return old_name.version;
    auto there = look_at(core.lake, *path);
    if (!there) return there.error().in("rename made the new name, but the old one may still be there");
    const bool is_untold = *there && is_nonce(nonce_of((*there)->metadata), old_name.nonce,
                                              (*there)->physical_address, core.lake.facts().can_presign);
    return is_untold ? *there : old_name.version;
  }

  Result<> remove_old(const ObjectInfo& version, Publisher::Sight sight) {
    auto path = ObjectPath::make(version.path);
    if (!path) return path.error();
    auto removed = core.publisher.remove(*path, version, sight);
    if (removed) core.removed_from_lake(version.path);
    if (removed) core.release_renamed(version);
    if (removed || removed.error().code == Errc::kConflict) return {};  // Another client's by now: it stays.
    core.view.distrust(from_directory, inode->key);
    core.publishing.give_back(to.directory, to.name);  // The kernel knows it as what was replaced.
    return removed.error().in("rename made the new name, but the old one is still there");
  }

  [[nodiscard]] std::string shown_destination() const {
    const std::string shown = core.tree.shown_path(to.directory);
    return shown.empty() ? to.name : shown + "/" + to.name;
  }
};

}  // namespace

Result<Turns::Held> FilesystemCore::take_turn_from_upload(const InodePtr& inode) {
  {
    const std::lock_guard lock(inode->mutex);
    ++inode->droppers;
    inode->publish_stop.request_stop();
  }
  auto turn = inode->turn.take();
  const std::lock_guard lock(inode->mutex);
  --inode->droppers;
  return turn;
}

Result<std::vector<Turns::Held>> FilesystemCore::take_turns(std::vector<InodePtr> inodes) {
  std::sort(inodes.begin(), inodes.end(),
            [](const InodePtr& a, const InodePtr& b) { return a->node < b->node; });
  std::vector<Turns::Held> turns;
  for (const InodePtr& inode : inodes) {
    auto turn = inode->turn.take();
    if (!turn) return turn.error();
    turns.push_back(*std::move(turn));
  }
  return turns;
}

Result<bool> FilesystemCore::rename_behind(const InodePtr& inode, const InodePtr& from, const Place& to,
                                           bool may_replace) {
  if (options.writeback == Writeback::kOff) return false;
  const auto late =
      publishing.cut_off().outlast({tree.last_path(inode), tree.path_below(to.directory, to.key)});
  if (!late) return late.error();
  const auto no_rename = directory_renames.take();  // Of a directory above: the paths stay.
  if (!no_rename) return no_rename.error();
  const auto vacant = to.replaced == nullptr ? vacancy(tree.path_below(to.directory, to.key))
                                             : Vacancy{Expectation::absent()};
  if (!vacant) return vacant.error();
  FileRename change{*this, inode, from, to, may_replace, *vacant};
  if (!change.may_wait()) return false;
  if (to.replaced != nullptr) keep_readable(to.replaced);
  const auto turn = take_turn_from_upload(inode);  // One for the old name is not wanted any more.
  if (!turn) return turn.error();
  if (!change.may_wait()) return false;
  if (auto moved = change.move_behind(); !moved) return moved.error();
  return true;
}

Result<> FilesystemCore::rename_file(const InodePtr& inode, const InodePtr& from, const Place& to,
                                     bool may_replace) {
  const Onlooker onlooker(*this, to.replaced);
  const auto behind = rename_behind(inode, from, to, may_replace);
  if (!behind) return behind.error();
  if (*behind) return {};
  for (const std::string& path : {tree.last_path(inode), tree.path_below(to.directory, to.key)})
    if (auto first = catch_up(path); !first) return first;
  const auto stand = standing.hold({inode, to.directory});
  if (!stand) return stand.error();
  std::vector<InodePtr> both{inode};
  if (to.replaced != nullptr) both.push_back(to.replaced);
  const auto turns = take_turns(both);
  if (!turns) return turns.error();
  const std::vector<std::string> paths{tree.last_path(inode), tree.path_below(to.directory, to.key)};
  if (auto late = publishing.cut_off().outlast(paths); !late) return late.error();
  const auto vacant = to.replaced == nullptr ? vacancy(tree.path_below(to.directory, to.key))
                                             : Vacancy{Expectation::absent()};
  if (!vacant) return vacant.error();
  if (to.replaced != nullptr) keep_readable(to.replaced);
  FileRename change{*this, inode, from, to, may_replace, *vacant};
  bool is_dirty = false, is_open = false;
  std::optional<ObjectInfo> version;
  {
    const std::lock_guard lock(inode->mutex);
    is_dirty = inode->staging.dirty;
    // What was closed goes to the lake now, whoever has it open yet: a RELEASE may be late (W9).
    is_open = inode->writers > 0 && inode->staging.wait == Wait::kClose;
    version = inode->version;
  }
  if (!is_dirty && !version)
    return Error{Errc::kNotFound, "rename of " + tree.last_path(inode) + ": it is gone"};
  const Result<> done = is_dirty ? change.move_staged(is_open) : change.move_published(*version);
  if (!done)
    for (const std::string& path : paths) publishing.cut_off().may_come_later(path, done.error());
  return done;
}

void FilesystemCore::bury(const InodePtr& inode) {
  std::shared_ptr<SpoolFile> unwanted, claim;
  std::optional<Sealed> sealed;
  {
    const std::lock_guard lock(inode->mutex);
    inode->is_deleted = true;
    inode->is_ours = false;
    inode->staging.wait = Wait::kNothing;
    inode->staging.parts.reset();
    inode->staging.digest.reset();
    publishing.queue().mend(inode->staging.order);  // Whoever reads it yet.
    inode->attributes.ctime = now_on_the_clock();
    unwanted = inode->staging.spool;
    sealed = std::exchange(inode->staging.sealed, std::nullopt);
    claim = std::move(inode->claim);
  }
  if (claim != nullptr) claim->discard();
  // Who has it open goes on with the nameless bytes.
  if (sealed) sealed->spool->discard();
  if (unwanted != nullptr) unwanted->discard();
  publishing.drop_if_clean(inode);
}

}  // namespace lakefuse
