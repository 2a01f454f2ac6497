#pragma once

#include <sys/types.h>

#include <filesystem>

#include "client/error.h"

namespace lakefuse {

// Asks the mount that this process is about to serve for its root, through the kernel, and answers its
// device: then it serves. Waits until it answers, or until the connection ends.
//
// A child asks, which holds none of our descriptors. A thread of ours that waits for our own answer outlives
// kill -9: it keeps the connection open, so that the kernel goes on waiting, and with it all that we hold,
// the state directory's lock too.
Result<dev_t> probe_mount(const std::filesystem::path& mountpoint);

}  // namespace lakefuse
