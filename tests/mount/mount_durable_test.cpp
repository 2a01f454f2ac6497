// W3 and W4: what is on this machine only outlives it, and comes back as what it was.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Pending = std::map<std::string, std::string>;

// kill -9 after a link was done, before its answer, while `change` runs; then the next mount.
void kill_once_linked(TestLake& lake, Mounted& mount, const std::function<void()>& change) {
  const auto fault = lake.server().add_fault(
      {.kind = Fault::Kind::kStallAfter, .operation = "link_physical_address", .delay = 60s});
  std::jthread writer(change);
  CHECK(eventually([&] { return lake.server().fired(fault) > 0; }));
  std::this_thread::sleep_for(50ms);  // So that it is done.
  mount.kill_hard([&] { writer.join(); });
  lake.server().clear_faults();
  std::filesystem::remove_all(mount.cache_dir());  // What was read of the old version is not at hand.
  mount.mount();
  CHECK(eventually([&] { return mount.pending().empty(); }));
}

}  // namespace

TEST_CASE("W4: a file whose close failed is never published with half of what was written to it later") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "closed") == "close: EIO");
  OpenFile file(mount / "a.txt", O_WRONLY);
  CHECK(file.write_at(0, "HAL") == kOk);
  lake.server().clear_faults();
  std::this_thread::sleep_for(2s);  // Retries do not take it either.
  CHECK(lake.read("a.txt") == "<none>");
  mount.kill_hard([&] { file.close(); });
  mount.mount();
  CHECK(mount.pending() == Pending{{"a.txt", "conflict"}});
  CHECK(mount.kept_bytes("a.txt") == "HALsed");
  CHECK(lake.read("a.txt") == "<none>");
}

TEST_CASE("W8: what a killed mount had linked without being told is read at once, though its base is gone") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", pattern(9000));
  Mounted mount(lake, {.flags = {"--writeback"}});
  const auto fault = lake.server().add_fault(
      {.kind = Fault::Kind::kStallAfter, .operation = "link_physical_address", .delay = 60s});
  REQUIRE(write_file(mount / "f", " and more", O_APPEND) == kOk);
  CHECK(eventually([&] { return lake.server().fired(fault) > 0; }));
  std::this_thread::sleep_for(50ms);  // So that it is done.
  mount.kill_hard();
  lake.server().clear_faults();
  std::filesystem::remove_all(mount.cache_dir());
  Gate gate = lake.server().hold("stat_object", "f", Gate::Where::kAfterWork);
  mount.mount();
  std::string shown;
  std::jthread reader([&] { shown = read_file(mount / "f"); });
  REQUIRE(gate.wait_for_arrivals(1));  // Who publishes, and who reads, each miss the base.
  std::this_thread::sleep_for(200ms);
  gate.release();
  reader.join();
  CHECK(shown == pattern(9000) + " and more");
  CHECK(eventually([&] { return mount.pending().empty(); }));
  CHECK(lake.read("f") == shown);
}

TEST_CASE("W4: a held-back file is never published with half of what was written to it later") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--temporary-age", "1h"}});
  REQUIRE(write_file(mount / "a.tmp", "closed") == kOk);
  OpenFile file(mount / "a.tmp", O_WRONLY);
  CHECK(file.write_at(0, "HAL") == kOk);
  mount.kill_hard([&] { file.close(); });
  mount.mount();
  CHECK(mount.pending() == Pending{{"a.tmp", "conflict"}});
  CHECK(lake.read("a.tmp") == "<none>");
}

TEST_CASE("W2: a close that failed is made good by the next close of the same file") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "first") == "close: EIO");
  lake.server().clear_faults();
  CHECK(write_file(mount / "a.txt", "second", O_APPEND) == kOk);
  CHECK(lake.read("a.txt") == "firstsecond");
  CHECK(mount.pending().empty());
}

TEST_CASE(
    "W2: a file that is renamed or removed between two closes that fail is what it is by then, and no "
    "conflict") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"old-moved", "old-removed"}) lake.put(key, "old");
  Mounted mount(lake);
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .times = 0, .status = 403});
  for (const std::string name : {"new-moved", "old-moved", "new-removed", "old-removed"}) {
    CAPTURE(name);
    CHECK(write_file(mount / name, "first") == "close: EACCES");
    OpenFile file(mount / name, O_WRONLY | O_APPEND);
    CHECK(file.write(", second") == kOk);
    if (name.ends_with("removed")) {
      CHECK(remove_file(mount / name) == kOk);
      CHECK(file.close() == kOk);
      CHECK(look(mount / name) == "stat: ENOENT");
      continue;
    }
    // What the lake has under the old name goes when the new one is there, and not before.
    const bool is_new = name == "new-moved";
    CHECK(rename_file(mount / name, mount / (name + "-on")) == (is_new ? kOk : "rename: EACCES"));
    CHECK(file.close() == "close: EACCES");
    CHECK(read_file(mount / (is_new ? name + "-on" : name)) == "first, second");
  }
  CHECK(mount.pending() ==
        std::map<std::string, std::string>{{"new-moved-on", "failed"}, {"old-moved", "failed"}});
  lake.server().clear_faults();
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(rename_file(mount / "old-moved", mount / "old-moved-on") == kOk);
  CHECK(lake.keys() == std::vector<std::string>{"new-moved-on", "old-moved-on"});
  for (const std::string& key : lake.keys()) CHECK(lake.read(key) == "first, second");
  CHECK(mount.pending().empty());
}

