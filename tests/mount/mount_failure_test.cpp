// F1 and F2: what fails is heard of, nothing hangs, and a full disk loses nothing.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <thread>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"
#include "tests/mount/tiny_disk.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

// F1: a blocked close ends so soon after a signal.
constexpr auto kOneSecond = 1s;

// Whether one line of `text` holds them all: a sentence, not words strewn about.
bool says(const std::string& text, const std::vector<std::string>& parts) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (std::all_of(parts.begin(), parts.end(), [&](const std::string& part) { return has(line, part); }))
      return true;
  }
  return false;
}

// Of somebody who starts a mount himself: a place for it, and what the program needs to know.
struct Account {
  explicit Account(TestLake& lake) {
    std::filesystem::create_directory(at);
    options.environment = lake.client().credentials();
    options.environment["HOME"] = options.environment["XDG_RUNTIME_DIR"] = scratch.path().string();
    options.patience = 10s;
  }
  const ScratchDirectory scratch;
  const std::filesystem::path at = scratch.path() / "mnt";
  RunOptions options;
};

}  // namespace

TEST_CASE(
    "F1: kill -9 while the kernel is told of a name leaves neither a program nor a process waiting for "
    "ever") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  if (::geteuid() != 0) return;  // Others need fusectl for it.
  lake.put("d/x", "x");
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "d/y", "ours") == "close: EIO");
  lake.put("d/y", "theirs");
  // An unlink holds the directory's lock while it waits for us,
  const auto stall =
      lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .operation = "delete_object"});
  const pid_t remover = start({"rm", mount / "d/x"}, {});
  REQUIRE(eventually([&] { return lake.server().fired(stall) > 0; }));
  // and the conflict that the next try finds wants it, to give the name back.
  lake.server().clear_faults();
  REQUIRE(eventually([&] { return mount.pending()["d/y"] == "conflict"; }, 20s));
  std::this_thread::sleep_for(200ms);
  const pid_t server = mount.process();
  REQUIRE(::kill(server, SIGKILL) == 0);
  CHECK(wait_for_end(remover, 10s) != -1);
  CHECK(eventually([&] { return mount.has_ended(); }, 10s));
  mount.kill_hard();
}

TEST_CASE("F1: a failed close has the fitting errno, and log and status name call, path and server's words") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  struct Case {
    const char* operation;
    int status;
    const char* close;
  };
  int files = 0;
  for (const auto& [operation, status, close] :
       {Case{"link_physical_address", 500, "close: EIO"}, Case{"link_physical_address", 403, "close: EACCES"},
        Case{"link_physical_address", 401, "close: EACCES"}, Case{"get_physical_address", 503, "close: EIO"},
        Case{"store_put", 500, "close: EIO"}}) {
    CAPTURE(operation);
    CAPTURE(status);
    const std::string name = "file " + std::to_string(++files);
    const std::string words = "the badger of " + name + " sleeps";
    const std::string body = std::string(operation) == "store_put"
                                 ? "<Error><Code>Badger</Code><Message>" + words + "</Message></Error>"
                                 : R"({"message": ")" + words + "\"}";
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = operation, .times = 0, .status = status, .body = body});
    const auto began = Clock::now();
    CHECK(write_file(mount / name, "bytes") == close);
    CHECK(Clock::now() - began < 15s);
    CHECK(lake.read(name) == "<none>");
    const auto ran = mount.lakefuse({"status", mount.at().string()});
    CHECK(ran.exit_code == 3);
    for (const std::string& text : {ran.out, mount.log()}) {
      INFO(text);
      CHECK(says(text, {operation, name, words}));
    }
    CHECK(mount.pending().contains(name));
    lake.server().clear_faults();
  }
  const auto failures = mount.status().at("failures").as_array();
  CHECK(failures.size() >= 5);
}

