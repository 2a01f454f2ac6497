// Which of many closes publishes (design section 2): each sequence as programs do it.

#include <doctest/doctest.h>
#include <signal.h>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

TEST_CASE("flush: `echo hi > f` publishes once, and not the empty file before it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  CHECK(shell(mount.at(), "echo hi > f").exit_code == 0);
  CHECK(lake.read("f") == "hi\n");
  CHECK(lake.count("link_physical_address") == 1);
  CHECK(lake.count("store_put") == 1);
}

TEST_CASE("flush: `(echo a; echo b) > f` publishes the whole, once") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  CHECK(shell(mount.at(), "(echo a; echo b; /bin/echo c) > f").exit_code == 0);
  CHECK(lake.read("f") == "a\nb\nc\n");
  CHECK(lake.count("link_physical_address") == 1);
}

TEST_CASE("flush: a redirection of one builtin after the other appends and publishes each") {
  TestLake lake;
  Mounted mount(lake);
  CHECK(shell(mount.at(), "for i in 1 2 3; do echo $i >> f; done; cat f").out == "1\n2\n3\n");
  CHECK(lake.read("f") == "1\n2\n3\n");
}

TEST_CASE("flush: a close while the process holds a dup of it does not publish, the last one does") {
  TestLake lake;
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 half ") == "ok");
  CHECK(writer("dup 1 2") == "ok");
  CHECK(writer("close 1") == "ok");
  CHECK(lake.read("f") == "<none>");
  CHECK(writer("write 2 whole") == "ok");
  CHECK(writer("close 2") == "ok");
  CHECK(lake.read("f") == "half whole");
}

TEST_CASE("flush: while a forked child holds the file, the opener's close publishes") {
  TestLake lake;
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 bytes") == "ok");
  const pid_t child = std::stoi(writer("fork"));
  CHECK(writer("close 1") == "ok");
  CHECK(lake.read("f") == "bytes");
  ::kill(child, SIGKILL);
}

TEST_CASE("flush: the exit of a child does not publish what its parent still writes") {
  TestLake lake;
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 half ") == "ok");
  const pid_t child = std::stoi(writer("fork"));
  ::kill(child, SIGTERM);
  std::this_thread::sleep_for(300ms);
  CHECK(lake.read("f") == "<none>");
  CHECK(writer("write 1 whole") == "ok");
  CHECK(writer("close 1") == "ok");
  CHECK(lake.read("f") == "half whole");
}

TEST_CASE("flush: the exec of a child, which closes its copies, neither hangs nor publishes") {
  TestLake lake;
  lake.put("old", "a good old version");
  Mounted mount(lake);
  for (const std::string name : {"old", "new"}) {
    CAPTURE(name);
    const std::string before = lake.read(name);
    Actor writer;
    REQUIRE(writer("open 1 w,creat,trunc,cloexec " + (mount / name).string()) == "ok");
    CHECK(writer("write 1 half ") == "ok");
    CHECK(writer("run true") == "ok");
    CHECK(lake.read(name) == before);
    CHECK(writer("write 1 whole") == "ok");
    CHECK(writer("close 1") == "ok");
    CHECK(lake.read(name) == "half whole");
  }
}

TEST_CASE("flush: a program that execs another one has published what the exec closed") {
  TestLake lake;
  lake.put("f", "a good old version");
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 w,trunc,cloexec " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 whole") == "ok");
  writer.tell("become true");
  CHECK(writer.wait() == 0);
  CHECK(lake.read("f") == "whole");
}

TEST_CASE("flush: a process that exits without closing has published, soon after it is gone") {
  TestLake lake;
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 bytes") == "ok");
  CHECK(writer.end() == 0);
  CHECK(eventually([&] { return lake.read("f") == "bytes"; }));
}

TEST_CASE("flush: a flush in the middle, as np.memmap('w+') makes, publishes nothing half written") {
  TestLake lake;
  Mounted mount(lake);
  Actor writer;
  const std::string path = (mount / "array").string();
  REQUIRE(writer("open 1 rw,creat,trunc " + path) == "ok");
  CHECK(writer("truncate 1 65536") == "ok");
  CHECK(writer("map 1 65536") == "ok");
  CHECK(writer("dup 1 2") == "ok");
  CHECK(writer("close 2") == "ok");  // What Python's mmap does: a duplicate comes and goes.
  CHECK(lake.read("array") == "<none>");
  CHECK(writer("poke 0 numbers") == "ok");
  CHECK(writer("msync") == "ok");
  CHECK(writer("unmap") == "ok");
  CHECK(writer("close 1") == "ok");
  CHECK((lake.read("array") == "numbers" + std::string(65536 - 7, '\0')));
}

TEST_CASE("flush: a writer killed by a signal does not replace an existing version with half a file") {
  TestLake lake;
  lake.put("killed", "a good old version");
  lake.put("terminated", "a good old version");
  Mounted mount(lake);
  for (const auto& [name, signal] : {std::pair{"killed", SIGKILL}, std::pair{"terminated", SIGTERM}}) {
    CAPTURE(name);
    Actor writer;
    REQUIRE(writer("open 1 w,trunc " + (mount / name).string()) == "ok");
    CHECK(writer("write 1 half") == "ok");
    writer.signal(signal);
    CHECK(writer.wait() == 128 + signal);
    CHECK(eventually([&] { return mount.pending().contains(name); }));
    CHECK(mount.kept_bytes(name) == "half");
    CHECK(lake.read(name) == "a good old version");
    CHECK(read_file(mount / name) == "a good old version");
  }
}

TEST_CASE("flush: new names and appends of a writer that was killed are published") {
  TestLake lake;
  lake.put("log", "one\n");
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 w,creat " + (mount / "new").string()) == "ok");
  CHECK(writer("write 1 as far as it came") == "ok");
  REQUIRE(writer("open 2 w,append " + (mount / "log").string()) == "ok");
  CHECK(writer("write 2 two") == "ok");
  writer.signal(SIGKILL);
  CHECK(writer.wait() == 128 + SIGKILL);
  CHECK(eventually([&] { return lake.read("new") == "as far as it came"; }));
  CHECK(eventually([&] { return lake.read("log") == "one\ntwo"; }));
}

TEST_CASE("flush: truncate by path and mknod have no close: they have published when they answer") {
  TestLake lake;
  lake.put("f", "0123456789");
  Mounted mount(lake);
  CHECK(shell(mount.at(), "truncate -s 4 f && truncate -s 0 g && touch h").exit_code == 0);
  CHECK(lake.read("f") == "0123");
  CHECK(lake.read("g") == "");
  CHECK(lake.read("h") == "");
}

TEST_CASE("flush: an empty file is published by its close") {
  TestLake lake;
  lake.put("was", "full");
  Mounted mount(lake);
  CHECK(shell(mount.at(), ": > new; : > was").exit_code == 0);
  CHECK(lake.read("new") == "");
  CHECK(lake.read("was") == "");
}