TEST_CASE("W3: fsynced bytes of a new file are published by the next mount, by their latest name") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_CREAT);
  CHECK(file.write("synced") == kOk);
  CHECK(file.sync() == kOk);
  CHECK(rename_file(mount / "a.txt", mount / "b.txt") == kOk);
  mount.kill_hard([&] { file.close(); });
  CHECK(lake.keys().empty());
  mount.mount();
  CHECK(read_file(mount / "b.txt") == "synced");
  CHECK(eventually([&] { return lake.read("b.txt") == "synced"; }));
  CHECK(eventually([&] { return mount.pending().empty(); }));
  CHECK(lake.keys() == std::vector<std::string>{"b.txt"});
}

TEST_CASE("W3: what msync wrote through a mapping of a new file outlives the mount") {
  TestLake lake;
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 rw,creat " + (mount / "f").string()) == "ok");
  REQUIRE(writer("truncate 1 8") == "ok");
  REQUIRE(writer("map 1 8") == "ok");
  CHECK(writer("poke 0 MAPPED") == "ok");
  CHECK(writer("msync") == "ok");
  mount.kill_hard([&] { writer.end(); });
  CHECK(lake.keys().empty());
  mount.mount();
  const std::string wanted("MAPPED\0\0", 8);
  CHECK(read_file(mount / "f") == wanted);
  CHECK(eventually([&] { return lake.read("f") == wanted; }));
}

TEST_CASE(
    "W4: an empty file that a copy of its descriptor closed, and its writer did not, is not published "
    "later") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "new.txt", O_WRONLY | O_CREAT);
  REQUIRE(file.opened() == kOk);
  REQUIRE(::close(::dup(file.fd())) == 0);
  mount.kill_hard([&] { file.close(); });
  mount.mount();
  CHECK(mount.lakefuse({"flush", mount.at()}).exit_code >= 0);
  CHECK(lake.keys().empty());
}

TEST_CASE("W3: a line that was appended and reached the lake just before kill -9 is there once") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("log", "old\n");
  Mounted mount(lake);
  std::string expected = "old\n";
  OpenFile file(mount / "log", O_WRONLY | O_APPEND);
  CHECK(file.write("line\n") == kOk);
  SUBCASE("fsynced") {
    CHECK(file.sync() == kOk);
  }
  SUBCASE("above another client's, fsynced before") {
    CHECK(file.sync() == kOk);
    lake.put("log", expected = "theirs, longer\n");
  }
  kill_once_linked(lake, mount, [&] { file.close(); });
  CHECK(lake.read("log") == expected + "line\n");
  CHECK(read_file(mount / "log") == expected + "line\n");
}

TEST_CASE("W3 --writeback: a change in place that reached the lake just before kill -9 is no conflict") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a.txt", "old, and some more");
  Mounted mount(lake, {.flags = {"--writeback"}});
  kill_once_linked(lake, mount, [&] {
    OpenFile file(mount / "a.txt", O_WRONLY);
    CHECK(file.write_at(0, "new") == kOk);
    CHECK(file.close() == kOk);
  });
  CHECK(lake.read("a.txt") == "new, and some more");
  CHECK(read_file(mount / "a.txt") == "new, and some more");
}

TEST_CASE("W3: half of an in-place change over a good version waits for a person, fsynced or not") {
  TestLake lake;
  lake.put("a.txt", "good version");
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY);
  CHECK(file.write_at(0, "half") == kOk);
  CHECK(file.sync() == kOk);
  mount.kill_hard([&] { file.close(); });
  mount.mount();
  CHECK(read_file(mount / "a.txt") == "good version");
  CHECK(mount.pending() == Pending{{"a.txt", "conflict"}});
  CHECK(lake.read("a.txt") == "good version");
}