TEST_CASE("F1: what programs ask to be told no is no failure, and pushes none out of the list") {
  TestLake lake;
  lake.put("d/f", "x");
  Mounted mount(lake);
  CHECK(look(mount / "absent") == "stat: ENOENT");
  CHECK(write_file(mount / "d/f", "x", O_EXCL) == "open: EEXIST");
  CHECK(make_directory(mount / "d") == "mkdir: EEXIST");
  CHECK(remove_directory(mount / "d") == "rmdir: ENOTEMPTY");
  CHECK(::getxattr((mount / "d/f").c_str(), "user.absent", nullptr, 0) == -1);
  OpenFile file(mount / "sparse", O_RDWR | O_CREAT);
  CHECK(file.write("x") == kOk);
  CHECK(file.truncate(1 << 20) == kOk);
  CHECK(::lseek(file.fd(), 1 << 19, SEEK_DATA) == -1);
  CHECK(::lseek(file.fd(), 1 << 20, SEEK_HOLE) == -1);
  CHECK(::link((mount / "d/f").c_str(), (mount / "d/g").c_str()) == -1);
  CHECK(errno == EPERM);
  CHECK(::renameat2(AT_FDCWD, (mount / "sparse").c_str(), AT_FDCWD, (mount / "d/f").c_str(),
                    RENAME_NOREPLACE) == -1);
  CHECK(errno == EEXIST);
  CHECK(mount.status().at("failures").as_array().empty());
}

TEST_CASE("F1: whatever call fails, its errno fits, and one sentence names call, path and server's words") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const auto& [name, bytes] : {std::pair{"read me", "bytes"}, {"remove me", "x"}, {"rename me", "x"}})
    lake.put(name, bytes);
  lake.put("directory/file", "x");
  REQUIRE(names_in(mount.at()).size() == 4);
  struct Case {
    const char* operation;
    const char* name;
    std::function<std::string()> act;
    const char* came_to;
  };
  for (const auto& [operation, name, act, came_to] : {
           Case{"store_get", "read me", [&] { return read_file(mount / "read me"); }, "<read: EIO>"},
           Case{"list_objects", "directory", [&] { return names_in(mount / "directory").at(0); }, "<EIO>"},
           Case{"delete_object", "remove me", [&] { return remove_file(mount / "remove me"); },
                "unlink: EIO"},
           Case{"copy_object", "rename me",
                [&] { return rename_file(mount / "rename me", mount / "renamed"); }, "rename: EIO"},
           Case{"link_physical_address", "made", [&] { return make_directory(mount / "made"); },
                "mkdir: EIO"},
           Case{"link_physical_address", "my.lock", [&] { return write_file(mount / "my.lock", "", O_EXCL); },
                "open: EIO"},
       }) {
    CAPTURE(operation);
    CAPTURE(name);
    const std::string words = "the badger of " + std::string(name) + " sleeps";
    const std::string body = std::string(operation).starts_with("store")
                                 ? "<Error><Code>Badger</Code><Message>" + words + "</Message></Error>"
                                 : R"({"message": ")" + words + "\"}";
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = operation, .times = 0, .status = 500, .body = body});
    CHECK(act() == came_to);
    lake.server().clear_faults();
    for (const std::string& text : {mount.lakefuse({"status", mount.at().string()}).out, mount.log()}) {
      INFO(text);
      CHECK(says(text, {operation, name, words}));
    }
  }
}

TEST_CASE("F1: a server that is dead is EIO at open, read and close, within the deadline") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("cold", "never read");
  lake.put("open", pattern(20'000'000));
  Mounted mount(lake, {.may_end_hard = true});
  REQUIRE(look(mount / "cold") == kOk);
  const OpenFile reader(mount / "open", O_RDONLY);
  OpenFile writer(mount / "written", O_WRONLY | O_CREAT);
  REQUIRE(reader.opened() == kOk);
  REQUIRE(writer.write("bytes") == kOk);
  lake.server().stop();
  const auto timed = [](const std::function<std::string()>& act) {
    const auto began = Clock::now();
    const std::string came_to = act();
    CHECK(Clock::now() - began < 20s);
    return came_to;
  };
  CHECK(timed([&] { return reader.read_all(16 << 20); }) == "<read: EIO>");
  CHECK(has(timed([&] { return read_file(mount / "cold"); }), "EIO"));
  CHECK(timed([&] { return look(mount / "unknown"); }) == "stat: EIO");
  CHECK(timed([&] { return writer.close(); }) == "close: EIO");
  CHECK(mount.kept_bytes("written") == "bytes");
  lake.server().start();
  CHECK(eventually([&] { return lake.read("written") == "bytes"; }, 30s));
  CHECK(read_file(mount / "cold") == "never read");
}

TEST_CASE("F1: a store that takes the connection and resets it is EIO, and the next try is whole") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(3'000'000);
  lake.put("f", bytes);
  Mounted mount(lake);
  lake.server().add_fault({.kind = Fault::Kind::kReset, .operation = "store_*", .times = 0});
  const auto began = Clock::now();
  CHECK(has(read_file(mount / "f"), "EIO"));
  CHECK(write_file(mount / "g", "bytes") == "close: EIO");
  CHECK(Clock::now() - began < 40s);
  lake.server().clear_faults();
  CHECK((read_file(mount / "f") == bytes));
  CHECK(eventually([&] { return lake.read("g") == "bytes"; }, 20s));
}

