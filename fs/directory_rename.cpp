// Rename of a directory: every object below it is copied, then every old one removed; all copies come before
// all removals (design rule 4). A journal says what was decided before the first copy is made: the next mount
// takes the copies away, or, where all of them were there, removes the old objects.

#include <algorithm>
#include <atomic>
#include <iterator>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "cache/guarded.h"
#include "client/patience.h"
#include "fs/filesystem_core.h"
#include "fs/left_renames.h"

namespace lakefuse {
namespace {

// A rename holds them all in memory, and takes four calls for each. A hostile listing has no end.
constexpr std::size_t kMostMoves = 250'000;

// Old objects that go in one call, where there are more: two calls for so many, a page to look at them and a
// batch, instead of two for each; and what was looked at is removed some milliseconds later, no more.
constexpr std::size_t kRemovedTogether = 32;

// So long what a failed rename left is tried again: others wait for it. A server that is started anew takes
// seconds.
constexpr std::chrono::seconds kRestPatience{15};
constexpr std::chrono::milliseconds kFirstPause{100}, kLongestPause{2000};
// A call that was cut off may be done so much later (rule 1).
constexpr std::chrono::milliseconds kUntilSecondLook{500};

struct Move {
  ObjectInfo old_object;
  ObjectPath new_path;
  std::optional<ObjectInfo> new_object;
  bool may_be_copied = false;  // Perhaps a copy is there that we were not told of.
};

class DirectoryRename {
 public:
  // `is_of_one`: of the one object at `old_prefix`, and nothing that only begins so.
  DirectoryRename(FilesystemCore& core, std::string old_prefix, std::string new_prefix,
                  bool is_of_one = false)
      : core_(core),
        old_prefix_(std::move(old_prefix)),
        new_prefix_(std::move(new_prefix)),
        is_of_one_(is_of_one) {}

  // Looks at what there is, and writes down what is going to be done. `staged`: ids of the spool.
  Result<> begin(std::vector<std::string> staged, bool is_on_lake) {
    if (is_on_lake)
      if (auto listed = list_all(); !listed) return listed;
    RenameRecord record{.from = old_prefix_, .to = new_prefix_, .staged = std::move(staged)};
    for (const Move& move : moves_) record.objects.push_back(move.old_object);
    if (record.objects.empty() && record.staged.empty()) return {};
    auto begun = core_.spool->begin_rename(std::move(record));
    if (!begun) return begun.error();
    journal_ = *std::move(begun);
    return {};
  }

  Result<> copy_all() {
    return in_parallel([this](Move& move) -> Result<> {
      auto copied = core_.publisher.copy(move.old_object, move.new_path, Expectation::absent(),
                                         metadata_of_copy(move.old_object));
      if (!copied) {
        const Errc why = copied.error().code;
        move.may_be_copied = why != Errc::kExists && why != Errc::kConflict && why != Errc::kNotFound;
        if (why == Errc::kInterrupted) was_cut_off_ = true;
        return copied.error();
      }
      core_.publishing.versions().is_ours_now(copied->physical_address);
      core_.publishing.versions().met(copied->path, *copied);
      move.new_object = *std::move(copied);
      return {};
    });
  }

  // From here on it is only ever finished, and takes along what is staged by now.
  Result<> all_copied(std::vector<std::string> staged) {
    return journal_ ? journal_->all_copied(std::move(staged)) : Result<>();
  }

  // Nothing was removed yet: what was copied goes, and all is as it was.
  Result<> undo() {
    auto undone = in_parallel([this](Move& move) { return take_copy_away(move); });
    if (undone && was_cut_off_) {
      if (!sleep_out(Patience::current(), kUntilSecondLook))
        return Error{Errc::kInterrupted, "interrupted before a copy that was cut off was looked for again"};
      undone =
          in_parallel([this](Move& move) { return move.may_be_copied ? take_copy_away(move) : Result<>(); });
    }
    if (undone) end();
    return undone;
  }

  Result<> remove_all() {
    const std::size_t together = moves_.size() > kRemovedTogether ? kRemovedTogether : 1;
    std::vector<std::function<Result<>()>> steps;
    for (std::size_t at = 0; at < moves_.size(); at += together)
      steps.emplace_back(
          [this, moves = std::span(moves_).subspan(at, std::min(together, moves_.size() - at))] {
            return moves.size() == 1 ? remove_old(moves.front()) : remove_old(moves);
          });
    auto removed = in_parallel(std::move(steps));
    if (removed) end();
    return removed;
  }

