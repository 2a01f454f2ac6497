#include "fs/connection_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "cache/unique_fd.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

constexpr int kUntilStuckMs = 500;  // A process that can die has done so by then.

// Where the guard finds what it needs; everything else is closed.
constexpr int kAbort = 0;   // The connection's file in fusectl; /dev/null where there is none.
constexpr int kServer = 1;  // The process that serves.

// MNT_FORCE aborts the connection and then finds the mount busy, by the descriptor that is held here: a mount
// point that fails is better than one that is gone, for programs would write to what lies below it.
void abort_by_umount(const char* mountpoint, dev_t device) {
  const int root = ::open(mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (root < 0) return;
  struct statx facts {};
  if (::statx(root, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &facts) != 0) return;
  if (makedev(facts.stx_dev_major, facts.stx_dev_minor) != device) return;
  ::umount2(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW);
}

// In the child of a process with threads: system calls only.
[[noreturn]] void keep_guard(const char* mountpoint, dev_t device, pid_t server) {
  ::prctl(PR_SET_NAME, "lakefuse-guard");
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
  // It comes from the server, as its main thread ends; anybody else's is no reason.
  siginfo_t heard{};
  while (::getppid() == server && (heard.si_signo != SIGUSR1 || heard.si_pid != server))
    ::sigwaitinfo(&all, &heard);
  pollfd server_ends{kServer, POLLIN, 0};
  if (::poll(&server_ends, 1, kUntilStuckMs) == 0) {
    [[maybe_unused]] const ssize_t aborted = ::write(kAbort, "1", 1);
    abort_by_umount(mountpoint, device);
  }
  ::_exit(0);
}

}  // namespace

ConnectionGuard::ConnectionGuard(const std::filesystem::path& mountpoint, dev_t device) {
  const std::string in_fusectl = "/sys/fs/fuse/connections/" + std::to_string(minor(device)) + "/abort";
  UniqueFd abort(::open(in_fusectl.c_str(), O_WRONLY | O_CLOEXEC));
  if (!abort) abort = UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const pid_t server = ::getpid();
  const UniqueFd itself(static_cast<int>(::syscall(SYS_pidfd_open, server, 0)));
  guard_ = abort && itself ? ::fork() : -1;
  if (guard_ < 0) log_warn("no guard for the FUSE connection: kill -9 at a bad moment may leave it waiting");
  if (guard_ != 0) return;
  // Above both places first, since either may be in the other's.
  const int abort_aside = ::fcntl(abort.get(), F_DUPFD, 3);
  const int server_aside = ::fcntl(itself.get(), F_DUPFD, 3);
  ::dup2(abort_aside, kAbort);
  ::dup2(server_aside, kServer);
  ::close_range(kServer + 1, ~0U, 0);
  [[maybe_unused]] const int moved = ::chdir("/");
  keep_guard(mountpoint.c_str(), device, server);
}

ConnectionGuard::~ConnectionGuard() {
  if (guard_ < 0) return;
  ::kill(guard_, SIGKILL);
  while (::waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace lakefuse