TEST_CASE("F1: Ctrl-C ends a blocked close within a second, and the bytes are kept") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    CAPTURE(signal);
    const std::string name = "by signal " + std::to_string(signal);
    Gate gate = lake.server().hold("store_put");
    Actor writer;
    REQUIRE(writer("open 1 w,creat " + (mount / name).string()) == "ok");
    CHECK(writer("write 1 bytes") == "ok");
    writer.tell("close 1");
    REQUIRE(gate.wait_for_arrivals(1));
    const auto began = Clock::now();
    writer.signal(signal);
    CHECK(writer.wait() == 128 + signal);
    CHECK(Clock::now() - began < kOneSecond);
    CHECK(mount.pending().contains(name));
    gate.release();
    CHECK(eventually([&] { return lake.read(name) == "bytes"; }, 20s));
  }
}

TEST_CASE("F1: Ctrl-C ends a close that waits for its upload's address, and the bytes are kept") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  Gate gate = lake.server().hold("get_physical_address");
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 bytes") == "ok");
  REQUIRE(gate.wait_for_arrivals(1));  // Asked for ahead, by nobody who could be signalled.
  writer.tell("close 1");
  std::this_thread::sleep_for(300ms);
  const auto began = Clock::now();
  writer.signal(SIGINT);
  CHECK(writer.wait() == 128 + SIGINT);
  CHECK(Clock::now() - began < kOneSecond);
  CHECK(mount.pending().contains("f"));
  gate.release();
  CHECK(eventually([&] { return lake.read("f") == "bytes"; }, 20s));
}

TEST_CASE("F1: Ctrl-C ends a blocked fsync of --fsync=publish within a second, and the bytes are kept") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--fsync=publish"}});
  Gate gate = lake.server().hold("store_put");
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 bytes") == "ok");
  writer.tell("sync 1");
  REQUIRE(gate.wait_for_arrivals(1));
  const auto began = Clock::now();
  writer.signal(SIGINT);
  CHECK(writer.wait() == 128 + SIGINT);
  CHECK(Clock::now() - began < kOneSecond);
  CHECK(mount.pending().contains("f"));
  gate.release();
  CHECK(eventually([&] { return lake.read("f") == "bytes"; }, 20s));
}

TEST_CASE("F1: SIGKILL ends a blocked read within a second, and the next reader has the bytes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(3'000'000);
  for (const std::string name : {"r", "r,direct"}) lake.put(name, bytes);
  Mounted mount(lake);
  // Of a read through the page cache the kernel lets go by itself; of a direct one we have to.
  for (const std::string flags : {"r", "r,direct"}) {
    CAPTURE(flags);
    Gate gate = lake.server().hold("store_get");
    Actor reader;
    REQUIRE(reader("open 1 " + flags + " " + (mount / flags).string()) == "ok");
    reader.tell("read 1");
    REQUIRE(gate.wait_for_arrivals(1));
    const auto began = Clock::now();
    reader.signal(SIGKILL);
    CHECK(reader.wait() == 128 + SIGKILL);
    CHECK(Clock::now() - began < kOneSecond);
    gate.release();
    CHECK((read_file(mount / flags) == bytes));
  }
}

TEST_CASE("F1: fsync asks nothing of the lake: it answers while each call to it hangs") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("old", "an old version");
  Mounted mount(lake);
  OpenFile old(mount / "old", O_WRONLY | O_TRUNC);
  REQUIRE(old.opened() == kOk);
  OpenFile fresh(mount / "new", O_WRONLY | O_CREAT);
  REQUIRE(fresh.opened() == kOk);
  REQUIRE(lake.server().wait_for("get_physical_address", 1));
  Gate gate = lake.server().hold("*");
  const auto began = Clock::now();
  for (OpenFile* file : {&old, &fresh}) {
    CHECK(file->write("bytes") == kOk);
    CHECK(file->sync() == kOk);
  }
  CHECK(Clock::now() - began < kOneSecond);
  gate.release();
  CHECK(old.close() == kOk);
  CHECK(fresh.close() == kOk);
}

