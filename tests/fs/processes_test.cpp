#include "fs/processes.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "cache/unique_fd.h"
#include "fs/proc_file.h"
#include "tests/fs/child_process.h"

namespace lakefuse::test {
namespace {

// No process has this number: it is over the kernel's limit.
constexpr pid_t kNobody = 1 << 23;

// An open file without a name.
class OpenFile {
 public:
  OpenFile() {
    std::string name = std::filesystem::temp_directory_path() / "lakefuse-processes-XXXXXX";
    fd_ = UniqueFd(::mkstemp(name.data()));
    REQUIRE(fd_);
    ::unlink(name.c_str());
    struct stat facts {};
    REQUIRE(::fstat(fd_.get(), &facts) == 0);
    ino_ = facts.st_ino;
    mount_ = mount_of(fd_.get());
  }

  static int mount_of(int fd) {
    const auto text = read_proc_file("/proc/self/fdinfo/" + std::to_string(fd));
    REQUIRE(text);
    return proc_number<int>(proc_field(*text, "mnt_id").value()).value();
  }

  void close() { fd_.reset(); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] int mount() const { return mount_; }
  [[nodiscard]] std::uint64_t ino() const { return ino_; }

 private:
  UniqueFd fd_;
  std::uint64_t ino_ = 0;
  int mount_ = 0;
};

}  // namespace

TEST_CASE("processes: a thread's id leads to its process") {
  CHECK(process_of(::getpid()) == ::getpid());
  std::thread([] { CHECK(process_of(::gettid()) == ::getpid()); }).join();
  const ChildProcess child;
  CHECK(process_of(child.pid()) == child.pid());
}

TEST_CASE("processes: of a process that is gone nothing is said") {
  CHECK_FALSE(process_of(kNobody));
  CHECK_FALSE(holds_descriptor(kNobody, 1, 1));
  CHECK_FALSE(mount_id_of(kNobody, 1));
  CHECK_FALSE(has_ending_signal(kNobody));
  CHECK_FALSE(is_being_killed(kNobody));
  CHECK_FALSE(is_killed_by_signal(kNobody));
}

TEST_CASE("processes: a descriptor is held until its last copy is closed, in each process for itself") {
  OpenFile file;
  const int copy = ::dup(file.fd());
  const ChildProcess with_it;
  file.close();
  CHECK(holds_descriptor(::getpid(), file.mount(), file.ino()) == true);
  ::close(copy);
  CHECK(holds_descriptor(::getpid(), file.mount(), file.ino()) == false);
  CHECK(holds_descriptor(with_it.pid(), file.mount(), file.ino()) == true);
  const ChildProcess without_it;
  CHECK(holds_descriptor(without_it.pid(), file.mount(), file.ino()) == false);
}

TEST_CASE("processes: the same inode number on another mount is another file") {
  const OpenFile file;
  CHECK(holds_descriptor(::getpid(), file.mount() + 1, file.ino()) == false);
  CHECK(holds_descriptor(::getpid(), file.mount(), file.ino() + 1) == false);
  CHECK(holds_descriptor(::getpid(), std::nullopt, file.ino()) == true);
  CHECK(holds_descriptor(::getpid(), std::nullopt, file.ino() + 1) == false);
}

TEST_CASE("processes: a process that has ended holds nothing") {
  const OpenFile file;
  const ChildProcess child;
  REQUIRE(holds_descriptor(child.pid(), file.mount(), file.ino()) == true);
  child.end(SIGKILL);
  CHECK(holds_descriptor(child.pid(), file.mount(), file.ino()).value_or(false) == false);
}

TEST_CASE("processes: a device leads to the mount that descriptors name") {
  struct stat facts {};
  REQUIRE(::stat("/proc/self/stat", &facts) == 0);
  const UniqueFd file(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  CHECK(mount_id_of(::getpid(), facts.st_dev) == OpenFile::mount_of(file.get()));
  CHECK_FALSE(mount_id_of(::getpid(), ~dev_t{0}));
}

TEST_CASE("processes: signals that mean stop end a wait, handled or not; others do not") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    CAPTURE(signal);
    const ChildProcess child([&] { handle(signal); });
    child.freeze();
    CHECK_FALSE(has_ending_signal(child.pid()));
    child.send(signal);
    CHECK(has_ending_signal(child.pid()));
    CHECK_FALSE(is_being_killed(child.pid()));
  }
  for (const int signal : {SIGCHLD, SIGALRM, SIGURG, SIGUSR1, SIGWINCH}) {
    CAPTURE(signal);
    const ChildProcess child([&] { handle(signal); });
    child.freeze();
    child.send(signal);
    CHECK_FALSE(has_ending_signal(child.pid()));
  }
}

TEST_CASE("processes: a signal that is blocked or ignored ends no wait") {
  const ChildProcess blocking([] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
  });
  const ChildProcess ignoring([] { std::signal(SIGINT, SIG_IGN); });
  for (const auto* child : {&blocking, &ignoring}) {
    child->freeze();
    child->send(SIGINT);
    CHECK_FALSE(has_ending_signal(child->pid()));
  }
}

TEST_CASE("processes: who was ended by a signal is told from who has ended") {
  const ChildProcess killed;
  CHECK_FALSE(is_killed_by_signal(killed.pid()));
  killed.end(SIGTERM);
  CHECK(is_killed_by_signal(killed.pid()));
  const ChildProcess leaving([] { std::signal(SIGTERM, [](int) { ::_exit(3); }); });
  leaving.end(SIGTERM);
  CHECK_FALSE(is_killed_by_signal(leaving.pid()));
}

TEST_CASE("processes: a name with blanks and brackets hides nothing of a process") {
  const ChildProcess child([] {
    const UniqueFd name(::open("/proc/self/comm", O_WRONLY));
    [[maybe_unused]] const auto named = ::write(name.get(), "a) S 1 (b", 9);
  });
  child.end(SIGTERM);
  CHECK(is_killed_by_signal(child.pid()));
}

}  // namespace lakefuse::test
