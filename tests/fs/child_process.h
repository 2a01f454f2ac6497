#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>

namespace lakefuse::test {

// A process of its own, killed and buried at the end. It runs `setup` and then sleeps.
class ChildProcess {
 public:
  explicit ChildProcess(const std::function<void()>& setup = [] {}) {
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);  // doctest's are not ours.
      setup();
      [[maybe_unused]] const auto told = ::write(ready[1], "r", 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char word = 0;
    REQUIRE(::read(ready[0], &word, 1) == 1);
    ::close(ready[0]);
  }
  ~ChildProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void send(int signal) const { REQUIRE(::kill(pid_, signal) == 0); }

  // From here on signals wait for it, as they do for a thread that waits for a file system.
  void freeze() const {
    send(SIGSTOP);
    int state = 0;
    REQUIRE(::waitpid(pid_, &state, WUNTRACED) == pid_);
    REQUIRE(WIFSTOPPED(state));
  }

  // Ends it, unburied: /proc still tells of it.
  void end(int signal) const {
    send(signal);
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) == 0);
  }

 private:
  pid_t pid_ = 0;
};

// Hears `signal` and goes on.
inline void handle(int signal) {
  std::signal(signal, [](int) {});
}

}  // namespace lakefuse::test