TEST_CASE("W4: what is on the lake leaves nothing behind when it is killed, though somebody has it open") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_CREAT);
  CHECK(shell(mount.at(), "printf 'by another process' > a.txt").exit_code == 0);
  CHECK(lake.read("a.txt") == "by another process");
  mount.kill_hard([&] { file.close(); });
  mount.mount();
  CHECK(mount.pending().empty());
  CHECK(read_file(mount / "a.txt") == "by another process");
}

TEST_CASE("rule 7: a file that was removed while it was open does not come back with the next mount") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_RDWR | O_CREAT);
  CHECK(file.write("unwanted") == kOk);
  CHECK(file.sync() == kOk);
  CHECK(remove_file(mount / "a.txt") == kOk);
  CHECK(file.read_all() == "unwanted");
  mount.kill_hard([&] { file.close(); });
  mount.mount();
  CHECK(mount.pending().empty());
  CHECK(names_in(mount.at()).empty());
  std::this_thread::sleep_for(1s);
  CHECK(lake.keys().empty());
}

TEST_CASE("rule 1: what a failed close may have linked after all goes when the file is removed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  lake.server().add_fault(
      {.kind = Fault::Kind::kLoseAnswer, .operation = "link_physical_address", .times = 0});
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "stat_object", .times = 0, .status = 500});
  REQUIRE(write_file(mount / "a.txt", "perhaps there") == "close: EIO");
  lake.server().clear_faults();
  REQUIRE(lake.read("a.txt") == "perhaps there");
  CHECK(remove_file(mount / "a.txt") == kOk);
  CHECK(lake.read("a.txt") == "<none>");
}

TEST_CASE(
    "W9: the rename of a closed temporary file publishes before it returns, though somebody has it open") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile holder(mount / "a.tmp", O_WRONLY | O_CREAT);
  CHECK(shell(mount.at(), "printf whole > a.tmp").exit_code == 0);
  CHECK(rename_file(mount / "a.tmp", mount / "a.txt") == kOk);
  CHECK(lake.read("a.txt") == "whole");
}

TEST_CASE("W9: litter keeps its name over a crash, open or not, and stays off the lake") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile swap(mount / ".notes.txt.swp", O_RDWR | O_CREAT);
  CHECK(swap.write("what vim recovers from") == kOk);
  mount.kill_hard([&] { swap.close(); });
  mount.mount();
  CHECK(read_file(mount / ".notes.txt.swp") == "what vim recovers from");
  CHECK(mount.pending().empty());
  CHECK(lake.keys().empty());
}

TEST_CASE("W9: a journal waits beside its database, that an old one is never opened with a newer journal") {
  TestLake lake;
  lake.put("base.db", "old pages");
  Mounted mount(lake);
  OpenFile database(mount / "base.db", O_RDWR);
  REQUIRE(write_file(mount / "base.db-journal", "old pages for newer ones") == kOk);
  CHECK(database.write_at(0, "new") == kOk);
  CHECK(database.sync() == kOk);
  mount.kill_hard([&] { database.close(); });
  mount.mount();
  CHECK(mount.pending() == Pending{{"base.db", "conflict"}, {"base.db-journal", "conflict"}});
  std::this_thread::sleep_for(1s);
  CHECK(lake.keys() == std::vector<std::string>{"base.db"});
}

TEST_CASE(
    "W9: a journal waits for a person with its database, whose writer was killed, and is never published "
    "alone") {
  TestLake lake;
  lake.put("base.db", "old pages");
  Mounted mount(lake);
  for (const bool database_first : {true, false}) {
    CAPTURE(database_first);
    Actor program;
    const auto open = [&](bool is_database) {
      const std::string order = is_database ? "open 1 rw " + (mount / "base.db").string()
                                            : "open 2 w,creat " + (mount / "base.db-journal").string();
      REQUIRE(program(order) == "ok");
    };
    open(database_first);
    open(!database_first);
    REQUIRE(program("write 2 pages") == "ok");
    REQUIRE(program("write 1 new") == "ok");
    program.signal(SIGKILL);
    CHECK(program.wait() == 128 + SIGKILL);
    const Pending both{{"base.db", "conflict"}, {"base.db-journal", "conflict"}};
    CHECK(eventually([&] { return mount.pending() == both; }));
    CHECK(lake.keys() == std::vector<std::string>{"base.db"});
    for (const auto& [path, state] : both)
      CHECK(mount.lakefuse({"discard", (mount / path).string()}).exit_code == 0);
  }
}

