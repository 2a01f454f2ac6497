// Directories: mkdir and rmdir, and reading them.

#include <algorithm>
#include <map>
#include <string>

#include "fs/beside_name.h"
#include "fs/filesystem_core.h"
#include "fs/leaving.h"

namespace lakefuse {
namespace {

mode_t type_of(const InodePtr& inode) {
  const std::lock_guard lock(inode->mutex);
  return inode->attributes.mode & S_IFMT;
}

}  // namespace

Result<NodeEntry> Filesystem::mkdir(NodeId parent, std::string_view name, mode_t mode, const Caller& caller) {
  FilesystemCore& core = *core_;
  auto directory = core.directory_to_change(parent);
  if (!directory) return directory.error();
  auto found = core.find(*directory, name);
  if (!found) return found.error();
  if (found->inode != nullptr) return Error{Errc::kExists, "mkdir: " + std::string(name) + " is there"};
  const std::string key(name);
  const Attributes attributes =
      core.attributes_in(*directory, S_IFDIR | (mode & 07777 & ~caller.umask), caller);
  const bool is_local = (*directory)->is_local_directory || core.rules.is_local_directory(name);
  Result<StandingPaths::Held> stands(nullptr);
  std::optional<ObjectInfo> marker;
  Moment asked{};
  if (!is_local) {
    std::string path = core.tree.path_below(*directory, key) + "/";
    // The marker can be linked although there are objects below the prefix: look for them (design rule 11),
    // while what was promised before gets to the lake, unless that is what lies there.
    asked = std::chrono::steady_clock::now();
    const bool is_behind = core.options.writeback != Writeback::kOff && !core.vacated.hides_below(path);
    if (is_behind) core.view.ask_whether_any(path);
    if (auto first = core.catch_up(path); !first) return first.error();
    stands = core.standing.hold({*directory});
    if (!stands) return stands.error();
    path = core.tree.path_below(*directory, key) + "/";
    if (!is_behind) asked = std::chrono::steady_clock::now();
    const auto is_taken = core.view.has_any(path, asked);
    if (!is_taken) return is_taken.error();
    auto linked = !*is_taken ? core.publish_empty(path, attributes, Expectation::absent())
                             : Result<ObjectInfo>(Error{Errc::kExists, "mkdir: " + path + " is there"});
    if (!linked) {
      core.publishing.give_back(*directory, key);  // It may be there a moment later.
      return linked.error();
    }
    marker = *std::move(linked);
  }
  InodePtr made;
  {
    const std::lock_guard naming(core.naming);
    made = core.tree.add(*directory, key, key, Kind::kDirectory);
    made->is_local_directory = is_local;
    const std::lock_guard lock(made->mutex);
    made->attributes = attributes;
    made->version = marker;
    made->version_seen = std::chrono::steady_clock::now();
  }
  if (!is_local) {
    core.view.changed_prefix(*directory, key, true);
    core.view.changed_marker(made, marker);
    core.tree.with_view(made, [&](DirectoryView& view) { view.saw_all(asked); });
  }
  core.view.changed_time(*directory);
  return core.entry_for(made, core.view.ttl());
}

Result<> Filesystem::rmdir(NodeId parent, std::string_view name) {
  FilesystemCore& core = *core_;
  auto directory = core.directory_to_change(parent);
  if (!directory) return directory.error();
  auto found = core.find_existing(*directory, name);
  if (!found) return found.error();
  const InodePtr& inode = *found;
  if (inode->kind != Kind::kDirectory) return Error{Errc::kNotADirectory, "rmdir: not a directory"};
  const auto children = core.tree.children(inode);
  const bool has_ours = std::any_of(children.begin(), children.end(), [&](const InodePtr& child) {
    return child->is_ours || child->is_local_directory ||
           (child->kind == Kind::kDirectory && core.tree.is_held_up(child));
  });
  if (has_ours) return Error{Errc::kNotEmpty, "rmdir: " + std::string(name) + " is not empty"};
  if (inode->is_local_directory) {
    if (!children.empty()) return Error{Errc::kNotEmpty, "rmdir: " + std::string(name) + " is not empty"};
    inode->is_local_directory = false;
    core.tree.unname(inode);
    return {};
  }
  std::optional<FilesystemCore::Leaving> leaving;
  if (const auto below = core.tree.path(inode)) {
    if (core.vacated.hides_below(*below)) {
      // First what is above, which may hold nothing else once this one is empty.
      const auto stands = core.standing.hold({*directory});
      if (!stands) return stands.error();
      if (auto kept = core.keep_directory(*directory, inode->key + "/"); !kept) return kept.error();
      leaving.emplace(core, inode, *below);
    }
    if (auto first = core.catch_up(*below); !first) return first;
  }
  const auto stands = core.standing.hold({*directory});
  if (!stands) return stands.error();
  if (const auto below = core.tree.path(inode)) {
    if (auto late = core.publishing.cut_off().outlast({*below}); !late) return late.error();
    core.clear_vacated(*below, Moment::max());
  }
  // While the last call is under way.
  const bool is_marked =
      core.tree.with_view(inode, [](const DirectoryView& known) { return bool(known.marker); });
  if (!is_marked) core.view.leaves(inode);
  auto left = core.view.what_is_left(inode);
  if (!left) return left.error();
  if (*left == LakeView::Left::kOthers)
    return Error{Errc::kNotEmpty, "rmdir: " + std::string(name) + " is not empty"};
  const auto path = core.tree.path(inode);
  if (!path) return Error{Errc::kNotFound, "rmdir: the directory is gone"};
  if (auto kept = core.keep_directory(*directory, inode->key + "/"); !kept) return kept.error();
  auto marker = ObjectPath::make(*path);
  if (!marker) return marker.error();
  if (is_marked) core.view.leaves(inode);
  auto removed = *left == LakeView::Left::kMarker ? core.publisher.remove(*marker, std::nullopt) : Result<>();
  if (!removed) {
    core.publishing.cut_off().may_come_later(*path, removed.error());
    core.view.distrust(*directory, inode->key);
    return removed.error();
  }
  if (leaving) leaving->is_gone();
  core.view.changed_prefix(*directory, inode->key, false);
  core.view.changed_time(*directory);
  core.tree.unname(inode);
  return {};
}

Result<HandleId> Filesystem::opendir(NodeId node) {
  FilesystemCore& core = *core_;
  auto directory = core.tree.find_directory(node);
  if (!directory) return directory.error();
  auto handle = std::make_shared<DirectoryHandle>();
  handle->inode = *directory;
  core.tree.count_handle(*directory);
  return core.directories.add(std::move(handle));
}

namespace {

// Of a handle: whoever seeks farther back has the directory listed anew.
constexpr std::size_t kMostRows = 20'000;

void begin(FilesystemCore& core, DirectoryHandle& handle) {
  handle.rows.clear();
  handle.dropped = 0;
  handle.owed.clear();
  handle.has_local_rows = false;
  handle.listing.reset();
  handle.rows.push_back({.name = ".", .object = {}, .type = S_IFDIR});
  handle.rows.push_back({.name = "..", .object = {}, .type = S_IFDIR});
  if (handle.inode->is_local_directory) return;
  if (auto listing = core.view.list(handle.inode)) handle.listing.emplace(*std::move(listing));
  for (const InodePtr& child : core.tree.children(handle.inode))
    if (child->is_ours) handle.owed.insert(core.tree.parent_and_name(child).second);
}

// What this machine alone has, beside what the lake does not know of yet, and is in none of the rows.
std::map<std::string, mode_t> here_alone(FilesystemCore& core, const DirectoryHandle& handle) {
  std::map<std::string, mode_t> here;
  for (const InodePtr& child : core.tree.children(handle.inode)) {
    const bool is_there = child->is_ours || child->is_local_directory ||
                          (child->kind == Kind::kDirectory && core.tree.is_held_up(child));
    if (is_there) here.emplace(core.tree.parent_and_name(child).second, type_of(child));
  }
  // What was ours when its page was asked for, and is the lake's by now.
  if (handle.listing) {
    const auto published = core.tree.with_view(handle.inode, [&](const DirectoryView& view) {
      auto names = view.changed_since(handle.listing->began());
      for (std::string& name : names)
        if (view.last_known(name)->is_prefix) name = beside_name(name);
      return names;
    });
    for (const std::string& name : published) {
      const InodePtr child = core.tree.child(handle.inode, name);
      here.emplace(name, child == nullptr ? mode_t{S_IFREG} : type_of(child));
    }
  }
  // And what was published meanwhile, and seen there by another listing since.
  for (const std::string& name : handle.owed) {
    const InodePtr child = here.contains(name) ? nullptr : core.tree.child(handle.inode, name);
    if (child != nullptr) here.emplace(name, type_of(child));
  }
  if (here.empty()) return here;
  for (const DirectoryHandle::Row& row : handle.rows) here.erase(row.name);
  return here;
}

// They come after all that the lake has. Of those that were dropped nobody knows the names any more.
void add_local_rows(FilesystemCore& core, DirectoryHandle& handle) {
  handle.has_local_rows = true;
  for (const auto& [name, type] : here_alone(core, handle))
    if (handle.dropped == 0 || handle.owed.contains(name))
      handle.rows.push_back({.name = name, .object = {}, .type = type});
}

void drop_told(FilesystemCore& core, DirectoryHandle& handle) {
  if (handle.rows.size() <= kMostRows) return;
  if (handle.dropped == 0)
    for (const auto& [name, type] : here_alone(core, handle)) handle.owed.insert(name);
  while (handle.rows.size() > kMostRows / 2) {
    handle.rows.pop_front();
    ++handle.dropped;
  }
}

bool is_told(const DirectoryHandle& handle, const std::string& name) {
  return std::any_of(handle.rows.begin(), handle.rows.end(),
                     [&](const auto& row) { return row.name == name; });
}

// Whether that name is ours: it comes with the local rows.
bool is_ours(FilesystemCore& core, DirectoryHandle& handle, const std::string& name) {
  const InodePtr child = core.tree.child(handle.inode, name);
  if (child != nullptr && child->is_ours) {
    handle.owed.insert(name);
    return true;
  }
  handle.owed.erase(name);
  return false;
}

void add_object(FilesystemCore& core, DirectoryHandle& handle, const std::string& key, Holding holding) {
  holding.is_prefix |= core.tree.holds_up(handle.inode, key);
  const std::string name = holding.is_prefix ? beside_name(key) : key;
  if (!holding.object || is_ours(core, handle, name)) return;
  // What is being written under the key itself shows so until it is published, or somebody asks for this
  // name.
  if (holding.is_prefix && is_ours(core, handle, key)) return;
  // A real key of that name keeps it.
  const auto is_real = [&](const DirectoryView& view) {
    const auto real = view.find(name, handle.listing->began());
    return real && !real->first.is_nothing();
  };
  if (holding.is_prefix && core.tree.with_view(handle.inode, is_real)) return;
  if (key_beside(name) && is_told(handle, name)) return;
  const mode_t type = attributes_of(holding.object, core.options).mode & S_IFMT;
  handle.rows.push_back({.name = name,
                         .object = std::move(holding.object),
                         .type = type,
                         .is_beside_prefix = holding.is_prefix,
                         .moves = handle.listing->moves()});
}

void add_page(FilesystemCore& core, DirectoryHandle& handle, std::vector<LakeView::Listing::Named>& page) {
  for (auto& entry : page) {
    if (!entry.is_prefix) {
      add_object(core, handle, entry.key, std::move(entry.holding));
    } else if (entry.holding.is_prefix && !is_ours(core, handle, entry.key) &&
               !(key_beside(entry.key) && is_told(handle, entry.key))) {
      handle.rows.push_back({.name = std::move(entry.key), .object = {}, .type = S_IFDIR});
    }
  }
}

// Of a mount's root the kernel knows what is above.
InodePtr parent_or_self(FilesystemCore& core, const InodePtr& directory) {
  const InodePtr parent = core.tree.parent_and_name(directory).first;
  return parent == nullptr ? directory : parent;
}

// Of a row that has an object: we may have changed its name since the page was asked for. Null: there is
// nothing any more. Nothing: its directory is elsewhere by now.
std::optional<FilesystemCore::Found> inode_of(FilesystemCore& core, const DirectoryHandle& handle,
                                              const DirectoryHandle::Row& row) {
  const std::string key = row.is_beside_prefix ? key_beside(row.name).value_or(row.name) : row.name;
  const std::lock_guard naming(core.naming);
  // First whether it is ours: what is so no longer is in the view already.
  const InodePtr child = core.tree.child(handle.inode, row.name);
  if (child != nullptr && (child->is_ours || core.tree.holds_up(handle.inode, row.name)))
    return FilesystemCore::Found{child, core.view.ttl()};
  const auto [known, moves] = core.tree.with_view(handle.inode, [&](const DirectoryView& view) {
    return std::pair(view.find(key, handle.listing->began()), view.moves());
  });
  if (moves != row.moves) return std::nullopt;
  const KeptObject object = known ? known->first.object : row.object;
  if (!object) return FilesystemCore::Found{};
  return FilesystemCore::Found{
      core.inode_for(handle.inode, row.name, key, {.object = object, .is_prefix = false}),
      known ? handle.listing->valid(known->second) : handle.listing->valid()};
}

// Brings one more row into being; false at the end.
Result<bool> extend(FilesystemCore& core, DirectoryHandle& handle) {
  drop_told(core, handle);
  const auto before = handle.rows.size();
  while (handle.listing && !handle.listing->is_at_end()) {
    auto page = handle.listing->next();
    if (!page) return page.error();
    if (!*page) break;
    add_page(core, handle, **page);
    if (handle.rows.size() > before) return true;
  }
  if (handle.has_local_rows) return false;
  add_local_rows(core, handle);
  return handle.rows.size() > before;
}

}  // namespace

Result<> Filesystem::readdir(HandleId id, off_t offset, bool plus,
                             const std::function<bool(const DirEntry&, const NodeEntry&)>& take) {
  FilesystemCore& core = *core_;
  auto found = core.directories.find(id);
  if (!found) return found.error();
  DirectoryHandle& handle = **found;
  const std::lock_guard reading(handle.mutex);
  const auto from = static_cast<std::size_t>(offset);
  // rewinddir(3) shows what is there now.
  if (offset == 0 || from < handle.dropped) begin(core, handle);
  for (std::size_t at = from;; ++at) {
    while (at >= handle.dropped + handle.rows.size()) {
      // What is there goes out: the next page is on its way meanwhile.
      if (at > from && at > 2) return {};
      auto more = extend(core, handle);
      if (!more) return more.error();
      if (!*more) return {};
    }
    DirectoryHandle::Row& row = handle.rows[at - handle.dropped];
    // What is too old to be believed becomes no file: whoever wants that asks anew.
    const bool is_believed = plus && row.object && handle.listing->valid().count() > 0;
    const auto of_page = is_believed ? inode_of(core, handle, row) : std::nullopt;
    const bool is_of_page = of_page.has_value();
    const auto looked =
        is_of_page ? *of_page : FilesystemCore::Found{core.tree.child(handle.inode, row.name)};
    const InodePtr& inode = looked.inode;
    if (is_of_page && inode == nullptr) continue;
    NodeEntry looked_up;
    if (is_of_page && looked.valid.count() > 0)
      looked_up = core.entry_for(inode, looked.valid);
    else if (plus && inode != nullptr && inode->is_ours && row.type != S_IFDIR)
      looked_up = core.entry_for(inode, core.view.ttl());
    if (is_of_page) row.type = type_of(inode);
    DirEntry entry{.name = row.name, .ino = 0, .type = row.type, .next = static_cast<off_t>(at + 1)};
    entry.ino = inode != nullptr ? inode->ino
                : at == 0        ? handle.inode->ino
                : at == 1        ? parent_or_self(core, handle.inode)->ino
                                 : core.tree.number_of(handle.inode, row.name);
    if (!take(entry, looked_up)) {
      if (looked_up.node != NodeId{0}) core.tree.forget(looked_up.node, 1);
      return {};
    }
    row.object.reset();  // Of a million names, only those that are under way are kept whole.
  }
}

Result<> Filesystem::fsyncdir() {
  return core_->keep_order_on_disk();
}

void Filesystem::releasedir(HandleId id) {
  const auto handle = core_->directories.remove(id);
  if (handle == nullptr) return;
  core_->tree.drop_handle(handle->inode);
  core_->tree.tidy(handle->inode);
}

}  // namespace lakefuse
