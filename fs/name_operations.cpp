// Names that come and go: unlink, symlink, mknod, and what a rename asks for. How files and directories are
// renamed is next door.

#include <linux/fs.h>

#include <algorithm>

#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

class NoBytes : public ByteSource {
 public:
  [[nodiscard]] std::uint64_t size() const override { return 0; }
  Result<std::size_t> read(std::uint64_t, std::span<std::byte>) const override { return std::size_t{0}; }
};

// A publish whose answer was lost may have put the name on the lake after all.
Result<> remove_what_we_may_have_linked(FilesystemCore& core, const ObjectPath& path,
                                        const std::string& nonce) {
  const auto there = core.lake.stat(path, ObjectStore::Look::kEntry);
  if (!there) return there.error().code == Errc::kNotFound ? Result<>() : there.error();
  if (!is_nonce(nonce_of(there->metadata), nonce, there->physical_address, core.lake.facts().can_presign))
    return {};
  return core.publisher.remove(path, *there, Publisher::Sight::kJustNow);
}

Result<> remove_from_lake(FilesystemCore& core, const InodePtr& inode, const ObjectPath& path) {
  std::optional<ObjectInfo> version;
  std::string nonce;
  bool is_claim = false, may_be_linked = false;
  {
    const std::lock_guard lock(inode->mutex);
    version = inode->version;
    nonce = inode->staging.nonce;
    is_claim = inode->claimed_by_us;
    may_be_linked = inode->staging.may_be_linked;
  }
  if (!version) return may_be_linked ? remove_what_we_may_have_linked(core, path, nonce) : Result<>();
  if (!is_claim) return core.publisher.remove(path, version, Publisher::Sight::kNone);
  auto removed = core.publisher.remove(path, version, Publisher::Sight::kLook);
  // Another client's commit may put it back (rule 3): a lock that nobody holds.
  if (removed) core.release_later({.path = path.str(), .nonce = {}, .version = version});
  // Another client's claim by now. ENOENT, for after ESTALE the kernel would come again and remove that one.
  if (!removed && removed.error().code == Errc::kConflict)
    return Error{Errc::kNotFound, "unlink of " + path.str() + ": the object there is not the one made here"};
  return removed;
}

}  // namespace

Result<ObjectInfo> FilesystemCore::publish_empty(const std::string& path, const Attributes& attributes,
                                                 const Expectation& expected, Empty kind,
                                                 const std::string& nonce) {
  auto legal = ObjectPath::make(path);
  if (!legal) return legal.error();
  if (auto late = publishing.cut_off().outlast({path}); !late) return late.error();
  auto linked = publisher.publish({.path = *std::move(legal),
                                   .meta = {.mtime_seconds = attributes.mtime.tv_sec,
                                            .content_type = {},
                                            .metadata = metadata_of(attributes, options, "")},
                                   .expected = expected,
                                   .look_again = kind == Empty::kClaim,
                                   .nonce = nonce},
                                  NoBytes{});
  if (linked)
    publishing.versions().is_ours_now(linked->physical_address);
  else if (kind == Empty::kEntry)  // A claim is looked for by itself (release_later).
    publishing.cut_off().may_come_later(path, linked.error());
  return linked;
}

Result<> FilesystemCore::keep_directory(const InodePtr& directory, const std::string& key) {
  if (directory == tree.root()) return {};
  const bool will_stay = tree.with_view(directory, [&](const DirectoryView& known) {
    return known.marker || known.knows_another_than(key.substr(0, key.find('/')));
  });
  if (will_stay) return {};
  auto empties = view.is_empty(directory, key);
  if (!empties) return empties.error();
  if (!*empties) return {};
  const auto path = tree.path(directory);
  if (!path) return {};
  Attributes attributes;
  {
    const std::lock_guard lock(directory->mutex);
    attributes = directory->attributes;
  }
  auto marker = publish_empty(*path, attributes, Expectation::absent());
  if (!marker && marker.error().code != Errc::kExists) return marker.error();
  if (marker) view.changed_marker(directory, *marker);
  return {};
}