TEST_CASE("F1: a signal that the program handles, SIGALRM or SIGCHLD, does not fail its close") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const int signal : {SIGALRM, SIGCHLD, SIGUSR1, SIGWINCH}) {
    CAPTURE(signal);
    const std::string name = "over signal " + std::to_string(signal);
    Gate gate = lake.server().hold("store_put");
    Actor writer;
    REQUIRE(writer("handle " + std::to_string(signal)) == "ok");
    REQUIRE(writer("open 1 w,creat " + (mount / name).string()) == "ok");
    CHECK(writer("write 1 bytes") == "ok");
    writer.tell("close 1");
    REQUIRE(gate.wait_for_arrivals(1));
    for (int n = 0; n < 3; ++n) {
      writer.signal(signal);
      std::this_thread::sleep_for(100ms);
    }
    CHECK(writer.answer(500ms) == "<no answer>");
    gate.release();
    CHECK(writer.answer() == "ok");
    CHECK(lake.read(name) == "bytes");
  }
  CHECK(mount.pending().empty());
}

TEST_CASE("F1: while many closes are blocked, stat, ls, reads and status of the mount go on") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("old", "here");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(names_in(mount.at()) == std::vector<std::string>{"old"});
  REQUIRE(read_file(mount / "old") == "here");
  constexpr int kWriters = 64;
  Gate gate = lake.server().hold("store_put");
  std::vector<Outcome> closed(kWriters);
  std::vector<std::jthread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      closed[static_cast<std::size_t>(i)] = write_file(mount / ("new" + std::to_string(i)), "x");
    });
  }
  CHECK(gate.wait_for_arrivals(10));
  std::this_thread::sleep_for(500ms);  // All are as far as they come.
  const auto began = Clock::now();
  for (int n = 0; n < 10; ++n) {
    CHECK(look(mount / "old") == kOk);
    CHECK(read_file(mount / "old") == "here");
    CHECK(names_in(mount.at()).size() == kWriters + 1);
  }
  CHECK(mount.status().at("pending").as_array().size() == kWriters);
  CHECK(Clock::now() - began < 3s);
  gate.release();
  writers.clear();
  for (const auto& came_to : closed) CHECK(came_to == kOk);
  CHECK(lake.keys().size() == kWriters + 1);
}

TEST_CASE("F1: a failure that no program could see makes status and umount end non-zero, with the name") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--umount-timeout", "2s"}});
  lake.server().add_fault({.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .times = 0});
  {
    Actor writer;  // It exits with the file open: its exit-time flush has nobody to tell.
    REQUIRE(writer("open 1 w,creat " + (mount / "unheard").string()) == "ok");
    CHECK(writer("write 1 bytes") == "ok");
    CHECK(writer.end() == 0);
  }
  CHECK(eventually([&] { return mount.pending()["unheard"] == "failed"; }, 20s));
  const auto status = mount.lakefuse({"status", mount.at().string()});
  CHECK(status.exit_code == 3);
  CHECK(has(status.out, "unheard"));
  CHECK(mount.lakefuse({"commit", mount.at().string(), "-m", "m", "--all"}).exit_code != 0);
  const auto umount = mount.lakefuse({"umount", mount.at().string()});
  CHECK(umount.exit_code == 3);
  CHECK(has(umount.out + umount.err, "unheard"));
}

TEST_CASE("F1: umount waits for no container that has a copy of the mount, and takes no open file from one") {
  TestLake lake;
  Mounted mount(lake);
  Actor container;
  if (container("apart") != "ok") {
    MESSAGE("skipped: this user may not have a mount namespace of his own");
    return;
  }
  CHECK(container("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(container("write 1 all of it") == "ok");
  const auto busy = mount.lakefuse({"umount", mount.at().string()});
  CHECK(busy.exit_code == 1);
  CHECK(says(busy.err, {"is busy", mount.at().string()}));
  CHECK(container("close 1") == "ok");
  const auto began = Clock::now();
  CHECK(mount.unmount() == 0);
  CHECK(Clock::now() - began < 8s);
  CHECK(container("open 1 r " + (mount / "f").string()) == "ENOTCONN");
  CHECK(lake.read("f") == "all of it");
}

TEST_CASE("F1: the mount ends within --umount-timeout, however many files wait for a server that hangs") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kFiles = 40;  // More than are tried at once.
  Mounted mount(lake, {.flags = {"--umount-timeout", "1s"}, .may_end_hard = true});
  lake.fail_all_links();
  {
    std::vector<std::jthread> writers;
    for (int n = 0; n < kFiles; ++n)
      writers.emplace_back([&, n] { CHECK(write_file(mount / std::to_string(n), "x") == "close: EIO"); });
  }
  lake.server().clear_faults();
  const auto hangs = lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .times = 0});
  CHECK(eventually([&] { return lake.server().fired(hangs) >= 16; }, 10s));  // The retries have begun.
  const auto began = Clock::now();
  CHECK(mount.terminate(40s) == 3);
  CHECK(Clock::now() - began < 6s);
  lake.server().clear_faults();
  mount.mount();
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(lake.keys().size() == kFiles);
}

