// Attributes: stat and what changes it, and what the file system as a whole says of itself. Extended
// attributes are next door.

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

#include "fs/filesystem_core.h"

namespace lakefuse {
namespace {

// Much room: the lake has no end, and programs refuse to start where they see none.
constexpr std::uint64_t kLakeBytes = std::uint64_t{1} << 50;

timespec chosen(const std::optional<timespec>& time) {
  return time ? *time : now_on_the_clock();
}

auto kept_by_the_lake(const Attributes& of) {
  return std::tuple(of.mode, of.uid, of.gid, of.mtime.tv_sec, of.mtime.tv_nsec);
}

// Whether something changed that the lake keeps: tar says of all that it makes whose it is.
bool apply(const AttrChange& change, Attributes& attributes) {
  const auto before = kept_by_the_lake(attributes);
  if (change.mode) attributes.mode = (attributes.mode & S_IFMT) | (*change.mode & 07777);
  if (change.uid) attributes.uid = *change.uid;
  if (change.gid) attributes.gid = *change.gid;
  if (change.atime) attributes.atime = chosen(*change.atime);
  if (change.mtime) attributes.mtime = chosen(*change.mtime);
  attributes.ctime = now_on_the_clock();
  return kept_by_the_lake(attributes) != before;
}

}  // namespace

Result<NodeAttr> Filesystem::getattr(NodeId node) {
  FilesystemCore& core = *core_;
  auto inode = core.tree.find(node);
  if (!inode) return inode.error();
  const bool asks = (*inode)->kind == Kind::kDirectory && !(*inode)->is_local_directory;
  if (asks) {
    const auto looked = core.view.look_into(*inode);
    if (!looked && looked.error().code != Errc::kNotFound) return looked.error();
    if (!looked && !core.tree.is_held_up(*inode)) return looked.error();
    return core.attr_of(*inode, core.view.ttl());
  }
  // The kernel asks because what it knew is too old: what the lake holds now decides whether this is still it
  // (R3).
  const auto [directory, name] = core.tree.parent_and_name(*inode);
  if (directory == nullptr) return core.attr_of(*inode, core.view.ttl());
  auto found = core.find(directory, name);
  if (!found) return found.error();
  return core.attr_of(*inode, found->inode == *inode ? found->valid : std::chrono::milliseconds(0));
}

Result<NodeAttr> Filesystem::setattr(NodeId node, const AttrChange& change, std::optional<HandleId> handle,
                                     const Caller&) {
  FilesystemCore& core = *core_;
  auto found = core.tree.find(node);
  if (!found) return found.error();
  const InodePtr& inode = *found;
  if (core.options.read_only) return core.read_only_error();
  if (change.size) {
    if (inode->kind != Kind::kFile) return Error{Errc::kIsADirectory, "truncate: not a file"};
    if (auto cut = core.truncate(inode, *change.size); !cut) return cut.error();
  }
  if (change.mode || change.uid || change.gid || change.atime || change.mtime) {
    const auto applied = [&](Attributes& attributes) { return Result<bool>(apply(change, attributes)); };
    if (auto done = core.change_attributes(inode, applied); !done) return done.error();
  }
  bool is_alone = false;
  {
    const std::lock_guard lock(inode->mutex);
    is_alone = inode->writers == 0;
  }
  // truncate(path) has no close of its own.
  if (change.size && !handle && is_alone) {
    if (auto settled = core.settle(inode); !settled) return settled.error();
  }
  return core.attr_of(inode, core.view.ttl());
}

Result<> FilesystemCore::change_attributes(const InodePtr& inode, const ChangeOfAttributes& change) {
  const auto stands = standing.hold({inode});
  if (!stands) return stands.error();
  const auto turn = inode->turn.take();
  if (!turn) return turn.error();
  const std::string shown = tree.last_path(inode);
  if (auto late = publishing.cut_off().outlast({shown}); !late) return late.error();
  std::optional<ObjectInfo> version;
  Attributes after;
  bool stays_here = false, is_new = false;
  {
    const std::lock_guard lock(inode->mutex);
    after = inode->attributes;
    const auto is_kept = change(after);
    if (!is_kept) return is_kept.error();
    is_new = *is_kept;
    // What is not published yet goes with the bytes; access times live while mounted.
    const bool goes_with_bytes = inode->staging.dirty || inode->is_deleted;
    stays_here = !*is_kept || goes_with_bytes || inode->is_local_directory;
    if (stays_here) inode->attributes = after;
    if (stays_here && *is_kept && inode->staging.dirty) ++inode->staging.generation;
    version = inode->version;
  }
  if (stays_here) {
    if (is_new) publishing.save(inode);
    return {};
  }
  if (inode->kind == Kind::kDirectory) return change_directory(inode, after);
  if (!version) return Error{Errc::kNotFound, "setattr of " + shown + ": it is gone"};
  auto path = ObjectPath::make(version->path);
  if (!path) return path.error();
  auto changed = publisher.set_metadata(*path, *version, metadata_of(after, options, version->checksum));
  if (!changed) {
    publishing.cut_off().may_come_later(shown, changed.error());
    return changed.error();
  }
  const auto [directory, name] = tree.parent_and_name(inode);
  if (directory != nullptr) view.changed_object(directory, inode->key, *changed);
  const std::lock_guard lock(inode->mutex);
  publishing.versions().met(version->path, *changed);
  inode->attributes = after;
  inode->version = *changed;
  if (inode->staging.spool != nullptr) inode->staging.expected = Expectation::of(*changed);
  return {};
}

Result<> FilesystemCore::change_directory(const InodePtr& inode, const Attributes& after) {
  const auto text = tree.path(inode);
  if (inode == tree.root() || !text) {  // Without a marker of its own, or removed: while mounted, or open.
    const std::lock_guard lock(inode->mutex);
    inode->attributes = after;
    return {};
  }
  auto path = ObjectPath::make(*text);
  if (!path) return path.error();
  const auto marker_known = [&] {
    return tree.with_view(inode, [](const DirectoryView& known) {
      return std::pair(known.marker_seen.has_value(), known.marker);
    });
  };
  if (!marker_known().first)  // Nobody has looked since it was renamed with a directory above.
    if (auto looked = view.look_into(inode); !looked && looked.error().code != Errc::kNotFound)
      return looked.error();
  const auto set = [&](const ObjectInfo& marker) {
    return publisher.set_metadata(*path, marker, metadata_of(after, options, marker.checksum));
  };
  const auto marker = marker_known().second;
  auto changed = marker ? set(*marker) : publish_empty(*text, after, Expectation::absent());
  if (!marker && !changed && changed.error().code == Errc::kExists)  // Another client made it just now.
    if (const auto there = lake.stat(*path, ObjectStore::Look::kEntry)) changed = set(*there);
  if (!changed) return changed.error();
  view.changed_marker(inode, *changed);
  const std::lock_guard lock(inode->mutex);
  inode->attributes = after;
  inode->version = *changed;
  inode->version_seen = std::chrono::steady_clock::now();
  return {};
}

Result<std::string> Filesystem::readlink(NodeId node) {
  auto inode = core_->tree.find(node);
  if (!inode) return inode.error();
  if ((*inode)->kind != Kind::kSymlink) return Error{Errc::kInvalid, "readlink: not a symlink"};
  const std::lock_guard lock((*inode)->mutex);
  return (*inode)->attributes.symlink_target;
}

Result<> Filesystem::access(NodeId node, int mask) {
  constexpr int kWrite = 2;  // W_OK
  auto inode = core_->tree.find(node);
  if (!inode) return inode.error();
  if ((mask & kWrite) != 0 && core_->options.read_only) return core_->read_only_error();
  return {};
}

Result<struct statvfs> Filesystem::statfs() {
  constexpr unsigned long kBlock = 4096;
  struct statvfs facts {};
  facts.f_bsize = facts.f_frsize = kBlock;
  // What the lake holds nobody counts: none of it is used, or df would say 100 %.
  facts.f_blocks = facts.f_bfree = kLakeBytes / kBlock;
  // What can be written before it has to be on the lake.
  if (core_->spool != nullptr) facts.f_bavail = core_->spool->free_bytes() / kBlock;
  facts.f_files = facts.f_ffree = facts.f_favail = std::uint64_t{1} << 32;
  facts.f_namemax = 255;
  return facts;
}

}  // namespace lakefuse