void FilesystemCore::keep_without(const InodePtr& directory, const InodePtr& unpublished) {
  if (!tree.is_held_up(directory, unpublished)) std::ignore = keep_directory(directory, unpublished->key);
}

void FilesystemCore::removed_from_lake(const std::string& path) {
  publishing.versions().removed(path);
  vacated.forget(path);
}

Result<> Filesystem::unlink(NodeId parent, std::string_view name) {
  FilesystemCore& core = *core_;
  auto directory = core.directory_to_change(parent);
  if (!directory) return directory.error();
  auto found = core.find_existing(*directory, name);
  if (!found) return found.error();
  const InodePtr& inode = *found;
  if (inode->kind == Kind::kDirectory) return Error{Errc::kIsADirectory, "unlink of a directory"};
  bool is_claim = false;  // Others wait for it to go.
  {
    const std::lock_guard lock(inode->mutex);
    is_claim = inode->claimed_by_us;
  }
  if (core.options.writeback != Writeback::kOff && !is_claim) {
    const auto promised = core.unlink_behind(*directory, inode);
    if (!promised) return promised.error();
    if (*promised) return {};
  }
  if (auto first = core.catch_up(core.tree.last_path(inode)); !first) return first;
  const auto stands = core.standing.hold({inode, *directory});
  if (!stands) return stands.error();
  const auto turn = core.take_turn_from_upload(inode);  // Its bytes are not wanted any more.
  if (!turn) return turn.error();
  const auto text = core.tree.path(inode);
  if (!text) return Error{Errc::kNotFound, "unlink: the name is gone"};
  if (auto late = core.publishing.cut_off().outlast({*text}); !late) return late.error();
  auto path = ObjectPath::make(*text);
  if (!path) return path.error();

  const FilesystemCore::Unlinking unlinking(core, inode);
  bool is_on_lake = false;
  {
    const std::lock_guard lock(inode->mutex);
    is_on_lake = inode->version.has_value();
  }
  if (is_on_lake || !core.is_local_name(inode)) {
    if (is_on_lake) {
      if (auto kept = core.keep_directory(*directory, inode->key); !kept) return kept.error();
    }
    if (auto removed = remove_from_lake(core, inode, *path); !removed) {
      {
        const std::lock_guard lock(inode->mutex);
        inode->may_be_removed |= may_be_done(removed.error().code);
      }
      core.publishing.cut_off().may_come_later(*text, removed.error());
      core.view.distrust(*directory, inode->key);
      if (removed.error().code == Errc::kNotFound) core.tree.unname(inode);
      return removed.error();
    }
    if (is_on_lake) core.removed_from_lake(*text);
  }
  if (!is_on_lake) core.keep_without(*directory, inode);
  core.view.changed_object(*directory, inode->key, std::nullopt);
  core.view.changed_time(*directory);
  core.tree.unname(inode);
  core.bury(inode);
  return {};
}

Attributes FilesystemCore::attributes_in(const InodePtr& directory, mode_t mode, const Caller& caller) {
  const std::lock_guard lock(directory->mutex);
  return new_attributes(mode, caller, directory->attributes);
}

Result<NodeEntry> FilesystemCore::make_node(const InodePtr& directory, std::string_view name,
                                            const Attributes& attributes) {
  auto found = find(directory, name);
  if (!found) return found.error();
  const std::string& key = found->key;
  const std::string path = tree.path_below(directory, key);
  if (found->inode != nullptr) return Error{Errc::kExists, path + " is there"};
  if (auto legal = ObjectPath::make(path); !legal) return legal.error();
  InodePtr inode;
  {
    const std::lock_guard lock(naming);
    inode = tree.add(directory, std::string(name), key, kind_of(attributes.mode));
    const std::lock_guard also(inode->mutex);
    inode->attributes = attributes;
    inode->made_exclusively = true;
    inode->is_ours = true;
  }
  tree.count_lookup(inode);  // The answer's; until then it keeps the inode.
  const auto made = [&]() -> Result<> {
    if (auto staged = stage_in_time(inode, false); !staged) return staged.error();
    {
      const std::lock_guard lock(inode->mutex);
      touch(*inode, true);
      inode->staging.exclusive = true;
    }
    return settle(inode);  // No close will come.
  }();
  if (!made) {  // Nobody has it open, and who wanted it was told: nothing is left to keep.
    {
      const std::lock_guard lock(inode->mutex);
      inode->staging.wait = Wait::kNothing;
    }
    bury(inode);
    tree.unname(inode);
    tree.forget(inode->node, 1);
    publishing.give_back(directory, std::string(name));  // It may be there a moment later.
    return made.error();
  }
  view.changed_time(directory);
  return NodeEntry{inode->node, attr_of(inode, view.ttl())};
}

