#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "client/error.h"
#include "fs/tree.h"

namespace lakefuse {

// Who changes something on the lake holds the paths that he goes by: no directory above them is renamed
// meanwhile. Who renames a directory has all that lies below it to himself. So what is changed in a directory
// is there before its rename lists it, or goes by its new name. Safe to use from many threads at once. Waits
// end with the thread's Patience, and may take as long as the rename, or as what is held, takes. What is
// taken here comes before an inode's turn: who holds a path waits neither for the write queue nor for another
// directory's rename, and takes no second one, or a rename would wait for him and he for it.
class StandingPaths {
  using Group = std::vector<InodePtr>;

 public:
  explicit StandingPaths(const Tree& tree) : tree_(tree) {}
  StandingPaths(const StandingPaths&) = delete;
  StandingPaths& operator=(const StandingPaths&) = delete;

  // Given back when it is destroyed.
  using Held = std::shared_ptr<const Group>;

  // By who changes these inodes, or names in these directories. kInterrupted.
  Result<Held> hold(Group inodes);
  // By who renames these, one thread at a time: all that lies below them, and they themselves. kInterrupted.
  Result<Held> move(Group tops);

 private:
  Held listed_locked(std::list<Group>& list, Group inodes);
  [[nodiscard]] bool are_apart(const Group& inodes, const std::list<Group>& moved) const;

  const Tree& tree_;
  std::mutex mutex_;  // The tree's lock may be taken under it, nothing else. Guards all below.
  std::condition_variable_any changed_;
  std::list<Group> held_, moving_;
};

}  // namespace lakefuse
