#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace lakefuse {

// What /proc says of the programs that use the mount. None of it asks the mount itself (that could
// dead-lock), and none of it waits for a program that waits for us in the middle of an exec: status, fdinfo
// and mountinfo do not; stat, environ and maps do. All of it may fail, then nothing is answered: another pid
// namespace, a process that is gone, hidepid.

// The process of a thread (FUSE's pid is a thread's). Nothing where it cannot be read.
std::optional<pid_t> process_of(pid_t tid);

// Whether `process` holds a descriptor that may write on inode `ino` of the mount that has this mount id in
// /proc/PID/mountinfo, or of any mount; nothing where that cannot be read. From /proc/PID/fdinfo's mnt_id and
// ino lines (Linux 5.14), which costs no FUSE call.
std::optional<bool> holds_descriptor(pid_t process, std::optional<int> mount_id, std::uint64_t ino);

// The mount ids, in `process`'s mount namespace, of mounts of `device`. First one; nothing where there is
// none.
std::optional<int> mount_id_of(pid_t process, dev_t device);

// True when the thread has a signal pending that may end its wait: SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGKILL
// (/proc/TID/status SigPnd and ShdPnd, less SigBlk and SigIgn). A handled SIGCHLD or SIGALRM must not fail a
// close.
bool has_ending_signal(pid_t tid);

// True when SIGKILL waits for the thread. The kernel puts it there for every signal that ends a process
// without a core dump.
bool is_being_killed(pid_t tid);

// True when the process exits because of a signal (PF_SIGNALED in the flags of /proc/TID/stat).
bool is_killed_by_signal(pid_t tid);

}  // namespace lakefuse