  // What open inodes below know of their versions.
  void tell(const std::vector<InodePtr>& below) const {
    std::unordered_map<std::string, const Move*> by_old_path;
    for (const Move& move : moves_) by_old_path.emplace(move.old_object.path, &move);
    const auto renamed = [&](const ObjectInfo& version) -> const ObjectInfo* {
      const auto found = by_old_path.find(version.path);
      if (found == by_old_path.end()) return nullptr;
      const Move& move = *found->second;
      return move.new_object && same_version(move.old_object, version) ? &*move.new_object : nullptr;
    };
    for (const InodePtr& inode : below) {
      const std::string path = core_.tree.last_path(inode);
      const auto moved = path.starts_with(new_prefix_)
                             ? by_old_path.find(old_prefix_ + path.substr(new_prefix_.size()))
                             : by_old_path.end();
      const std::lock_guard lock(inode->mutex);
      Staging& staging = inode->staging;
      // What a publish brought there that was not told so (rule 1) went along.
      if (moved != by_old_path.end() && staging.may_be_linked &&
          core_.publishing.goes_on_above_locked(staging, moved->second->old_object))
        inode->version = moved->second->old_object;
      if (inode->version)
        if (const auto* now = renamed(*inode->version)) inode->version = *now;
      if (staging.base)
        if (const auto* now = renamed(*staging.base)) staging.base = *now;
      if (staging.expected.kind == Expectation::Kind::kVersion) {
        if (const auto* now = renamed(*staging.expected.version)) {
          staging.expected = Expectation::of(*now);
          if (!inode->version) inode->version = *now;  // Of a vacated name: it goes when this one does.
        }
      }
      if (staging.theirs && staging.theirs->object)
        if (const auto* now = renamed(*staging.theirs->object)) staging.theirs->object = *now;
      if (staging.sealed) {
        SpoolRecord& promised = staging.sealed->record;
        if (promised.base)
          if (const auto* now = renamed(*promised.base)) promised.base = *now;
        if (promised.expected.kind == Expectation::Kind::kVersion)
          if (const auto* now = renamed(promised.expected.version)) promised.expected = Expectation::of(*now);
      }
      staging.ahead.reset();
      staging.parts.reset();
    }
  }

  Result<> take_along(std::vector<LeftBehind>& left) {
    return lakefuse::take_along(core_, journal_->record(), left);
  }

  [[nodiscard]] std::optional<ObjectInfo> only_copy() const {
    return moves_.empty() ? std::nullopt : moves_.front().new_object;
  }
  [[nodiscard]] bool has_objects() const { return !moves_.empty(); }

 private:
  Result<ObjectPath> new_path_of(const std::string& old_path) const {
    return ObjectPath::make(new_prefix_ + old_path.substr(old_prefix_.size()));
  }

  void end() {
    if (journal_) journal_->end();
    journal_.reset();
  }

  // A copy goes only where it is one, and where its original is still there.
  Result<> take_copy_away(const Move& move) {
    if (!move.new_object && !move.may_be_copied) return {};
    const auto copy = core_.lake.stat(move.new_path, ObjectStore::Look::kEntry);
    if (!copy) return copy.error().code == Errc::kNotFound ? Result<>() : copy.error();
    if (move.new_object ? !same_version(*copy, *move.new_object) : !is_equal_copy(*copy, move.old_object))
      return {};
    const auto old_path = ObjectPath::make(move.old_object.path);
    if (!old_path) return old_path.error();
    const auto original = core_.lake.stat(*old_path, ObjectStore::Look::kEntry);
    if (!original) return original.error().code == Errc::kNotFound ? Result<>() : original.error();
    if (!same_version(*original, move.old_object)) return {};
    return core_.publisher.remove(move.new_path, *copy, Publisher::Sight::kJustNow);
  }

  Result<> remove_old(const Move& move) {
    const auto path = ObjectPath::make(move.old_object.path);
    if (!path) return path.error();
    auto removed = core_.publisher.remove(*path, move.old_object);
    if (!removed && removed.error().code == Errc::kConflict) return {};  // Another client's by now: it stays.
    if (removed) core_.removed_from_lake(path->str());
    return removed;
  }

