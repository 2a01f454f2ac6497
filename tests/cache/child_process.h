#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace lakefuse::test {

// Runs `work` in a process of its own, which calls stay() with all its objects alive and is killed there:
// destructors do not run, as in a real kill -9. REQUIRE does not reach the parent from in there: stay() says
// whether all went well.
class ChildProcess {
 public:
  using Stay = std::function<void(bool went_well)>;

  explicit ChildProcess(const std::function<void(const Stay& stay)>& work) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      work([&](bool went_well) {
        const char verdict = went_well ? 'y' : 'n';
        if (::write(ready[1], &verdict, 1) == 1)
          for (;;) ::pause();
      });
      ::_exit(1);
    }
    ::close(ready[1]);
    char verdict = 'n';
    const bool heard = ::read(ready[0], &verdict, 1) == 1;
    ::close(ready[0]);
    CHECK(heard);
    CHECK(verdict == 'y');
  }
  ~ChildProcess() { kill(); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

}  // namespace lakefuse::test
