// A lake mounted by the real program: `lakefuse mount --foreground` as a child process on a kernel mount in a
// directory of the test's own.
//
//     TestLake lake;
//     Mounted mount(lake);
//     CHECK(write_file(mount / "a.txt", "hello") == kOk);
//     CHECK(lake.read("a.txt") == "hello");
//
// Nothing waits for ever: when a mount lives longer than its patience, it is killed, and so every system call
// on it returns. When the test failed, the end of the log is printed.
#pragma once

#include <sys/types.h>

#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "tests/mount/files.h"
#include "tests/mount/process.h"
#include "tests/mount/test_lake.h"

namespace lakefuse::test {

struct MountOptions {
  std::string ref = "main";  // And a prefix: "main/data".
  Arguments flags = {};
  std::filesystem::path state_dir = {};  // Empty: one of its own.
  std::filesystem::path cache_dir = {};  // Empty: one of its own.
  std::map<std::string, std::string> environment = {};
  std::chrono::seconds patience{60};
  bool may_end_hard = false;  // The test leaves it where it cannot end in peace: killed at the end.
};

class Mounted {
 public:
  // Returns when it serves; fails the test where it does not.
  explicit Mounted(TestLake& lake, MountOptions options = {});
  ~Mounted();
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  // The program under test: of this build, or of another one that LAKEFUSE_TEST_PROGRAM names
  // (scripts/sanitize).
  static std::filesystem::path program();
  // Another one uses its memory in its own way.
  static bool is_of_this_build();

  // `lakefuse mount` that is expected to refuse: its exit code and its sentence.
  static Ran refused(TestLake& lake, const MountOptions& options = {});

  [[nodiscard]] const std::filesystem::path& at() const { return mountpoint_; }
  std::filesystem::path operator/(const std::string& name) const { return mountpoint_ / name; }
  [[nodiscard]] pid_t process() const { return process_; }
  [[nodiscard]] const std::filesystem::path& state_dir() const { return options_.state_dir; }
  [[nodiscard]] const std::filesystem::path& cache_dir() const { return options_.cache_dir; }
  [[nodiscard]] std::string log() const { return read_local(log_file_); }

  // By `lakefuse umount`; the serving process is gone when it returns. Answers umount's exit code.
  int unmount();
  // By SIGTERM; the exit code of the serving process.
  int terminate(std::chrono::milliseconds patience = std::chrono::seconds(30));
  // kill -9; what is left of the mount is cleared.
  // `then` runs while the dead mount is still in place, so that nobody writes below it.
  void kill_hard(const std::function<void()>& then = {});
  // kill -9; what is left of the mount stays in place, for the next mount() to clear.
  void kill_and_leave();
  // Again at the same place, with the same state directory.
  void mount();
  void mount_with(Arguments flags);
  // The same, where it may end before it serves: whether it does.
  bool try_mount();
  [[nodiscard]] bool has_ended();
  // How many mounts there are at this place, dead ones too, one over the other.
  [[nodiscard]] int mounts_here() const;
  // unmount(), which must succeed, and mount().
  void remount();

  // For programs that ask this mount: the lake's key, and where the mount can be found.
  [[nodiscard]] RunOptions environment() const;
  // `lakefuse ARGUMENTS...` with this mount's environment.
  Ran lakefuse(const Arguments& arguments,
               std::chrono::milliseconds patience = std::chrono::seconds(60)) const;
  // The paths that `lakefuse pending --json` lists, with their states: {"a.txt": "conflict"}.
  std::map<std::string, std::string> pending() const;
  boost::json::array pending_files() const;
  // The mount's own object of `lakefuse status --json`.
  boost::json::object status() const;
  // The bytes that pending keeps for a path; "<none>".
  std::string kept_bytes(const std::string& path) const;

 private:
  void watch(const std::stop_token& stop);
  void clear();
  static Arguments command_line(TestLake& lake, const MountOptions& options,
                                const std::filesystem::path& mountpoint);

  TestLake& lake_;
  const ScratchDirectory scratch_;
  MountOptions options_;
  std::filesystem::path mountpoint_;
  std::filesystem::path log_file_;

  std::mutex mutex_;  // Guards what is below.
  std::condition_variable_any ended_;
  pid_t process_ = -1;
  bool timed_out_ = false;
  std::jthread watchdog_;
};

// The exit code of `lakefuse flush`.
inline int flush(const Mounted& mount) {
  return mount.lakefuse({"flush", mount.at().string()}).exit_code;
}

}  // namespace lakefuse::test