  Result<> remove_old(std::span<const Move> moves) {
    std::vector<Removal> removals;
    for (const Move& move : moves) {
      auto path = ObjectPath::make(move.old_object.path);
      if (!path) return path.error();
      removals.push_back({.path = *std::move(path), .version = move.old_object});
    }
    const auto others = core_.publisher.remove_all(removals);
    if (!others) return others.error();
    for (const Move& move : moves)
      if (std::ranges::find(*others, move.old_object.path) == others->end())
        core_.removed_from_lake(move.old_object.path);
    return {};
  }

  Result<> list_all() {
    ListRequest request{.prefix = old_prefix_, .after = {}, .delimited = false, .amount = 1000};
    while (true) {
      auto page = core_.lake.list(request);
      if (!page) return page.error();
      for (auto& entry : page->entries) {
        if (is_of_one_ && entry.object.path != old_prefix_) continue;
        auto path = new_path_of(entry.object.path);
        if (!path) return path.error().in("rename of " + entry.object.path);
        moves_.push_back({std::move(entry.object), *std::move(path), std::nullopt, false});
      }
      if (!page->has_more || is_of_one_) return {};
      if (moves_.size() >= kMostMoves)
        return Error{Errc::kTooLarge, "rename of " + old_prefix_ + ": there are more than " +
                                          std::to_string(kMostMoves) + " objects below it"};
      request.after = page->next;
    }
  }

  Result<> in_parallel(const std::function<Result<>(Move&)>& step) {
    std::vector<std::function<Result<>()>> steps;
    for (Move& move : moves_) steps.emplace_back([&] { return step(move); });
    return in_parallel(std::move(steps));
  }

  Result<> in_parallel(std::vector<std::function<Result<>()>> steps) {
    std::mutex mutex;
    std::optional<Error> first;
    std::vector<std::function<void()>> jobs;
    for (auto& step : steps) {
      jobs.emplace_back([&] {
        {
          const std::lock_guard lock(mutex);
          if (first) return;
        }
        if (auto done = guarded(step); !done) {
          const std::lock_guard lock(mutex);
          if (!first) first = done.error();
        }
      });
    }
    if (!jobs.empty()) core_.publishing.workers().run_all(std::move(jobs));
    if (first) return *first;
    return {};
  }

