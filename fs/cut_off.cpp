#include "fs/cut_off.h"

#include <tuple>

#include "client/patience.h"
#include "fs/filesystem_core.h"

namespace lakefuse {

void may_come_later(FilesystemCore& core, const InodePtr& inode, const Error& why) {
  if (why.code != Errc::kInterrupted) return;
  Publishing::may_be_cut_off(inode, why);
  core.tree.count_lookup(inode);
  core.publishing.workers().post([&core, inode] {
    std::ignore = sleep_out(Patience::current(), kUntilSecondLook);
    core.tree.forget(inode->node, 1);
  });
}

}  // namespace lakefuse