TEST_CASE(
    "F1: a file whose close failed keeps status non-zero while it is tried again, until it is on the lake") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "f", "bytes") == "close: EIO");
  lake.server().clear_faults();
  Gate gate = lake.server().hold("store_put");
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(mount.pending()["f"] == "uploading");
  CHECK(mount.lakefuse({"status", mount.at().string()}).exit_code == 3);
  CHECK(mount.lakefuse({"pending", mount.at().string()}).exit_code == 3);
  gate.release();
  CHECK(eventually([&] { return mount.pending().empty(); }));
  CHECK(mount.lakefuse({"status", mount.at().string()}).exit_code == 0);
}

TEST_CASE("F2: a full disk is ENOSPC at write; close fails, the lake keeps the old version") {
  TestLake lake;
  lake.put("big", "old version");
  TinyDisk disk("24m");
  NEEDS_DISK(disk);
  Mounted mount(lake, {.state_dir = disk.path() / "state"});
  CHECK(write_file(mount / "before", "fits") == kOk);
  OpenFile other(mount / "other", O_WRONLY | O_CREAT);
  CHECK(other.write("came early") == kOk);
  OpenFile file(mount / "big", O_WRONLY | O_TRUNC);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write(pattern(40'000'000)) == "write: ENOSPC");
  CHECK(file.close() == "close: ENOSPC");
  CHECK(lake.read("big") == "old version");
  for (const auto& text : {mount.lakefuse({"status", mount.at().string()}).out, mount.log()})
    CHECK(has(text, "write to big: the local disk is full"));
  CHECK(other.close() == kOk);
  CHECK(lake.read("other") == "came early");
  std::this_thread::sleep_for(2s);  // What was cut off is never published behind anybody's back.
  CHECK(lake.read("big") == "old version");
  CHECK(lake.read("before") == "fits");
  CHECK(read_file(mount / "before") == "fits");
}

TEST_CASE("a size that no object can have is EFBIG, and changes nothing") {
  TestLake lake({.multipart = false});
  NEEDS_DOUBLE(lake);
  lake.put("f", "bytes");
  Mounted mount(lake);
  constexpr off_t kSixGibi = off_t{6} << 30;
  CHECK(::truncate((mount / "f").c_str(), kSixGibi) == -1);
  CHECK(errno == EFBIG);
  OpenFile file(mount / "f", O_RDWR);
  CHECK(file.truncate(kSixGibi) == "truncate: EFBIG");
  CHECK(file.close() == kOk);
  CHECK(lake.read("f") == "bytes");
  CHECK(mount.pending().empty());
}

TEST_CASE("W2, W3: what was promised before a disk was full outlives the write that did not fit") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  TinyDisk disk("24m");
  NEEDS_DISK(disk);
  Mounted mount(lake, {.state_dir = disk.path() / "state"});
  const auto fill = [&](OpenFile& file) {
    Outcome wrote = kOk;
    for (int pieces = 0; wrote == kOk && pieces < 100; ++pieces) wrote = file.write(pattern(1 << 20));
    CHECK(wrote == "write: ENOSPC");
    CHECK(file.close() == "close: ENOSPC");
  };
  const auto fill_up = [&](const std::string& name) {
    OpenFile file(mount / name, O_WRONLY | O_APPEND);
    REQUIRE(file.opened() == kOk);
    fill(file);
  };
  std::string name = "log";
  SUBCASE("a close that failed") {
    lake.fail_all_links();
    REQUIRE(write_file(mount / name, "an hour of work\n") == "close: EIO");
    fill_up(name);
  }
  SUBCASE("a close under a temporary name") {
    name = "download.part";
    REQUIRE(write_file(mount / name, "an hour of work\n") == kOk);
    fill_up(name);
  }
  SUBCASE("a fsync") {
    OpenFile file(mount / name, O_WRONLY | O_CREAT | O_APPEND);
    REQUIRE(file.write("an hour of work\n") == kOk);
    REQUIRE(file.sync() == kOk);
    fill(file);
  }
  SUBCASE("litter") {
    name = ".notes.swp";
    REQUIRE(write_file(mount / name, "an hour of work\n") == kOk);
    fill_up(name);
    CHECK(read_file(mount / name).starts_with("an hour of work\n"));
    CHECK(remove_file(mount / name) == kOk);
    return;
  }
  REQUIRE(eventually([&] { return mount.pending()[name] == "conflict"; }));
  CHECK(mount.kept_bytes(name).starts_with("an hour of work\n"));
  CHECK(lake.read(name) == "<none>");  // F2
  mount.kill_hard();
  lake.server().clear_faults();
  mount.mount();
  CHECK(mount.kept_bytes(name).starts_with("an hour of work\n"));
  CHECK(mount.lakefuse({"resolve", "--mine", mount / name}).exit_code == 0);
  CHECK(read_file(mount / name).starts_with("an hour of work\n"));
  CHECK(lake.read(name).starts_with("an hour of work\n"));
}

