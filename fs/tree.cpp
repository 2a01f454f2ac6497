#include "fs/tree.h"

#include <algorithm>
#include <utility>

#include "fs/beside_name.h"

namespace lakefuse {
namespace {

// FNV-1a: stable over remounts and machines, which std::hash does not promise.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 14695981039346656037u;
  for (const unsigned char byte : text) value = (value ^ byte) * 1099511628211u;
  return value;
}

// Some programs keep inode numbers in signed integers; 1 is the root's.
ino_t first_number(std::string_view path) {
  return std::max<ino_t>(2, hash(path) & 0x7fffffffffffffff);
}

}  // namespace

Tree::Tree(std::string prefix)
    : prefix_(std::move(prefix)), root_(std::make_shared<Inode>(kRootNode, 1, Kind::kDirectory)) {
  nodes_.emplace(1, root_);
  numbers_.insert(1);
  root_->lookups = 1;  // The kernel never forgets it.
}

// A directory and what lies in it hold each other.
Tree::~Tree() {
  for (const auto& [node, inode] : nodes_) {
    inode->parent.reset();
    inode->children.clear();
  }
}

Result<InodePtr> Tree::find(NodeId node) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(static_cast<std::uint64_t>(node));
  if (found == nodes_.end()) return Error{Errc::kStale, "the node is not known any more"};
  return found->second;
}

Result<InodePtr> Tree::find_directory(NodeId node) const {
  auto inode = find(node);
  if (inode && (*inode)->kind != Kind::kDirectory) return Error{Errc::kNotADirectory, "not a directory"};
  return inode;
}

InodePtr Tree::child(const InodePtr& directory, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = directory->children.find(name);
  return found == directory->children.end() ? nullptr : found->second;
}

std::vector<InodePtr> Tree::children(const InodePtr& directory) const {
  const std::lock_guard lock(mutex_);
  std::vector<InodePtr> all;
  for (const auto& [name, inode] : directory->children) all.push_back(inode);
  return all;
}

std::vector<InodePtr> Tree::below(const InodePtr& top) const {
  const std::lock_guard lock(mutex_);
  std::vector<InodePtr> found, open{top};
  while (!open.empty()) {
    const InodePtr inode = open.back();
    open.pop_back();
    if (inode->kind != Kind::kDirectory) found.push_back(inode);
    for (const auto& [name, child] : inode->children) open.push_back(child);
  }
  std::sort(found.begin(), found.end(),
            [](const InodePtr& a, const InodePtr& b) { return a->node < b->node; });
  return found;
}

InodePtr Tree::add(const InodePtr& directory, std::string name, std::string key, Kind kind) {
  const std::lock_guard lock(mutex_);
  auto place = directory->children.lower_bound(name);
  if (place != directory->children.end() && place->first == name) {
    const InodePtr replaced = place->second;
    ++place;  // Before its neighbour goes.
    detach_locked(*replaced);
    tidy_locked(replaced);
  }
  const std::uint64_t node = next_node_++;
  const ino_t number = number_for(path_locked(*directory) + name);
  auto inode = std::make_shared<Inode>(NodeId{node}, number, kind);
  inode->parent = directory;
  inode->name = name;
  inode->is_beside_prefix = key != name;
  inode->key = std::move(key);
  directory->children.emplace_hint(place, std::move(name), inode);
  nodes_.emplace(node, inode);
  return inode;
}

InodePtr Tree::add_nameless(std::string last_path) {
  const std::lock_guard lock(mutex_);
  auto inode = std::make_shared<Inode>(NodeId{next_node_++}, number_for(last_path), Kind::kFile);
  inode->last_path = std::move(last_path);
  return inode;
}

InodePtr Tree::move(const InodePtr& inode, const InodePtr& directory, std::string name, std::string key) {
  const std::lock_guard lock(mutex_);
  InodePtr replaced;
  if (const auto old = directory->children.find(name);
      old != directory->children.end() && old->second != inode) {
    replaced = old->second;
    detach_locked(*replaced);
    tidy_locked(replaced);
  }
  detach_locked(*inode);
  inode->parent = directory;
  inode->name = name;
  inode->is_beside_prefix = key != name;
  inode->key = std::move(key);
  directory->children[std::move(name)] = inode;
  forget_views_locked(*inode, std::chrono::steady_clock::now());
  return replaced;
}

