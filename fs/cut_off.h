#pragma once

#include "client/error.h"
#include "fs/inode.h"

namespace lakefuse {

class FilesystemCore;

// To be said of a change of a name that failed. Where a signal cut it off, and it may be done a moment later,
// the inode is kept until then: the kernel forgets the name, and another inode would not know to wait
// (Publishing::outlast_cut_off). Any number of threads at once.
void may_come_later(FilesystemCore& core, const InodePtr& inode, const Error& why);

}  // namespace lakefuse