  FilesystemCore& core_;
  const std::string old_prefix_;
  const std::string new_prefix_;
  const bool is_of_one_;
  std::vector<Move> moves_;
  std::atomic<bool> was_cut_off_ = false;   // One of the copies.
  std::unique_ptr<RenameJournal> journal_;  // Null: there is nothing to write down, or it is settled.
};

}  // namespace

Result<> FilesystemCore::rename_directory(const InodePtr& directory, const InodePtr& from, const InodePtr& to,
                                          const std::string& new_name, const InodePtr& replaced) {
  auto one_at_a_time = directory_renames.take();
  if (!one_at_a_time) return one_at_a_time.error();
  const auto old_prefix = tree.path(directory);
  if (!old_prefix) return Error{Errc::kNotFound, "rename: the directory is gone"};
  if (tree.is_within(to, directory)) return Error{Errc::kInvalid, "rename of a directory into itself"};
  std::vector<InodePtr> tops{directory};
  if (replaced != nullptr) tops.push_back(replaced);
  const auto alone = have_alone(tops, {*old_prefix, tree.path_below(to, new_name) + "/"});
  if (!alone) return alone.error();
  Rest rest;
  auto done = rename_all(directory, from, to, new_name, replaced, &rest);
  if (rest.take_away) settle_behind(rest, directory, *std::move(one_at_a_time), *alone);
  return done;
}

void FilesystemCore::settle_behind(const Rest& rest, const InodePtr& top, Turns::Held one_at_a_time,
                                   StandingPaths::Held alone) {
  InodePtr there;  // What is left shows as that, if anybody looks.
  {
    const std::lock_guard lock(naming);
    there = tree.child(rest.directory, rest.name);
    if (there == nullptr) there = tree.add(rest.directory, rest.name, rest.name, Kind::kDirectory);
    for (const InodePtr& inode : {top, there}) tree.count_lookup(inode);  // So that no other one is made.
    const std::lock_guard attributes_lock(there->mutex);
    if (there->attributes.mode == 0) there->attributes = directory_attributes(nullptr, options, mounted_at);
  }
  auto also_alone = standing.move({there});  // The kernel keeps others away from the name till now.
  auto settle = [this, rest, top, there, turn = std::move(one_at_a_time), alone = std::move(alone),
                 also_alone = std::move(also_alone)](const std::stop_token& stop) {
    const Patience until_the_end(stop);
    const Moment until = std::chrono::steady_clock::now() + kRestPatience;
    auto pause = kFirstPause;
    const auto take_away = [&] { return guarded([&] { return rest.take_away(); }); };
    Result<> gone = take_away();
    while (!gone && is_passing(gone.error().code) && std::chrono::steady_clock::now() < until &&
           sleep_out(stop, pause)) {
      pause = std::min(2 * pause, kLongestPause);
      gone = take_away();
    }
    std::ignore = guarded([&] {
      for (const InodePtr& inode : tree.below(there)) {  // Whoever writes it did not lose it to others.
        const std::lock_guard lock(inode->mutex);
        inode->may_be_removed = true;
      }
      view.forget_pages(tree.path_below(rest.directory, rest.name) + "/");
      publishing.give_back(rest.directory, rest.name);
    });
    for (const InodePtr& inode : {top, there}) tree.forget(inode->node, 1);
    if (!gone) leave_to_next_mount(rest, gone.error());
  };
  try {
    settling = std::jthread(std::move(settle));
  } catch (const std::system_error& none) {
    leave_to_next_mount(rest, {Errc::kUnavailable, std::string("no thread can be started: ") + none.what()});
  }
}

void FilesystemCore::leave_to_next_mount(const Rest& rest, const Error& why) {
  note_failure("rename", why.in(rest.words + ", which the next mount removes"), true);
}

Result<StandingPaths::Held> FilesystemCore::have_alone(const std::vector<InodePtr>& tops,
                                                       const std::vector<std::string>& paths) {
  while (true) {
    for (const std::string& path : paths)
      if (auto first = catch_up(path); !first) return first.error();
    auto alone = standing.move(tops);
    if (!alone) return alone;
    // Who renamed a file there just before may have promised that its old name goes.
    if (std::ranges::none_of(paths, [&](const std::string& path) { return vacated.hides_below(path); }))
      return alone;
  }
}

Result<> FilesystemCore::rename_all(const InodePtr& top, const InodePtr& from, const InodePtr& to,
                                    const std::string& new_name, const InodePtr& replaced, Rest* rest) {
  const bool is_directory = top->kind == Kind::kDirectory;
  const auto old_prefix = tree.path(top);
  if (!old_prefix) return Error{Errc::kNotFound, "rename: the directory is gone"};
  const std::string new_prefix = tree.path_below(to, new_name) + (is_directory ? "/" : "");
  for (const std::string& prefix : {*old_prefix, new_prefix}) clear_vacated(prefix, Moment::max());
  if (replaced != nullptr) {
    if (tree.is_held_up(replaced) && !tree.children(replaced).empty())
      return Error{Errc::kNotEmpty, "rename: " + new_name + " is not empty"};
    if (!replaced->is_local_directory) {
      auto empty = view.is_empty(replaced);
      if (!empty) return empty.error();
      if (!*empty) return Error{Errc::kNotEmpty, "rename: " + new_name + " is not empty"};
    }
  }

  for (const InodePtr& inode : tree.below(top)) {  // What the lake does not have yet would never get there.
    const auto path = inode->is_ours ? tree.path(inode) : std::nullopt;
    if (!path || !path->starts_with(*old_prefix)) continue;
    if (auto fits = ObjectPath::make(new_prefix + path->substr(old_prefix->size())); !fits)
      return fits.error().in("rename of " + *path);
  }

  // What waits for a person has lost its name, and goes along with what it met there.
  const auto waiting = [&] {
    std::vector<InodePtr> all;
    for (const InodePtr& inode : publishing.staged()) {
      if (!is_directory || !tree.last_path(inode).starts_with(*old_prefix)) continue;
      const std::lock_guard lock(inode->mutex);
      if (inode->staging.wait == Wait::kPerson) all.push_back(inode);
    }
    return all;
  };
  const auto staged = [&] {
    std::vector<std::string> ids;
    auto all = tree.below(top);
    std::ranges::copy(waiting(), std::back_inserter(all));
    for (const InodePtr& inode : all) {
      const std::lock_guard lock(inode->mutex);
      if (inode->staging.spool != nullptr) ids.push_back(inode->staging.spool->id());
      if (inode->staging.sealed) ids.push_back(inode->staging.sealed->spool->id());
    }
    return ids;
  };
  if (auto late = publishing.cut_off().outlast({*old_prefix, new_prefix}); !late) return late.error();
  const auto made = std::make_shared<DirectoryRename>(*this, *old_prefix, new_prefix, !is_directory);
  DirectoryRename& rename = *made;
  if (auto begun = rename.begin(staged(), !top->is_local_directory); !begun) return begun.error();
  const auto leave = [&](Rest left, const Error& why) {
    if (rest != nullptr && is_passing(why.code))
      *rest = std::move(left);
    else
      leave_to_next_mount(left, why);
  };
  std::optional<Attributes> replaced_had;  // Once its marker is gone.
  const auto give_up = [&](Error why) {
    const auto undo = [this, made, new_prefix, replaced, replaced_had]() -> Result<> {
      if (auto undone = made->undo(); !undone || !replaced_had) return undone;
      const auto marker = publish_empty(new_prefix, *replaced_had, Expectation::absent());
      if (marker) view.changed_marker(replaced, *marker);
      return marker || marker.error().code == Errc::kExists ? Result<>() : marker.error();
    };
    if (auto undone = undo(); !undone) {
      publishing.give_back(to, new_name);
      leave({undo, to, new_name,
             "rename of " + *old_prefix + " to " + new_prefix + " failed, and copies of it are still there"},
            undone.error());
    }
    if (why.code == Errc::kConflict || why.code == Errc::kExists) why.code = Errc::kBusy;
    return why;
  };
  if (replaced != nullptr && !top->is_local_directory) {  // Its marker would stand in the way of ours.
    auto marker = ObjectPath::make(new_prefix);
    if (!marker) return give_up(marker.error());
    {
      const std::lock_guard lock(replaced->mutex);
      if (!replaced->is_local_directory) replaced_had = replaced->attributes;
    }
    if (auto removed = publisher.remove(*marker, std::nullopt); !removed) return give_up(removed.error());
  }
  if (auto copied = rename.copy_all(); !copied) return give_up(copied.error());
  if (rename.has_objects()) {
    if (auto kept = keep_directory(from, top->key + (is_directory ? "/" : "")); !kept)
      return give_up(kept.error());
  }
  if (auto noted = rename.all_copied(staged()); !noted) return give_up(noted.error());
  std::vector<InodePtr> along = waiting();
  const std::string old_key = top->key;
  const auto old_name_is_gone = [&] {
    if (is_directory)  // The object that stood beside the old prefix, if any, is no part of this.
      view.changed_prefix(from, old_key, false);
    else
      view.changed_object(from, old_key, std::nullopt);
  };
  {
    const std::lock_guard lock(naming);
    if (replaced != nullptr) tree.unname(replaced);
    tree.move(top, to, new_name, new_name);
    old_name_is_gone();
    if (is_directory)
      view.changed_prefix(to, new_name, rename.has_objects());
    else
      view.changed_object(to, new_name, rename.only_copy());
    for (const InodePtr& inode : along)
      tree.was_last_at(inode, new_prefix + tree.last_path(inode).substr(old_prefix->size()));
    std::ranges::copy(tree.below(top), std::back_inserter(along));
    rename.tell(along);  // Those that were looked up meanwhile, too.
  }
  // What the lake still held there went along.
  if (is_directory)
    vacated.forget_below(*old_prefix);
  else
    vacated.forget(*old_prefix);
  view.forget_pages(new_prefix);
  view.changed_time(from);
  view.changed_time(to);
  for (const InodePtr& inode : along) publishing.save(inode);
  auto removed = rename.remove_all();
  view.forget_pages(*old_prefix);
  old_name_is_gone();  // Whoever asked meanwhile was told of what was still there.
  if (!removed) {
    publishing.give_back(from, old_key);  // The kernel does not know of the new names either.
    publishing.give_back(to, new_name);
    const std::string words = "rename made the new names, but some old ones are still there";
    leave({[made] { return made->remove_all(); }, from, old_key, words}, removed.error());
    return removed.error().in(words);
  }
  return {};
}

Result<> FilesystemCore::rename_left(const std::string& from, const std::string& to,
                                     std::vector<LeftBehind>& left) {
  std::vector<std::string> staged;
  for (const LeftBehind& one : left)
    if (one.record.path.starts_with(from)) staged.push_back(one.file->id());
  DirectoryRename rename(*this, from, to);
  if (auto begun = rename.begin(staged, true); !begun) return begun;
  Result<> done = rename.copy_all();
  if (!done) {
    std::ignore = rename.undo();
    return done;
  }
  done = rename.all_copied(std::move(staged));
  if (done) done = rename.take_along(left);
  return done ? rename.remove_all() : done;
}

}  // namespace lakefuse
