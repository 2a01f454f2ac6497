// Names: what the mount shows under them, out of what the lake holds and what this machine has not published
// yet.

#include <algorithm>
#include <cstring>

#include "fs/beside_name.h"
#include "fs/filesystem_core.h"

namespace lakefuse {
namespace {

// Files that the kernel may know at once: some 30 MB. What is asked for again is found again.
constexpr std::size_t kMostTold = 30'000;

bool is_of_one_type(const Attributes& a, const Attributes& b) {
  return (a.mode & S_IFMT) == (b.mode & S_IFMT) && a.device == b.device;
}

// There is a prefix of that key by now: the file that had the name shows beside it, and is no other one to
// who has it open.
void move_to_beside(Tree& tree, const InodePtr& directory, const std::string& key) {
  const InodePtr file = tree.child(directory, key);
  if (file == nullptr || file->kind == Kind::kDirectory) return;
  const InodePtr there = tree.child(directory, beside_name(key));
  if (there == nullptr || !(there->is_ours || there->is_local_directory))
    tree.move(file, directory, beside_name(key), key);
}

}  // namespace

Result<InodePtr> FilesystemCore::directory_to_change(NodeId node) const {
  if (options.read_only) return read_only_error();
  return tree.find_directory(node);
}

Result<FilesystemCore::Found> FilesystemCore::find(const InodePtr& directory, std::string_view name) {
  if (auto fine = check_name(name); !fine) return fine.error();
  if (auto over = wait_for_exchange(directory, name); !over) return over.error();
  if (auto over = wait_for_cut_off(directory, name); !over) return over.error();
  while (true) {
    auto found = try_find(directory, std::string(name));
    if (!found) return found.error();
    if (!*found) continue;
    if ((*found)->inode != nullptr) (*found)->key = tree.key_of((*found)->inode);
    return **found;
  }
}

Result<> FilesystemCore::wait_for_cut_off(const InodePtr& directory, std::string_view name) {
  CutOff& cut_off = publishing.cut_off();
  if (cut_off.is_idle()) return {};
  for (const std::string& key : {std::string(name), key_beside(name).value_or("")}) {
    if (key.empty()) continue;
    const auto has_waited = cut_off.outlast({tree.path_below(directory, key)});
    if (!has_waited) return has_waited.error();
    if (*has_waited) view.distrust(directory, key);
  }
  return {};
}

Result<std::optional<FilesystemCore::Found>> FilesystemCore::try_find(const InodePtr& directory,
                                                                      const std::string& name) {
  const auto own_changes = [&] {
    return tree.with_view(directory, [](const DirectoryView& known) { return known.own_changes; });
  };
  const auto ours = [&]() -> std::optional<Found> {
    const InodePtr child = tree.child(directory, name);
    if (child == nullptr)
      return directory->is_local_directory ? std::optional(Found{nullptr, view.ttl(), name}) : std::nullopt;
    if (child->is_ours || child->is_local_directory || directory->is_local_directory)
      return Found{child, view.ttl()};
    return std::nullopt;
  };
  const auto before = own_changes();
  if (auto found = ours()) return found;

  const auto ask = [&](const std::string& at) -> Result<LakeView::Answer> {
    auto answer = view.find(directory, at);
    // The directory itself is gone, or was never more than ours.
    if (!answer && answer.error().code == Errc::kNotFound) return LakeView::Answer{};
    return answer;
  };
  std::string key = name;
  auto answer = ask(key);
  if (!answer) return answer.error();
  std::optional<LakeView::Answer> beside;
  const auto shown_there = key_beside(name);
  if (answer->holding.is_nothing() && shown_there) {
    auto there = ask(*shown_there);
    if (!there) return there.error();
    beside = *std::move(there);
  }

  const std::lock_guard lock(naming);
  if (auto found = ours()) return found;
  if (own_changes() != before) return std::optional<Found>();
  // A directory that only bytes of ours hold up is there, whatever the lake says.
  if (tree.holds_up(directory, name)) return std::optional(Found{tree.child(directory, name), view.ttl()});
  if (!beside) {
    if (!answer->holding.is_prefix) tree.move_from_beside(directory, name);
  } else if (beside->holding.is_prefix || tree.holds_up(directory, *shown_there)) {
    key = *shown_there;
    answer = *std::move(beside);
    answer->holding.is_prefix = false;
  } else {
    tree.move_from_beside(directory, *shown_there);
  }
  if (auto found = ours()) return found;
  if (!answer->holding.is_nothing())
    return std::optional(Found{inode_for(directory, name, key, answer->holding), answer->valid});
  const InodePtr child = tree.child(directory, name);
  if (child == nullptr) return std::optional(Found{nullptr, answer->valid, key});
  tree.unname(child);
  return std::optional(Found{nullptr, answer->valid, key});
}

Result<InodePtr> FilesystemCore::find_existing(const InodePtr& directory, std::string_view name) {
  auto found = find(directory, name);
  if (!found) return found.error();
  if (found->inode == nullptr)
    return Error{Errc::kNotFound, "no such file or directory: " + std::string(name)};
  return found->inode;
}

InodePtr FilesystemCore::inode_for(const InodePtr& directory, const std::string& name, const std::string& key,
                                   const Holding& holding) {
  if (key != name) move_to_beside(tree, directory, key);
  InodePtr child = tree.child(directory, name);
  if (child != nullptr && (child->is_ours || child->is_local_directory)) return child;
  if (holding.is_prefix) {
    if (child != nullptr && child->kind == Kind::kDirectory) return child;
    move_to_beside(tree, directory, key);
    InodePtr made = tree.add(directory, name, key, Kind::kDirectory);
    const std::lock_guard lock(made->mutex);
    made->attributes = directory_attributes(nullptr, options, mounted_at);
    return made;
  }
  if (child != nullptr && child->kind != Kind::kDirectory) {
    const std::lock_guard lock(child->mutex);
    if (child->version && child->version.is_same_version(holding.object)) {
      child->version = holding.object;  // It may be at another address by now.
      child->version_seen = std::chrono::steady_clock::now();
      return child;
    }
    const ObjectInfo object = *holding.object;
    // Other metadata on the same bytes is no other file (a chmod by somebody else); other bytes are (R1), and
    // so is another type.
    if (child->version && child->version->checksum == object.checksum &&
        child->version->size_bytes == object.size_bytes && !child->staging.dirty) {
      Attributes attributes = attributes_of(object, options);
      if (is_of_one_type(child->attributes, attributes)) {
        attributes.atime = child->attributes.atime;
        if (child->staging.spool != nullptr) child->staging.expected = Expectation::of(object);
        child->version = holding.object;
        child->attributes = std::move(attributes);
        return child;
      }
    }
  }
  const Attributes attributes = attributes_of(holding.object, options);
  InodePtr made = tree.add(directory, name, key, kind_of(attributes.mode));
  const std::lock_guard lock(made->mutex);
  made->attributes = attributes;
  made->version = holding.object;
  made->version_seen = std::chrono::steady_clock::now();
  return made;
}

NodeAttr FilesystemCore::attr_of(const InodePtr& inode, std::chrono::milliseconds valid) {
  if (inode->kind == Kind::kDirectory) {
    const auto marker = tree.with_view(
        inode, [](const DirectoryView& known) { return std::pair(known.marker, known.marker_seen); });
    const std::lock_guard lock(inode->mutex);
    if (marker.first && marker.second > inode->version_seen) {
      // What the marker says, but for times that moved since by changes in the directory.
      const ObjectInfo object = *marker.first;
      const Attributes said = directory_attributes(&object, options, mounted_at);
      const bool is_news = !inode->version || inode->version->metadata != object.metadata ||
                           inode->version.mtime_seconds() != object.mtime_seconds;
      if (is_news) {
        const Attributes before = inode->attributes;
        inode->attributes = said;
        if (inode->version) inode->attributes.mtime = before.mtime;
        inode->version = marker.first;
      }
      inode->version_seen = *marker.second;
    }
  }
  const bool is_named = tree.is_named(inode);
  const std::lock_guard lock(inode->mutex);
  NodeAttr attr;
  attr.valid = valid;
  struct stat& stat = attr.stat;
  stat.st_ino = inode->ino;
  stat.st_mode = inode->attributes.mode;
  stat.st_nlink = is_named ? 1 : 0;
  stat.st_uid = inode->attributes.uid;
  stat.st_gid = inode->attributes.gid;
  stat.st_rdev = inode->attributes.device;
  stat.st_blksize = 1 << 20;  // What programs should read and write at once: the largest FUSE request.
  stat.st_atim = inode->attributes.atime;
  stat.st_mtim = inode->attributes.mtime;
  stat.st_ctim = inode->attributes.ctime;
  if (inode->kind == Kind::kSymlink)
    stat.st_size = static_cast<off_t>(inode->attributes.symlink_target.size());
  if (inode->kind == Kind::kFile) {
    const auto size = inode->staging.spool != nullptr ? inode->staging.spool->bytes().size()
                      : inode->version                ? inode->version.size_bytes()
                                                      : 0;
    stat.st_size = static_cast<off_t>(size);
  }
  stat.st_blocks = (stat.st_size + 511) / 512;
  if (inode->kind == Kind::kFile && inode->staging.spool != nullptr) {
    const StagedFile& staged = inode->staging.spool->bytes();
    // What it still lacks of its base is no hole, and no block of this disk either: then it counts as whole.
    if (!staged.missing(0, staged.size()))
      stat.st_blocks = std::min<blkcnt_t>(stat.st_blocks, staged.allocated_bytes() / 512);
  }
  return attr;
}

NodeEntry FilesystemCore::entry_for(const InodePtr& inode, std::chrono::milliseconds valid) {
  tree.count_lookup(inode);
  forget_told();
  return {inode->node, attr_of(inode, valid)};
}

void FilesystemCore::forget_told() {
  for (const auto& [directory, name] : tree.told_beyond(kMostTold)) forget_name(directory, name);
}

Result<NodeEntry> Filesystem::lookup(NodeId parent, std::string_view name) {
  FilesystemCore& core = *core_;
  auto directory = core.tree.find_directory(parent);
  if (!directory) return directory.error();
  auto found = core.find(*directory, name);
  if (!found) return found.error();
  if (found->inode == nullptr) {
    NodeEntry none;
    none.attr.valid = found->valid;
    return none;
  }
  if (found->inode->kind == Kind::kDirectory && !found->inode->is_local_directory) {
    const auto looked = core.view.look_into(found->inode, LakeView::Next::kOpened);
    if (!looked && looked.error().code != Errc::kNotFound) return looked.error();
    if (!looked && !core.tree.is_held_up(found->inode)) {
      NodeEntry none;  // Emptied by another client since its parent was listed.
      return none;
    }
  }
  return core.entry_for(found->inode, found->valid);
}

void Filesystem::forget(NodeId node, std::uint64_t lookups) {
  core_->tree.forget(node, lookups);
}

}  // namespace lakefuse
