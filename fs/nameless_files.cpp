// O_TMPFILE: files without a name, and how one of them gets its first, published with all its bytes at once.

#include "fs/filesystem_core.h"

namespace lakefuse {

// As an unlinked file that is still open: never published, gone with its last close or with the mount.
Result<std::pair<NodeEntry, OpenedFile>> Filesystem::create_nameless(NodeId parent, mode_t mode, int flags,
                                                                     const Caller& caller) {
  FilesystemCore& core = *core_;
  auto directory = core.directory_to_change(parent);
  if (!directory) return directory.error();
  const InodePtr inode = core.tree.add_nameless(core.tree.path_below(*directory, "(no name)"));
  const Attributes attributes =
      core.attributes_in(*directory, S_IFREG | (mode & 07777 & ~caller.umask), caller);
  {
    const std::lock_guard lock(inode->mutex);
    inode->attributes = attributes;
    inode->made_exclusively = true;
    inode->is_deleted = true;
  }
  NodeEntry entry = core.entry_for(inode, core.view.ttl());  // Counted: from here on the tree keeps it.
  if (auto staged = core.stage_in_time(inode, false); !staged) {
    core.tree.forget(inode->node, 1);
    return staged.error();
  }
  {
    const std::lock_guard lock(inode->mutex);
    core.touch(*inode, true);
  }
  return std::pair(entry, core.hand_out(core.make_handle(inode, flags, caller)));
}

Result<NodeEntry> Filesystem::link(NodeId node, NodeId new_parent, std::string_view new_name) {
  FilesystemCore& core = *core_;
  auto found = core.tree.find(node);
  if (!found) return found.error();
  const InodePtr& inode = *found;
  auto directory = core.directory_to_change(new_parent);
  if (!directory) return directory.error();
  const auto refusal = [&]() -> Result<> {
    const bool is_named = core.tree.is_named(inode);
    const std::lock_guard lock(inode->mutex);
    if (!is_named && inode->is_deleted && !inode->version && inode->staging.spool != nullptr) return {};
    return Error{Errc::kNotPermitted, "link: an object has one path"};
  };
  if (auto refused = refusal(); !refused) return refused.error();  // Without waiting for a publish.
  const auto stands = core.standing.hold({*directory});
  if (!stands) return stands.error();
  const auto turn = inode->turn.take();
  if (!turn) return turn.error();
  if (auto refused = refusal(); !refused) return refused.error();
  auto there = core.find(*directory, new_name);
  if (!there) return there.error();
  const std::string path = core.tree.path_below(*directory, there->key);
  if (there->inode != nullptr) return Error{Errc::kExists, "link: " + path + " is there"};
  if (auto legal = ObjectPath::make(path); !legal) return legal.error();
  const auto vacant = core.vacancy(path);
  if (!vacant) return vacant.error();
  {
    const std::lock_guard naming(core.naming);
    core.tree.move(inode, *directory, std::string(new_name), there->key);
    const std::lock_guard lock(inode->mutex);
    inode->is_deleted = false;
    inode->is_ours = true;
    inode->staging.exclusive = true;
    inode->staging.expected = vacant->expected;
  }
  if (auto settled = core.settle_in_turn(inode); !settled) {
    // Whoever asked was told: it is what it was, and may be tried again.
    core.tree.unname(inode);
    const std::lock_guard lock(inode->mutex);
    inode->is_deleted = true;
    inode->is_ours = false;
    inode->staging.wait = Wait::kClose;
    inode->staging.failure.reset();
    std::ignore = inode->staging.spool->save(record_of(*inode, path, core.options), SpoolFile::Safety::kSoon);
    return settled.error();
  }
  core.view.changed_time(*directory);
  return core.entry_for(inode, core.view.ttl());
}

}  // namespace lakefuse