InodePtr Tree::beside(const InodePtr& directory, std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto found = directory->children.find(beside_name(key));
  return found == directory->children.end() || found->second->key != key ? nullptr : found->second;
}

void Tree::move_from_beside(const InodePtr& directory, const std::string& key) {
  const InodePtr inode = beside(directory, key);
  const InodePtr there = inode == nullptr ? nullptr : child(directory, key);
  const bool is_taken = there != nullptr && (there->is_ours || there->is_local_directory);
  if (inode != nullptr && !is_taken) move(inode, directory, key, key);
}

std::string Tree::key_of(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  return inode->key;
}

void Tree::exchange(const InodePtr& one, const InodePtr& other) {
  const std::lock_guard lock(mutex_);
  if (one->parent == nullptr || other->parent == nullptr) return;
  std::swap(one->parent, other->parent);
  std::swap(one->name, other->name);
  std::swap(one->key, other->key);
  for (const InodePtr& inode : {one, other}) inode->is_beside_prefix = inode->key != inode->name;
  one->parent->children[one->name] = one;
  other->parent->children[other->name] = other;
}

void Tree::unname(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  detach_locked(*inode);
  tidy_locked(inode);
}

bool Tree::is_named(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  return is_reachable_locked(*inode);
}

std::pair<InodePtr, std::string> Tree::parent_and_name(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  return {inode->parent, inode->name};
}

std::pair<InodePtr, std::string> Tree::parent_and_key(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  return {inode->parent, inode->key};
}

ino_t Tree::number_of(const InodePtr& directory, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return first_number(path_locked(*directory) + std::string(name));
}

void Tree::count_lookup(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  ++inode->lookups;
  revive_locked(inode);
  if (inode->kind == Kind::kDirectory || inode->is_told) return;
  inode->is_told = true;
  told_.push_back(static_cast<std::uint64_t>(inode->node));
  ++told_and_needed_;
}

std::vector<std::pair<NodeId, std::string>> Tree::told_beyond(std::size_t most) {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<NodeId, std::string>> names;
  for (std::size_t left = told_.size(); left > 0 && told_and_needed_ > most; --left) {
    const std::uint64_t node = told_.front();
    told_.pop_front();
    const auto found = nodes_.find(node);
    if (found == nodes_.end() || !found->second->is_told) continue;
    Inode& inode = *found->second;
    if (inode.handles > 0 || inode.is_ours || inode.parent == nullptr) {
      told_.push_back(node);
      continue;
    }
    inode.is_told = false;
    --told_and_needed_;
    names.emplace_back(inode.parent->node, inode.name);
  }
  if (told_.size() > told_and_needed_ + most)
    std::erase_if(told_, [&](std::uint64_t node) { return !nodes_.contains(node); });
  return names;
}

void Tree::forget(NodeId node, std::uint64_t lookups) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(static_cast<std::uint64_t>(node));
  if (found == nodes_.end() || node == kRootNode) return;
  const InodePtr inode = found->second;
  inode->lookups -= std::min(inode->lookups, lookups);
  tidy_locked(inode);
}

void Tree::count_handle(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  ++inode->handles;
}

std::uint64_t Tree::drop_handle(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  return --inode->handles;
}

std::uint64_t Tree::handles(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  return inode->handles;
}

void Tree::tidy(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  tidy_locked(inode);
}

std::optional<std::string> Tree::path(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  if (!is_reachable_locked(*inode)) return std::nullopt;
  return path_locked(*inode);
}

std::string Tree::last_path(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  return is_reachable_locked(*inode) ? path_locked(*inode) : inode->last_path;
}

void Tree::was_last_at(const InodePtr& inode, std::string path) {
  const std::lock_guard lock(mutex_);
  inode->last_path = std::move(path);
}

std::string Tree::path_below(const InodePtr& directory, std::string_view key) const {
  const std::lock_guard lock(mutex_);
  return path_locked(*directory) + std::string(key);
}

std::string Tree::shown_path(const InodePtr& inode) const {
  const std::lock_guard lock(mutex_);
  std::string path;
  for (const Inode* at = inode.get(); at != nullptr && at != root_.get(); at = at->parent.get())
    path = path.empty() ? at->name : at->name + "/" + path;
  return path;
}

