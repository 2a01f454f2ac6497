#include "fs/mount_probe.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>

#include "cache/unique_fd.h"
#include "tests/cache/support.h"
#include "tests/fs/child_process.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

// A FUSE mount whose server, the test, answers nothing.
class DumbMount {
 public:
  DumbMount() : device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    const std::string how = "fd=" + std::to_string(device_.get()) +
                            ",rootmode=40000,user_id=" + std::to_string(::geteuid()) +
                            ",group_id=" + std::to_string(::getegid());
    is_there_ = device_ && ::mount("dumb", at().c_str(), "fuse", MS_NOSUID | MS_NODEV, how.c_str()) == 0;
  }
  ~DumbMount() {
    device_.reset();
    if (is_there_) ::umount2(at().c_str(), MNT_DETACH);
  }
  DumbMount(const DumbMount&) = delete;
  DumbMount& operator=(const DumbMount&) = delete;

  [[nodiscard]] bool is_there() const { return is_there_; }
  [[nodiscard]] const std::filesystem::path& at() const { return directory_.path(); }
  void hang_up() { device_.reset(); }

 private:
  const ScratchDirectory directory_;
  UniqueFd device_;
  bool is_there_ = false;
};

#define NEEDS_MOUNT(dumb)                                     \
  if (!(dumb).is_there()) {                                   \
    MESSAGE("skipped: a mount of the test's own needs root"); \
    return;                                                   \
  }

}  // namespace

TEST_CASE("mount probe: what answers is known by its device, and what is not there by its reason") {
  const ScratchDirectory directory;
  struct stat facts {};
  REQUIRE(::stat(directory.path().c_str(), &facts) == 0);
  CHECK(probe_mount(directory.path()).value() == facts.st_dev);
  const auto gone = probe_mount(directory.path() / "gone");
  CHECK(gone.error().code == Errc::kLocalIo);
  CHECK(gone.error().message.find("No such file") != std::string::npos);
}

TEST_CASE("mount probe: it waits for an answer, and no longer than the connection lasts") {
  DumbMount dumb;
  NEEDS_MOUNT(dumb);
  auto probe = std::async(std::launch::async, [&] { return probe_mount(dumb.at()); });
  CHECK(probe.wait_for(200ms) == std::future_status::timeout);
  dumb.hang_up();
  REQUIRE(probe.wait_for(10s) == std::future_status::ready);
  CHECK(probe.get().error().code == Errc::kLocalIo);
}

TEST_CASE("mount probe: kill -9 of who asks its own mount ends it, and with it the connection") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  UniqueFd reader(ends[0]), writer(ends[1]);  // The writer: what only that process holds.
  DumbMount dumb;
  NEEDS_MOUNT(dumb);
  const std::filesystem::path at = dumb.at();
  {
    ChildProcess server([&] { std::thread([&] { std::ignore = probe_mount(at); }).detach(); });
    writer.reset();
    dumb.hang_up();                      // The child has the connection now.
    std::this_thread::sleep_for(200ms);  // Its probe waits.
    server.send(SIGKILL);
  }  // Buried.
  char byte = 0;
  auto end = std::async(std::launch::async, [&] { return ::read(reader.get(), &byte, 1); });
  REQUIRE(end.wait_for(10s) == std::future_status::ready);
  CHECK(end.get() == 0);
  struct stat facts {};
  CHECK(::stat(at.c_str(), &facts) != 0);
}

}  // namespace lakefuse::test
