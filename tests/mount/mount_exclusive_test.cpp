// W5: O_CREAT|O_EXCL has one winner, and the others hear of it.

#include <doctest/doctest.h>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

TEST_CASE("W5: a second creator gets EEXIST at open when the name is there") {
  TestLake lake;
  lake.put("theirs", "x");
  Mounted mount(lake);
  CHECK(write_file(mount / "theirs", "y", O_EXCL) == "open: EEXIST");
  CHECK(write_file(mount / "ours", "y", O_EXCL) == kOk);
  CHECK(write_file(mount / "ours", "z", O_EXCL) == "open: EEXIST");
  CHECK(lake.read("theirs") == "x");
  CHECK(lake.read("ours") == "y");
}

TEST_CASE("W5: a name that says lock is claimed at open: the second mount gets EEXIST there") {
  TestLake lake;
  Mounted one(lake);
  Mounted two(lake);
  for (const std::string name : {"a.lock", "b.lck", "c.pid", "LOCK", ".lock-d", ".~lock.e#"}) {
    CAPTURE(name);
    CHECK(look(two / name) == "stat: ENOENT");  // Its negative entry must not help it.
    OpenFile winner(one / name, O_WRONLY | O_CREAT | O_EXCL);
    CHECK(winner.opened() == kOk);
    CHECK(lake.read(name) == "");
    OpenFile loser(two / name, O_WRONLY | O_CREAT | O_EXCL);
    CHECK(loser.opened() == "open: EEXIST");
    CHECK(winner.write("pid 1") == kOk);
    CHECK(winner.close() == kOk);
    CHECK(lake.read(name) == "pid 1");
    CHECK(remove_file(one / name) == kOk);
    CHECK(lake.read(name) == "<none>");
    CHECK(write_file(two / name, "pid 2", O_EXCL) == kOk);
    CHECK(lake.read(name) == "pid 2");
  }
}

TEST_CASE("W5: an unclaimed name is decided at close: the first close wins, the second gets EEXIST") {
  TestLake lake;
  Mounted one(lake);
  Mounted two(lake);
  OpenFile first(one / "name", O_WRONLY | O_CREAT | O_EXCL);
  OpenFile second(two / "name", O_WRONLY | O_CREAT | O_EXCL);
  REQUIRE(first.opened() == kOk);
  REQUIRE(second.opened() == kOk);
  CHECK(lake.read("name") == "<none>");
  CHECK(first.write("first") == kOk);
  CHECK(second.write("second") == kOk);
  CHECK(second.close() == kOk);
  CHECK(first.close() == "close: EEXIST");
  CHECK(lake.read("name") == "second");
  CHECK(one.kept_bytes("name") == "first");
}

TEST_CASE("W5: with --exclusive=claim every name is decided at open") {
  TestLake lake;
  Mounted one(lake, {.flags = {"--exclusive=claim"}});
  Mounted two(lake, {.flags = {"--exclusive=claim"}});
  OpenFile first(one / "name", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(first.opened() == kOk);
  OpenFile second(two / "name", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(second.opened() == "open: EEXIST");
  CHECK(first.write("first") == kOk);
  CHECK(first.close() == kOk);
  CHECK(lake.read("name") == "first");
}

TEST_CASE("W5: the first link of a name that was absent at open is conditional without O_EXCL, too") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "name", O_WRONLY | O_CREAT);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("ours") == kOk);
  lake.put("name", "theirs");
  CHECK(file.close() == "close: ESTALE");
  CHECK(lake.read("name") == "theirs");
  CHECK(mount.kept_bytes("name") == "ours");
}

TEST_CASE("rule 1: a link whose answer was lost is looked at before it is repeated, and close succeeds") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const auto kind :
       {Fault::Kind::kLoseAnswer, Fault::Kind::kStatusAfter, Fault::Kind::kStatus, Fault::Kind::kReset}) {
    const std::string name(name_of(kind));
    CAPTURE(name);
    for (const int flags : {O_EXCL, O_TRUNC}) {
      lake.server().add_fault({.kind = kind, .operation = "link_physical_address", .status = 503});
      CHECK(write_file(mount / (name + std::to_string(flags)), name, flags) == kOk);
      CHECK(lake.read(name + std::to_string(flags)) == name);
    }
    lake.server().add_fault({.kind = kind, .operation = "link_physical_address", .status = 429});
    CHECK(write_file(mount / (name + std::to_string(O_TRUNC)), "again") == kOk);
    CHECK(lake.read(name + std::to_string(O_TRUNC)) == "again");
    lake.server().clear_faults();
  }
}

TEST_CASE("rule 1: a delete whose answer was lost has removed the name, and never another client's version") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const auto kind : {Fault::Kind::kLoseAnswer, Fault::Kind::kStatusAfter}) {
    const std::string name(name_of(kind));
    CAPTURE(name);
    REQUIRE(write_file(mount / name, "x", O_EXCL) == kOk);
    lake.server().add_fault({.kind = kind, .operation = "delete_object", .status = 429});
    CHECK(remove_file(mount / name) == kOk);
    CHECK(lake.read(name) == "<none>");
    CHECK(look(mount / name) == "stat: ENOENT");
    lake.server().clear_faults();
  }
}

TEST_CASE("rule 2: a false 412 is no EEXIST: who was alone wins") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const auto kind : {Fault::Kind::kFalse412Kept, Fault::Kind::kFalse412Dropped}) {
    const std::string name(name_of(kind));
    for (const auto& path : {name, name + ".lock"}) {
      CAPTURE(path);
      lake.server().add_fault({.kind = kind, .operation = "link_physical_address", .delay = 20ms});
      CHECK(write_file(mount / path, "mine", O_EXCL) == kOk);
      std::this_thread::sleep_for(100ms);
      CHECK(lake.read(path) == "mine");
      lake.server().clear_faults();
    }
  }
}

TEST_CASE(
    "rule 3: a claim that the server undid, or gave to another client, is not used before that is seen") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const bool is_taken : {false, true}) {
    CAPTURE(is_taken);
    const std::string name = is_taken ? "taken.lock" : "undone.lock";
    Gate gate = lake.server().hold("link_physical_address", "*", Gate::Where::kAfterWork);
    Outcome opened;
    {
      const std::jthread opener(
          [&] { opened = OpenFile(mount / name, O_WRONLY | O_CREAT | O_EXCL).opened(); });
      REQUIRE(gate.wait_for_arrivals(1));
      lake.remove(name);
      if (is_taken) lake.put(name, "theirs");
      gate.release();
    }
    CHECK(opened == (is_taken ? "open: EEXIST" : kOk));
    CHECK(lake.read(name) == (is_taken ? "theirs" : ""));
  }
}

TEST_CASE("rule 2: a claim that is another client's by now is not unlinked") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(write_file(mount / "a.lock", "ours", O_EXCL) == kOk);
  lake.remove("a.lock");
  lake.put("a.lock", "theirs");
  CHECK(remove_file(mount / "a.lock") != kOk);
  CHECK(lake.read("a.lock") == "theirs");
}