bool Tree::is_within(const InodePtr& inode, const InodePtr& directory) const {
  const std::lock_guard lock(mutex_);
  for (const Inode* at = inode.get(); at != nullptr; at = at->parent.get()) {
    if (at == directory.get()) return true;
  }
  return false;
}

bool Tree::is_held_up(const InodePtr& directory, const InodePtr& without) const {
  const std::lock_guard lock(mutex_);
  return is_held_up_locked(*directory, without.get());
}

bool Tree::holds_up(const InodePtr& directory, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = directory->children.find(name);
  return found != directory->children.end() && found->second->kind == Kind::kDirectory &&
         !found->second->is_local_directory && is_held_up_locked(*found->second);
}

std::size_t Tree::size() const {
  const std::lock_guard lock(mutex_);
  return nodes_.size();
}

std::uint64_t Tree::open_handles() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (const auto& [node, inode] : nodes_) count += inode->handles;
  return count;
}

std::string Tree::path_locked(const Inode& inode) const {
  std::string path = inode.kind == Kind::kDirectory ? "/" : "";
  const Inode* at = &inode;
  if (at == root_.get()) return prefix_;
  path = at->key + path;
  for (at = at->parent.get(); at != nullptr && at != root_.get(); at = at->parent.get())
    path = at->key + "/" + path;
  return prefix_ + path;
}

bool Tree::is_reachable_locked(const Inode& inode) const {
  const Inode* at = &inode;
  while (at->parent != nullptr) at = at->parent.get();
  return at == root_.get();
}

ino_t Tree::number_for(const std::string& path) {
  ino_t number = first_number(path);
  while (numbers_.contains(number)) ++number;
  numbers_.insert(number);
  return number;
}

void Tree::leave_parent_locked(const Inode& inode) {
  if (inode.parent == nullptr) return;
  const auto held = inode.parent->children.find(inode.name);
  if (held != inode.parent->children.end() && held->second.get() == &inode)
    inode.parent->children.erase(held);
}

void Tree::detach_locked(Inode& inode) {
  if (inode.parent == nullptr) return;
  if (is_reachable_locked(inode)) inode.last_path = path_locked(inode);
  leave_parent_locked(inode);
  inode.parent.reset();
}

void Tree::forget_views_locked(Inode& directory, Moment now) {
  if (directory.kind != Kind::kDirectory) return;
  if (directory.view == nullptr) directory.view = std::make_unique<DirectoryView>();
  directory.view->moved(now);
  for (const auto& [name, child] : directory.children) forget_views_locked(*child, now);
}

void Tree::tidy_locked(const InodePtr& inode) {
  InodePtr at = inode;
  while (at != nullptr && at != root_) {
    const bool is_needed =
        at->lookups > 0 || at->handles > 0 || !at->children.empty() || at->is_ours || at->is_local_directory;
    if (is_needed) return;
    // Its own side of the name stays: whoever found it and has not counted it yet brings it back.
    leave_parent_locked(*at);
    numbers_.erase(at->ino);
    nodes_.erase(static_cast<std::uint64_t>(at->node));
    if (std::exchange(at->is_told, false)) --told_and_needed_;
    at = at->parent;  // A directory that only its child kept.
  }
}

void Tree::revive_locked(const InodePtr& inode) {
  for (InodePtr at = inode; at != nullptr && at != root_; at = at->parent) {
    if (!nodes_.emplace(static_cast<std::uint64_t>(at->node), at).second) return;
    numbers_.insert(at->ino);
    if (at->parent == nullptr) return;
    const auto [held, is_free] = at->parent->children.emplace(at->name, at);
    if (!is_free && held->second != at) {  // Another one's by now.
      detach_locked(*at);
      return;
    }
  }
}

bool Tree::is_held_up_locked(const Inode& directory, const Inode* without) {
  if (directory.is_local_directory) return true;
  for (const auto& [name, child] : directory.children) {
    if (child.get() == without) continue;
    if (child->is_ours || child->is_local_directory) return true;
    if (child->kind == Kind::kDirectory && is_held_up_locked(*child)) return true;
  }
  return false;
}

}  // namespace lakefuse
