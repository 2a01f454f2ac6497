// Rename of a directory: every object below it is copied, then every old one removed; all copies come before
// all removals (design rule 4).

#include <mutex>
#include <unordered_map>
#include <utility>

#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

struct Move {
  ObjectInfo old_object;
  ObjectPath new_path;
  std::optional<ObjectInfo> new_object;
};

class DirectoryRename {
 public:
  DirectoryRename(FilesystemCore& core, std::string old_prefix, std::string new_prefix)
      : core_(core), old_prefix_(std::move(old_prefix)), new_prefix_(std::move(new_prefix)) {}

  Result<> copy_all() {
    if (auto listed = list_all(); !listed) return listed.error();
    return in_parallel([this](Move& move) -> Result<> {
      auto copied = core_.publisher.copy(move.old_object, move.new_path, Expectation::absent(),
                                         move.old_object.metadata);
      if (!copied) return copied.error();
      core_.publishing.is_ours_now(copied->physical_address);
      move.new_object = *std::move(copied);
      return {};
    });
  }

  // Nothing was removed yet: what was copied goes, and all is as it was.
  void undo() {
    std::ignore = in_parallel([this](Move& move) -> Result<> {
      if (!move.new_object) return {};
      return core_.publisher.remove(move.new_path, move.new_object, Publisher::Sight::kLook);
    });
  }

  Result<> remove_all() {
    return in_parallel([this](Move& move) -> Result<> {
      auto path = ObjectPath::make(move.old_object.path);
      if (!path) return path.error();
      auto removed = core_.publisher.remove(*path, move.old_object, Publisher::Sight::kLook);
      if (!removed && removed.error().code == Errc::kConflict)
        return {};  // Another client's by now: it stays.
      return removed;
    });
  }

  // What open inodes below know of their versions.
  void tell(const std::vector<InodePtr>& below) const {
    std::unordered_map<std::string, const Move*> by_old_path;
    for (const Move& move : moves_) by_old_path.emplace(move.old_object.path, &move);
    for (const InodePtr& inode : below) {
      const std::lock_guard lock(inode->mutex);
      if (!inode->version) continue;
      const auto found = by_old_path.find(inode->version->path);
      if (found == by_old_path.end()) continue;
      const Move& move = *found->second;
      if (!move.new_object || !same_version(move.old_object, *inode->version)) continue;
      inode->version = move.new_object;
      if (inode->staging.spool != nullptr) {
        if (inode->staging.base) inode->staging.base = move.new_object;
        inode->staging.expected = Expectation::of(*move.new_object);
      }
      inode->staging.ahead.reset();
    }
  }

  [[nodiscard]] bool has_objects() const { return !moves_.empty(); }

 private:
  Result<> list_all() {
    ListRequest request{.prefix = old_prefix_, .after = {}, .delimited = false, .amount = 1000};
    while (true) {
      auto page = core_.lake.list(request);
      if (!page) return page.error();
      for (auto& entry : page->entries) {
        auto path = ObjectPath::make(new_prefix_ + entry.object.path.substr(old_prefix_.size()));
        if (!path) return path.error().in("rename of " + entry.object.path);
        moves_.push_back({std::move(entry.object), *std::move(path), std::nullopt});
      }
      if (!page->has_more) return {};
      request.after = page->next;
    }
  }

  Result<> in_parallel(const std::function<Result<>(Move&)>& step) {
    std::mutex mutex;
    std::optional<Error> first;
    std::vector<std::function<void()>> jobs;
    for (Move& move : moves_) {
      jobs.emplace_back([&] {
        {
          const std::lock_guard lock(mutex);
          if (first) return;
        }
        if (auto done = step(move); !done) {
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
  std::vector<Move> moves_;
};

void forget_views(FilesystemCore& core, const InodePtr& directory) {
  core.tree.with_view(directory, [](DirectoryView& view) { view = DirectoryView{}; });
  for (const InodePtr& child : core.tree.children(directory)) {
    if (child->kind == Kind::kDirectory) forget_views(core, child);
  }
}

}  // namespace

Result<> FilesystemCore::rename_directory(const InodePtr& directory, const InodePtr& from, const InodePtr& to,
                                          const std::string& new_name, const InodePtr& replaced) {
  auto one_at_a_time = directory_renames.take();
  if (!one_at_a_time) return one_at_a_time.error();
  const auto old_prefix = tree.path(directory);
  if (!old_prefix) return Error{Errc::kNotFound, "rename: the directory is gone"};
  const std::string new_prefix = tree.path_below(to, new_name) + "/";
  for (const std::string& prefix : {*old_prefix, new_prefix}) clear_vacated(prefix, Moment::max());
  if (tree.is_within(to, directory)) return Error{Errc::kInvalid, "rename of a directory into itself"};
  if (replaced != nullptr) {
    if (tree.is_held_up(replaced) && !tree.children(replaced).empty())
      return Error{Errc::kNotEmpty, "rename: " + new_name + " is not empty"};
    if (!replaced->is_local_directory) {
      auto empty = view.is_empty(replaced);
      if (!empty) return empty.error();
      if (!*empty) return Error{Errc::kNotEmpty, "rename: " + new_name + " is not empty"};
    }
  }

  // Publishes below wait, and those that are under way are waited for.
  const std::vector<InodePtr> below = tree.below(directory);
  std::vector<Turns::Held> turns;
  for (const InodePtr& inode : below) {
    auto turn = inode->turn.take();
    if (!turn) return turn.error();
    turns.push_back(*std::move(turn));
  }

  DirectoryRename rename(*this, *old_prefix, new_prefix);
  if (!directory->is_local_directory) {
    if (replaced != nullptr) {  // Its marker would stand in the way of ours.
      auto marker = ObjectPath::make(new_prefix);
      if (!marker) return marker.error();
      if (auto removed = publisher.remove(*marker, std::nullopt); !removed) return removed.error();
    }
    if (auto copied = rename.copy_all(); !copied) {
      rename.undo();
      Error why = copied.error();
      if (why.code == Errc::kConflict || why.code == Errc::kExists) why.code = Errc::kBusy;
      return why;
    }
    if (rename.has_objects()) {
      if (auto kept = keep_directory(from, directory->key); !kept) {
        rename.undo();
        return kept.error();
      }
    }
  }
  const std::string old_key = directory->key;
  {
    const std::lock_guard lock(naming);
    if (replaced != nullptr) tree.unname(replaced);
    tree.move(directory, to, new_name);
    // The object that stood beside the old prefix, if any, is no part of this.
    view.changed_prefix(from, old_key, false);
    view.changed_prefix(to, new_name, rename.has_objects());
  }
  rename.tell(below);
  forget_views(*this, directory);
  view.changed_time(from);
  view.changed_time(to);
  for (const InodePtr& inode : below) publishing.save(inode);
  if (auto removed = rename.remove_all(); !removed) {
    view.distrust(from, old_key);
    return removed.error().in("rename made the new names, but some old ones are still there");
  }
  return {};
}

}  // namespace lakefuse
