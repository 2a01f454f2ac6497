#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "client/error.h"
#include "client/object_path.h"
#include "fs/inode.h"

namespace lakefuse {

// The nodes that the kernel or we still need, and their names. Only what is in memory: whether a name is true
// is asked elsewhere. Safe to use from many threads at once; no call waits for anything but the tree's lock,
// which is held briefly and never over a call to disk or network.
class Tree {
 public:
  // `prefix` of the branch is the root's.
  explicit Tree(std::string prefix);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  [[nodiscard]] InodePtr root() const { return root_; }
  // kStale for a node that was forgotten.
  Result<InodePtr> find(NodeId node) const;
  // kNotADirectory as well.
  Result<InodePtr> find_directory(NodeId node) const;
  [[nodiscard]] InodePtr child(const InodePtr& directory, std::string_view name) const;
  [[nodiscard]] std::vector<InodePtr> children(const InodePtr& directory) const;
  // All files and symlinks below (or the inode itself), by node.
  [[nodiscard]] std::vector<InodePtr> below(const InodePtr& top) const;

  // A new inode with that name; one that had the name loses it.
  InodePtr add(const InodePtr& directory, std::string name, std::string key, Kind kind);
  // A file that had that path once and has no name now.
  InodePtr add_nameless(std::string last_path);
  // Gives the inode another name; one that had that name loses it and is answered. The views of directories
  // that have another path by it know nothing from then on.
  InodePtr move(const InodePtr& inode, const InodePtr& directory, std::string name, std::string key);
  // What shows beside a directory of its name, or null (fs/beside_name.h).
  [[nodiscard]] InodePtr beside(const InodePtr& directory, std::string_view key) const;
  // The directory is gone: what showed beside it takes the name, where nothing of ours has it.
  void move_from_beside(const InodePtr& directory, const std::string& key);
  [[nodiscard]] std::string key_of(const InodePtr& inode) const;
  // Each gets the other's name.
  void exchange(const InodePtr& one, const InodePtr& other);
  // Takes the name away. Does nothing where the name is another inode's by now.
  void unname(const InodePtr& inode);
  [[nodiscard]] bool is_named(const InodePtr& inode) const;
  [[nodiscard]] std::pair<InodePtr, std::string> parent_and_name(const InodePtr& inode) const;
  [[nodiscard]] std::pair<InodePtr, std::string> parent_and_key(const InodePtr& inode) const;

  // The inode number that a name without an inode would get.
  [[nodiscard]] ino_t number_of(const InodePtr& directory, std::string_view name) const;

  // The kernel's references. forget() frees what nobody needs any more; what was found before and is counted
  // after that is in the tree again, under its name if no other inode has it by now.
  void count_lookup(const InodePtr& inode);
  // The kernel keeps what it was told for as long as it has memory, and so must we. Of more than `most` files
  // those that it was told first, but for what is open or ours: directories and names that it is to forget.
  std::vector<std::pair<NodeId, std::string>> told_beyond(std::size_t most);
  void forget(NodeId node, std::uint64_t lookups);
  void count_handle(const InodePtr& inode);
  // How many are left.
  std::uint64_t drop_handle(const InodePtr& inode);
  [[nodiscard]] std::uint64_t handles(const InodePtr& inode) const;
  // Frees it if nobody needs it any more.
  void tidy(const InodePtr& inode);

  // The path on the branch: "prefix/dir/file", for a directory "prefix/dir/" ("" for a root without prefix).
  // Nothing when it has no name any more.
  [[nodiscard]] std::optional<std::string> path(const InodePtr& inode) const;
  // The same, or where it was when it lost its name.
  [[nodiscard]] std::string last_path(const InodePtr& inode) const;
  // For one without a name.
  void was_last_at(const InodePtr& inode, std::string path);
  [[nodiscard]] std::string path_below(const InodePtr& directory, std::string_view key) const;
  // The same relative to the mount.
  [[nodiscard]] std::string shown_path(const InodePtr& inode) const;
  // Whether `inode` is `directory` or lies below it.
  [[nodiscard]] bool is_within(const InodePtr& inode, const InodePtr& directory) const;
  // Whether bytes of ours make this directory exist, whatever the lake says; also if that child were not.
  [[nodiscard]] bool is_held_up(const InodePtr& directory, const InodePtr& without = nullptr) const;
  // The same of whatever has that name in the directory: it will be on the lake, and an object of its name
  // shows beside it.
  [[nodiscard]] bool holds_up(const InodePtr& directory, std::string_view name) const;

  // Reads or changes a directory's view under the tree's lock; `work` must be brief.
  template <class Work>
  auto with_view(const InodePtr& directory, Work&& work) {
    const std::lock_guard lock(mutex_);
    if (directory->view == nullptr) directory->view = std::make_unique<DirectoryView>();
    return work(*directory->view);
  }

  // The same, with the path that the directory has then; nothing where it has no name.
  template <class Work>
  auto with_view_and_path(const InodePtr& directory, Work&& work) {
    const std::lock_guard lock(mutex_);
    if (directory->view == nullptr) directory->view = std::make_unique<DirectoryView>();
    return work(*directory->view,
                is_reachable_locked(*directory) ? std::optional(path_locked(*directory)) : std::nullopt);
  }

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::uint64_t open_handles() const;

 private:
  std::string path_locked(const Inode& inode) const;
  bool is_reachable_locked(const Inode& inode) const;
  ino_t number_for(const std::string& path);
  static void leave_parent_locked(const Inode& inode);  // The parent's side of the name goes.
  void detach_locked(Inode& inode);                     // Both sides go.
  static void forget_views_locked(Inode& directory, Moment now);
  void tidy_locked(const InodePtr& inode);
  void revive_locked(const InodePtr& inode);
  static bool is_held_up_locked(const Inode& directory, const Inode* without = nullptr);

  const std::string prefix_;
  const InodePtr root_;

  mutable std::mutex mutex_;  // A leaf: taken under Inode::mutex, too. Guards all below.
  std::unordered_map<std::uint64_t, InodePtr> nodes_;
  std::unordered_set<ino_t> numbers_;  // Inode numbers in use.
  std::deque<std::uint64_t> told_;     // Files, in the order in which the kernel was told; others that were.
  std::size_t told_and_needed_ = 0;    // Those with Inode::is_told.
  std::uint64_t next_node_ = 2;
};

}  // namespace lakefuse
