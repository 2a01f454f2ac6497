// W8: flock and fcntl locks hold between the handles and processes of one mount, as on a local disk.

#include <doctest/doctest.h>
#include <signal.h>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;

namespace {

// Two programs with the same file open in slot 1, and the first has it in slot 2 as well.
class Two {
 public:
  explicit Two(const std::filesystem::path& path) {
    REQUIRE(one("open 1 rw,creat " + path.string()) == "ok");
    REQUIRE(one("open 2 rw " + path.string()) == "ok");
    REQUIRE(other("open 1 rw " + path.string()) == "ok");
    REQUIRE(other("break " + std::to_string(SIGUSR1)) == "ok");
  }
  Actor one, other;
};

// Until the system knows that somebody waits for a lock on that file.
bool is_waited_for(const std::filesystem::path& path) {
  const std::string inode = ":" + std::to_string(facts_of(path).st_ino) + " ";
  return eventually([&] {
    const std::string text = read_local("/proc/locks");
    for (auto at = text.find("-> "); at != text.npos; at = text.find("-> ", at + 1)) {
      // "1: -> POSIX  ADVISORY  WRITE 4321 00:37:1234 0 EOF"
      if (has(text.substr(at, text.find('\n', at) - at), inode)) return true;
    }
    return false;
  });
}

}  // namespace

TEST_CASE("W8: fcntl locks are a process's: they exclude others where ranges meet, and readers share") {
  TestLake lake;
  Mounted mount(lake);
  Two two(mount / "f");
  CHECK(two.one("lock 1 posix w try 0 10") == "ok");
  CHECK(two.one("lock 2 posix w try 0 10") == "ok");  // The same process: no conflict, whatever descriptor.
  CHECK(two.other("lock 1 posix w try 0 10") == "EAGAIN");
  CHECK(two.other("lock 1 posix r try 5 1") == "EAGAIN");
  CHECK(two.other("locked 1 posix w 0 0") == "w 0 10 of " + std::to_string(two.one.process()));
  CHECK(two.other("lock 1 posix w try 10 10") == "ok");
  CHECK(two.one("locked 1 posix r 0 0") == "w 10 10 of " + std::to_string(two.other.process()));
  CHECK(two.one("lock 1 posix r try 0 10") == "ok");  // From writer to reader.
  CHECK(two.other("lock 1 posix r try 0 10") == "ok");
  CHECK(two.one("lock 1 posix w try 0 10") == "EAGAIN");
  CHECK(two.other("lock 1 posix none try 0 0") == "ok");
  CHECK(two.one("lock 1 posix w try 0 10") == "ok");
  CHECK(two.one("locked 1 posix w 0 0") == "none");
  // Any close of the file gives up all locks of the process, as POSIX has it.
  CHECK(two.one("close 2") == "ok");
  CHECK(two.other("lock 1 posix w try 0 10") == "ok");
}

TEST_CASE(
    "W8: a lock on a description (F_OFD_SETLK) is between descriptors, dups share it, and its close ends "
    "it") {
  TestLake lake;
  Mounted mount(lake);
  Two two(mount / "f");
  CHECK(two.one("lock 1 ofd w try 0 10") == "ok");
  CHECK(two.one("lock 2 ofd w try 0 10") == "EAGAIN");
  CHECK(two.other("lock 1 ofd w try 0 10") == "EAGAIN");
  CHECK(two.other("lock 1 posix w try 0 10") == "EAGAIN");
  CHECK(two.other("locked 1 ofd r 0 0") == "w 0 10 of -1");
  CHECK(two.one("dup 1 3") == "ok");
  CHECK(two.one("close 2") == "ok");  // Another description: what this one holds stays.
  CHECK(two.one("close 1") == "ok");
  CHECK(two.other("lock 1 ofd w try 0 10") == "EAGAIN");
  CHECK(two.one("close 3") == "ok");
  CHECK(eventually([&] { return two.other("lock 1 ofd w try 0 10") == "ok"; }));
}

