#pragma once

#include <sys/types.h>

namespace lakefuse {

// The kernel asks a FUSE file system for 128 KiB at a time where a program reads in a row, and lets nobody
// but root change that, once the mount serves. Larger requests are fewer, and halve what a read costs; yet a
// fault of a mapped page asks for as much. Does what it may, and says nothing where it may not.
void raise_kernel_read_ahead(dev_t device);

}  // namespace lakefuse
