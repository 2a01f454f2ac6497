// What the commands say and end with, apart from what they do.

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;

namespace {

// Calls are tried once: what they come to is of interest, not for how long they are tried.
const MountOptions kOnce{.environment = {{"LAKECTL_SERVER_RETRIES_ENABLED", "false"}}};

Fault answers(const std::string& operation, int status) {
  return {.kind = Fault::Kind::kStatus, .operation = operation, .times = 0, .status = status};
}

}  // namespace

TEST_CASE("commands: diff and commit end with the code for why the lake refused, as mount does") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, kOnce);
  REQUIRE(write_file(mount / "a", "x") == kOk);
  const auto diff = [&] { return mount.lakefuse({"diff", mount.at()}).exit_code; };
  const auto commit = [&] { return mount.lakefuse({"commit", mount.at(), "-m", "m"}).exit_code; };
  for (const auto& [status, code] : {std::pair{401, 5}, {403, 5}, {404, 6}, {500, 4}}) {
    CAPTURE(status);
    lake.server().add_fault(answers("diff_branch", status));
    CHECK(diff() == code);
    CHECK(commit() == code);
    lake.server().clear_faults();
  }
  lake.server().stop();
  CHECK(diff() == 4);
  CHECK(commit() == 4);
  lake.server().start();
  CHECK(commit() == 0);
}

TEST_CASE("commands: a log file that cannot be is told once") {
  TestLake lake;
  const Ran ran = Mounted::refused(lake, {.flags = {"--log-file", "/dev/null/log"}});
  CHECK(ran.exit_code == 7);
  CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
}

TEST_CASE("commands: a commit through a read-only mount says so, before whose changes there are") {
  TestLake lake;
  lake.put("a", "x");
  const Mounted mount(lake, {.flags = {"--read-only"}});
  const Ran ran = mount.lakefuse({"commit", mount.at(), "-m", "m"});
  CHECK(ran.exit_code == 6);
  CHECK(ran.err == "lakefuse: nothing is committed: this mount is read-only\n");
}

TEST_CASE("commands: a commit that may have been made is not told as one that was not") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, kOnce);
  REQUIRE(write_file(mount / "a", "x") == kOk);
  lake.server().add_fault({.kind = Fault::Kind::kLoseAnswer, .operation = "commit"});
  lake.server().add_fault(answers("log_commits", 500));
  const Ran ran = mount.lakefuse({"commit", mount.at(), "-m", "m"});
  CHECK(ran.exit_code == 4);
  CHECK(has(ran.err, "`lakectl log` tells"));
  CHECK_FALSE(has(ran.err, "nothing is committed"));
  lake.server().clear_faults();
  CHECK(mount.lakefuse({"diff", mount.at()}).out.empty());
}

TEST_CASE("commands: one whose words cannot be written does not end as if they had been") {
  TestLake lake;
  const Mounted mount(lake);
  for (const std::string command : {"status --json", "pending"}) {
    CAPTURE(command);
    const Ran ran =
        run({"sh", "-c", "\"$0\" " + command + " \"$1\" >/dev/full", Mounted::program().string(), mount.at()},
            mount.environment());
    CHECK(ran.exit_code == 1);
    CHECK(has(ran.err, "stdout"));
  }
}

TEST_CASE("commands: of a dead mount each says so, with what to do, and pending what it left") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, kOnce);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a", "x") == "close: EIO");
  mount.kill_and_leave();
  for (const Arguments& arguments : {Arguments{"diff", mount.at()},
                                     {"commit", mount.at(), "-m", "m"},
                                     {"flush", mount.at()},
                                     {"resolve", mount / "a", "--mine"},
                                     {"prefetch", mount / "a"}}) {
    CAPTURE(arguments.front());
    const Ran ran = mount.lakefuse(arguments);
    CHECK(ran.exit_code == 1);
    CHECK(has(ran.err, "is dead"));
    CHECK(has(ran.err, "`lakefuse umount` clears it"));
  }
  // Without DIR too, though the state directory is not the default one.
  const Ran all = mount.lakefuse({"pending", "--json"});
  CHECK(all.exit_code == 3);
  const auto files = boost::json::parse(all.out);
  std::vector<std::string> left;  // Other tests have mounts, too.
  for (const auto& file : files.as_array())
    if (file.at("kept_in").as_string().starts_with(mount.state_dir().string()))
      left.emplace_back(file.at("path").as_string());
  CHECK(left == std::vector<std::string>{"a"});
  const Ran told = mount.lakefuse({"pending"});
  CHECK(told.exit_code == 3);
  CHECK(has(told.out, "lakefuse recover " + mount.state_dir().string()));
  lake.server().clear_faults();
  mount.mount();
  CHECK(eventually([&] { return lake.read("a") == "x"; }));
}

TEST_CASE("R2: prefetch brings what a symlink of the mount leads to there, as in a model hub's snapshots") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("blobs/1", "one");
  lake.put("[a]/2", "two");
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "snapshot") == kOk);
  std::filesystem::create_symlink("../blobs/1", mount / "snapshot/one");
  std::filesystem::create_symlink("gone", mount / "snapshot/dangling");
  std::filesystem::create_symlink("/proc/self/status", mount / "snapshot/elsewhere");
  for (const char* path : {"snapshot", "snapshot/one", "[a]"}) {
    CAPTURE(path);
    RunOptions there = mount.environment();
    there.directory = mount.at();
    const Ran ran = run({Mounted::program().string(), "prefetch", path}, there);
    CHECK(ran.exit_code == 0);
    CHECK(ran.out == "1 file read, 3 B\n");
  }
}

TEST_CASE("F1: where the state directory has gone, the sentence names the file and the place") {
  TestLake lake;
  Mounted mount(lake);
  std::filesystem::remove_all(mount.state_dir());
  CHECK(write_file(mount / "c", "x") == "open: EIO");
  CHECK(write_file(mount / "c.lock", "x", O_EXCL) == "open: EIO");
  const Ran status = mount.lakefuse({"status", mount.at()});
  CHECK(has(status.out, "the bytes of c in " + mount.state_dir().string()));
  CHECK(has(status.out, "the claim of c.lock in " + mount.state_dir().string()));
}