TEST_CASE("W8: flock is between descriptors, shared with a child, and ended by unlock, close or death") {
  TestLake lake;
  Mounted mount(lake);
  Two two(mount / "f");
  CHECK(two.one("lock 1 flock w try") == "ok");
  CHECK(two.one("lock 2 flock w try") == "EAGAIN");
  CHECK(two.other("lock 1 flock r try") == "EAGAIN");
  CHECK(two.one("lock 1 flock r try") == "ok");
  CHECK(two.other("lock 1 flock r try") == "ok");
  CHECK(two.other("lock 1 flock w try") == "EAGAIN");
  CHECK(two.one("lock 1 flock none try") == "ok");
  CHECK(two.other("lock 1 flock w try") == "ok");
  CHECK(two.other("lock 1 flock none try") == "ok");

  REQUIRE(two.one("lock 1 flock w try") == "ok");
  const pid_t child = std::stoi(two.one("fork"));
  CHECK(two.one("close 1") == "ok");
  CHECK(two.other("lock 1 flock w try") == "EAGAIN");  // The child has the description.
  CHECK(::kill(child, SIGKILL) == 0);
  CHECK(eventually([&] { return two.other("lock 1 flock w try") == "ok"; }));
}

TEST_CASE("W8: who waits for a lock gets it when it is free, or EINTR by a signal") {
  TestLake lake;
  Mounted mount(lake);
  Two two(mount / "f");
  for (const std::string kind : {"posix", "ofd", "flock"}) {
    CAPTURE(kind);
    const std::string range = kind == "flock" ? "" : " 0 0";
    REQUIRE(two.one("lock 1 " + kind + " w try" + range) == "ok");
    two.other.tell("lock 1 " + kind + " w wait" + range);
    CHECK(is_waited_for(mount / "f"));
    two.other.signal(SIGUSR1);
    CHECK(two.other.answer() == "EINTR");
    two.other.tell("lock 1 " + kind + " w wait" + range);
    CHECK(is_waited_for(mount / "f"));
    CHECK(look(mount / "f") == kOk);  // Nobody else waits with it.
    CHECK(two.one("lock 1 " + kind + " none try" + range) == "ok");
    CHECK(two.other.answer() == "ok");
    CHECK(two.other("lock 1 " + kind + " none try" + range) == "ok");
  }
}

TEST_CASE("W8: a lock holds while the file is written, published, renamed and looked at again") {
  TestLake lake;
  lake.put("f", "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  Actor holder;
  REQUIRE(holder("open 1 rw " + (mount / "f").string()) == "ok");
  REQUIRE(holder("lock 1 posix w try 0 0") == "ok");
  REQUIRE(holder("open 2 rw " + (mount / "f").string()) == "ok");
  REQUIRE(holder("lock 2 flock w try") == "ok");
  const auto is_free = [&](const std::string& name) {
    Actor other;
    REQUIRE(other("open 1 rw " + (mount / name).string()) == "ok");
    return other("lock 1 posix w try 0 0") + " " + other("lock 1 flock w try");
  };
  CHECK(is_free("f") == "EAGAIN EAGAIN");
  CHECK(write_file(mount / "f", "by a third") == kOk);
  CHECK(lake.read("f") == "by a third");
  CHECK(is_free("f") == "EAGAIN EAGAIN");
  CHECK(rename_file(mount / "f", mount / "g") == kOk);
  CHECK(is_free("g") == "EAGAIN EAGAIN");
  CHECK(::chmod((mount / "g").c_str(), 0600) == 0);
  CHECK(names_in(mount.at()) == std::vector<std::string>{"g"});
  CHECK(is_free("g") == "EAGAIN EAGAIN");
  CHECK(holder("write 1 BY") == "ok");
  holder.end();
  CHECK(eventually([&] { return is_free("g") == "ok ok"; }));
  CHECK(eventually([&] { return lake.read("g") == "BY a third"; }));
}