Result<NodeEntry> Filesystem::symlink(NodeId parent, std::string_view name, std::string_view target,
                                      const Caller& caller) {
  auto directory = core_->directory_to_change(parent);
  if (!directory) return directory.error();
  if (!is_utf8(target))
    return Error{Errc::kBadName, "symlink: the target is not UTF-8, which lakeFS could not say back"};
  Attributes attributes = core_->attributes_in(*directory, S_IFLNK | 0777, caller);
  attributes.symlink_target = target;
  return core_->make_node(*directory, name, attributes);
}

Result<NodeEntry> Filesystem::mknod(NodeId parent, std::string_view name, mode_t mode, dev_t device,
                                    const Caller& caller) {
  auto directory = core_->directory_to_change(parent);
  if (!directory) return directory.error();
  const mode_t type = (mode & S_IFMT) == 0 ? S_IFREG : mode & S_IFMT;
  if (type != S_IFREG && !is_special(type))
    return Error{Errc::kInvalid, "mknod of " + std::string(name) + ": not a type that mknod makes"};
  Attributes attributes = core_->attributes_in(*directory, type | (mode & 07777 & ~caller.umask), caller);
  attributes.device = device;
  return core_->make_node(*directory, name, attributes);
}

Result<> Filesystem::rename(NodeId parent, std::string_view name, NodeId new_parent,
                            std::string_view new_name, unsigned flags, const Caller&) {
  FilesystemCore& core = *core_;
  auto from = core.directory_to_change(parent);
  if (!from) return from.error();
  if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
    return Error{Errc::kInvalid, "rename: of the flags only NOREPLACE and EXCHANGE are supported"};
  auto to = core.tree.find_directory(new_parent);
  if (!to) return to.error();
  auto inode = core.find_existing(*from, name);
  if (!inode) return inode.error();
  auto there = core.find(*to, new_name);
  if (!there) return there.error();
  const bool is_directory = (*inode)->kind == Kind::kDirectory;
  const std::string below = is_directory ? std::string(new_name) + "/" : there->key;
  if (auto legal = ObjectPath::make(core.tree.path_below(*to, below)); !legal) return legal.error();
  if (there->inode == *inode) return {};
  if (flags == RENAME_EXCHANGE) {
    if (there->inode == nullptr) return Error{Errc::kNotFound, "exchange: no " + std::string(new_name)};
    const bool are_files = !is_directory && there->inode->kind != Kind::kDirectory;
    return are_files ? core.exchange_files(*inode, there->inode) : core.exchange_all(*inode, there->inode);
  }
  if (there->inode != nullptr) {
    if ((flags & RENAME_NOREPLACE) != 0)
      return Error{Errc::kExists, "rename: " + std::string(new_name) + " is there"};
    const bool onto_directory = there->inode->kind == Kind::kDirectory;
    if (onto_directory && !is_directory)
      return Error{Errc::kIsADirectory, "rename of a file onto a directory"};
    if (!onto_directory && is_directory)
      return Error{Errc::kNotADirectory, "rename of a directory onto a file"};
  }
  const bool may_replace = (flags & RENAME_NOREPLACE) == 0;
  if (is_directory) return core.rename_directory(*inode, *from, *to, std::string(new_name), there->inode);
  return core.rename_file(*inode, *from, {*to, std::string(new_name), there->key, there->inode}, may_replace);
}

}  // namespace lakefuse