TEST_CASE("W9: a journal follows its database, whose close failed, and never comes before it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("base.db", "old pages");
  Mounted mount(lake);
  OpenFile database(mount / "base.db", O_RDWR);
  CHECK(database.write_at(0, "new") == kOk);
  REQUIRE(write_file(mount / "base.db-journal", "old pages for newer ones") == kOk);
  using Kind = Fault::Kind;
  lake.server().add_fault(
      {.kind = Kind::kStatus, .operation = "link_physical_address", .path = "base.db", .times = 0});
  CHECK(database.close() == "close: EIO");
  std::this_thread::sleep_for(1s);
  const auto is_kept = [&] {
    CHECK(lake.keys() == std::vector<std::string>{"base.db"});
    CHECK(lake.read("base.db") == "old pages");
  };
  SUBCASE("published late") {
    is_kept();
  }
  SUBCASE("flushed") {
    CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code != 0);
    is_kept();
  }
  SUBCASE("unmounted, and mounted again") {
    CHECK(mount.unmount() != 0);
    is_kept();
    mount.mount();
    std::this_thread::sleep_for(1s);
    is_kept();
  }
  lake.server().clear_faults();
  CHECK(eventually([&] { return lake.read("base.db-journal") == "old pages for newer ones"; }, 20s));
  CHECK(lake.read("base.db") == "new pages");
  CHECK(eventually([&] { return mount.pending().empty(); }));
}

TEST_CASE("W9: a journal whose database is no more waits for nothing") {
  TestLake lake;
  lake.put("base.db", "old pages");
  Mounted mount(lake);
  OpenFile database(mount / "base.db", O_RDWR);
  CHECK(database.write("new") == kOk);
  REQUIRE(write_file(mount / "base.db-journal", "pages") == kOk);
  REQUIRE(lake.read("base.db-journal") == "<none>");
  SUBCASE("removed") {
    CHECK(remove_file(mount / "base.db") == kOk);
  }
  SUBCASE("renamed") {
    CHECK(rename_file(mount / "base.db", mount / "other.db") == kOk);
  }
  SUBCASE("replaced") {
    CHECK(write_file(mount / "other", "other") == kOk);
    CHECK(rename_file(mount / "other", mount / "base.db") == kOk);
  }
  CHECK(eventually([&] { return lake.read("base.db-journal") == "pages"; }, 2s));
  CHECK(database.close() == kOk);
}

TEST_CASE("a mount takes as many descriptors as the system allows, for each pending file holds one") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit low{256, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  TestLake lake;
  Mounted mount(lake, {.flags = {"--temporary-age", "1h"}});
  CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  for (int i = 0; i < 400; ++i)
    REQUIRE(write_file(mount / ("held" + std::to_string(i) + ".tmp"), "x") == kOk);
  mount.kill_hard();
  // And so does recover.
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  CHECK(mount.lakefuse({"recover", mount.state_dir().string()}).exit_code == 0);
  CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(lake.keys().size() == 400);
}

TEST_CASE(
    "F1: who opens more files than the mount has descriptors for is told so, and those that it has can be "
    "closed") {
  TestLake lake;
  lake.put("old", "old");
  Mounted mount(lake);
  const rlimit few{128, 128};
  REQUIRE(::prlimit(mount.process(), RLIMIT_NOFILE, &few, nullptr) == 0);
  std::vector<int> open;
  int file = -1;
  while ((file = ::open((mount / std::to_string(open.size())).c_str(), O_WRONLY | O_CREAT, 0644)) >= 0 &&
         open.size() < 128)
    open.push_back(file);
  CHECK(errno == ENFILE);
  OpenFile old(mount / "old", O_RDWR);
  CHECK(old.write("new") == "write: ENFILE");
  for (const int each : open) CHECK(::close(each) == 0);
  CHECK(lake.keys().size() == open.size() + 1);
  CHECK(old.write("new") == kOk);
  CHECK(old.close() == kOk);
  CHECK(lake.read("old") == "new");
}

TEST_CASE("F2: a limit of file size ends no mount: what is beyond it is EFBIG, and all else goes on") {
  TestLake lake;
  Mounted mount(lake);
  const rlimit limit{200'000, 200'000};
  REQUIRE(::prlimit(mount.process(), RLIMIT_FSIZE, &limit, nullptr) == 0);
  OpenFile file(mount / "large", O_WRONLY | O_CREAT);
  CHECK(file.write(pattern(300'000)) == "write: EFBIG");
  CHECK(file.close() == "close: EFBIG");
  CHECK(write_file(mount / "small", "bytes") == kOk);
  CHECK(lake.read("small") == "bytes");
  CHECK(lake.read("large") == "<none>");
}

TEST_CASE("F1: SIGTERM on a busy mount publishes what is open as it is, and says how long it waits") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_CREAT);
  CHECK(file.write("as it is") == kOk);
  CHECK(mount.terminate() == 0);
  CHECK(mount.log().find("programs have 3 s to close what they hold open, then it is published as it is") !=
        std::string::npos);
  CHECK(lake.read("a.txt") == "as it is");
}