TEST_CASE("status tells of no failure where a program asked to be told no") {
  TestLake lake;
  lake.put("f", "bytes");
  Mounted mount(lake);
  {
    const OpenFile file(mount / "f", O_RDONLY);
    CHECK(::lseek(file.fd(), 5, SEEK_DATA) == -1);  // As cp does at the end of each file.
    CHECK(errno == ENXIO);
  }
  REQUIRE(::setxattr((mount / "f").c_str(), "user.a", "1", 1, XATTR_CREATE) == 0);
  CHECK(::setxattr((mount / "f").c_str(), "user.a", "1", 1, XATTR_CREATE) == -1);
  CHECK(errno == EEXIST);
  CHECK(mount.status().at("failures").as_array().empty());
}

TEST_CASE(
    "F1: a mount that is started without stdin, stdout and stderr returns and serves, and umount ends it") {
  TestLake lake;
  const Account account(lake);
  for (const std::string closed : {"<&- >&- 2>&-", "<&- 2>&-"}) {
    CAPTURE(closed);
    const std::string program = Mounted::program().string();
    const Ran ran = run({"sh", "-c", "exec \"$@\" " + closed, "sh", program, "mount", "--endpoint",
                         lake.client().endpoint(), "--state-dir", (account.scratch.path() / "state").string(),
                         "--cache-dir", (account.scratch.path() / "cache").string(),
                         "lakefs://" + lake.repository() + "/main", account.at.string()},
                        account.options);
    CHECK(ran.exit_code == 0);
    CHECK(write_file(account.at / "a", closed) == kOk);
    CHECK(lake.read("a") == closed);
    CHECK(run({program, "umount", account.at.string()}, account.options).exit_code == 0);
  }
}

TEST_CASE(
    "F1: a mount under nohup outlives its terminal; one that is refused says why though SIGCHLD is ignored") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const Account account(lake);
  const std::string program = Mounted::program().string();
  const Arguments mount{"env",
                        "--ignore-signal=HUP",
                        "--ignore-signal=CHLD",
                        program,
                        "mount",
                        "--endpoint",
                        lake.client().endpoint(),
                        "lakefs://" + lake.repository() + "/main",
                        account.at.string()};
  REQUIRE(run(mount, account.options).exit_code == 0);
  const Ran status = run({program, "status", account.at.string(), "--json"}, account.options);
  const auto process = std::stoi(status.out.substr(status.out.find("\"pid\":") + 6));
  CHECK(::kill(process, SIGHUP) == 0);
  CHECK(write_file(account.at / "a", "bytes") == kOk);
  std::this_thread::sleep_for(100ms);
  CHECK(read_file(account.at / "a") == "bytes");
  CHECK(run({program, "umount", account.at.string()}, account.options).exit_code == 0);
  lake.server().stop();
  CHECK(run(mount, account.options).exit_code == 4);
}

TEST_CASE("mount: a state or cache directory below the mount point is refused, for nobody would see it") {
  TestLake lake;
  const Account account(lake);
  std::filesystem::create_directory_symlink(account.at, account.scratch.path() / "link");
  for (const std::string flag : {"--state-dir", "--cache-dir"}) {
    CAPTURE(flag);
    const Ran ran = run({Mounted::program().string(), "mount", "--endpoint", lake.client().endpoint(), "-o",
                         "nonempty", flag, (account.scratch.path() / "link/kept").string(),
                         "lakefs://" + lake.repository() + "/main", account.at.string()},
                        account.options);
    CHECK(ran.exit_code == 7);
    CHECK(has(ran.err, "below the mount point"));
    CHECK(std::filesystem::is_empty(account.at));
  }
}
