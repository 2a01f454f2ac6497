#include "fs/standing_paths.h"

#include <algorithm>

#include "client/patience.h"

namespace lakefuse {

Result<StandingPaths::Held> StandingPaths::hold(Group inodes) {
  std::unique_lock lock(mutex_);
  const auto nothing_moves = [&] { return are_apart(inodes, moving_); };
  if (!changed_.wait(lock, Patience::current(), nothing_moves))
    return Error{Errc::kInterrupted, "a signal ended the wait for the rename of a directory above"};
  return listed_locked(held_, std::move(inodes));
}

Result<StandingPaths::Held> StandingPaths::move(Group tops) {
  std::unique_lock lock(mutex_);
  Held moving = listed_locked(moving_, std::move(tops));  // From now on others wait.
  const auto is_alone = [&] {
    return std::ranges::all_of(held_, [&](const Group& inodes) { return are_apart(inodes, {*moving}); });
  };
  if (changed_.wait(lock, Patience::current(), is_alone)) return moving;
  lock.unlock();
  return Error{Errc::kInterrupted, "a signal ended the wait for what is under way below the directory"};
}

// The last copy takes it off the list.
StandingPaths::Held StandingPaths::listed_locked(std::list<Group>& list, Group inodes) {
  const auto place = list.insert(list.end(), std::move(inodes));
  return {&*place, [this, &list, place](const Group*) {
            std::list<Group> gone;  // Its inodes may end with it: not under the lock.
            {
              const std::lock_guard lock(mutex_);
              gone.splice(gone.begin(), list, place);
            }
            changed_.notify_all();
          }};
}

bool StandingPaths::are_apart(const Group& inodes, const std::list<Group>& moved) const {
  for (const Group& tops : moved)
    for (const InodePtr& top : tops)
      for (const InodePtr& inode : inodes)
        if (tree_.is_within(inode, top)) return false;
  return true;
}

}  // namespace lakefuse
