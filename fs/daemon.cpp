#include "fs/daemon.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "cache/unique_fd.h"
#include "fs/exit_code.h"

namespace lakefuse {
namespace {

class BackgroundReadiness : public Readiness {
 public:
  explicit BackgroundReadiness(UniqueFd parent) : parent_(std::move(parent)) {}

  void ready() override {
    if (!parent_) return;
    // Only now: until it serves, Ctrl-C in the terminal ends the parent and this process together.
    ::setsid();
    // A working directory would keep another file system from being unmounted.
    [[maybe_unused]] const int moved = ::chdir("/");
    const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing.get(), fd);
    const char served = 1;
    [[maybe_unused]] const ssize_t told = ::write(parent_.get(), &served, 1);
    parent_.reset();
  }

 private:
  UniqueFd parent_;
};

class ForegroundReadiness : public Readiness {
 public:
  void ready() override {}
};

int wait_for(pid_t child, const UniqueFd& words) {
  char served = 0;
  ssize_t n = 0;
  do {
    n = ::read(words.get(), &served, 1);
  } while (n < 0 && errno == EINTR);
  if (n == 1) return kDone;
  int outcome = 0;
  while (::waitpid(child, &outcome, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(outcome)) return WEXITSTATUS(outcome) == kDone ? kFailed : WEXITSTATUS(outcome);
  std::fprintf(stderr, "lakefuse: the background process was ended by signal %d before the mount served\n",
               WTERMSIG(outcome));
  return kFailed;
}

}  // namespace

int run_in_background(const std::function<int(Readiness&)>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    std::fprintf(stderr, "lakefuse: cannot make a pipe: %s\n", std::strerror(errno));
    return kFailed;
  }
  std::signal(SIGCHLD, SIG_DFL);  // Where our starter ignores it, nobody is told how a child ended.
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    std::fprintf(stderr, "lakefuse: cannot start the background process: %s\n", std::strerror(errno));
    return kFailed;
  }
  if (child > 0) {
    writer.reset();
    return wait_for(child, reader);
  }
  reader.reset();
  BackgroundReadiness readiness(std::move(writer));
  std::exit(work(readiness));
}

std::unique_ptr<Readiness> foreground_readiness() {
  return std::make_unique<ForegroundReadiness>();
}

void hold_standard_descriptors() {
  int lowest_free = -1;
  do {
    lowest_free = ::open("/dev/null", O_RDWR);
  } while (lowest_free >= 0 && lowest_free <= STDERR_FILENO);
  ::close(lowest_free);
}

void forbid_core_dumps() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__)  // Its leak check must look into this process.
  ::prctl(PR_SET_DUMPABLE, 0);
#endif
}

void raise_limits() {
  for (const auto resource : {RLIMIT_NOFILE, RLIMIT_FSIZE}) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(resource, &limit);
  }
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace lakefuse
