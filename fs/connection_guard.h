#pragma once

#include <sys/types.h>

#include <filesystem>

namespace lakefuse {

// Ends a FUSE connection whose server was killed and cannot die. A thread of ours that tells the kernel of a
// name waits for the directory's lock; whoever holds that waits for an answer of ours; and no signal ends
// either wait (fuse_reverse_inval_entry in fs/fuse/dir.c). So after a kill -9 at that moment both would wait
// for ever. The guard is a process of its own that holds nothing of ours, and aborts the connection when the
// main thread has gone and the process has not.
//
// It can do so as root, or where fusectl is mounted at /sys/fs/fuse/connections; elsewhere `fusermount3 -u
// -z` and that directory remain, by hand.
class ConnectionGuard {
 public:
  // Call on the process's main thread. `device`: of the mount, from /proc/self/mountinfo.
  ConnectionGuard(const std::filesystem::path& mountpoint, dev_t device);
  ~ConnectionGuard();  // The connection has ended as it should.
  ConnectionGuard(const ConnectionGuard&) = delete;
  ConnectionGuard& operator=(const ConnectionGuard&) = delete;

 private:
  pid_t guard_ = -1;  // -1: none could be started.
};

}  // namespace lakefuse
