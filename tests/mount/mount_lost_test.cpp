// Rule 1: the lake did what a close or a rename asked of it, and nobody was told. What was done is ours: who
// tries again, and bytes that waited meanwhile, do not meet it as another client's, and it does not stay
// behind.

#include <doctest/doctest.h>
#include <signal.h>

#include <future>
#include <thread>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

// What `act` comes to when the n-th call of `operation` is done and not answered, and nobody learns what is
// on the lake from there on until it has ended.
Outcome with_lost_answer(TestLake& lake, const std::string& operation, std::uint32_t nth,
                         const std::function<Outcome()>& act) {
  Gate gate = lake.server().hold(operation);
  lake.server().add_fault({.kind = Fault::Kind::kLoseAnswer, .operation = operation, .nth = nth, .times = 0});
  auto acting = std::async(std::launch::async, act);
  for (std::uint32_t n = 1; n < nth; ++n) {
    CHECK(gate.wait_for_arrivals(n));
    gate.release_one();
  }
  CHECK(gate.wait_for_arrivals(nth));
  lake.server().add_fault({.kind = Fault::Kind::kGarbage, .operation = "stat_object", .times = 0});
  gate.release();
  const Outcome came_to = acting.get();
  lake.server().clear_faults();
  return came_to;
}

// A close that fails for good: its bytes wait here, and are not tried again for minutes.
void make_pending(TestLake& lake, Mounted& mount, const std::string& path, const std::string& bytes) {
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .status = 403});
  REQUIRE(write_file(mount / path, bytes) == "close: EACCES");
  REQUIRE(mount.pending()[path] == "failed");
}

// `a` over `b`, whose bytes wait here: copied, and not told so.
void rename_over_pending(TestLake& lake, Mounted& mount) {
  make_pending(lake, mount, "b", "kept");
  const auto rename = [&] { return rename_file(mount / "a", mount / "b"); };
  CHECK(with_lost_answer(lake, "copy_object", 1, rename) == "rename: EIO");
}

// Everything that waits goes to the lake.
void check_flush(const Mounted& mount) {
  const Ran ran = mount.lakefuse({"flush", mount.at().string()});
  INFO(ran.out << ran.err);
  CHECK(ran.exit_code == 0);
  CHECK(mount.pending().empty());
}

}  // namespace

TEST_CASE("rule 1: bytes that wait replace what a rename copied over them and was not told so") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a", "renamed");
  lake.put("b", "old");
  Mounted mount(lake);
  rename_over_pending(lake, mount);
  REQUIRE(lake.read("b") == "renamed");
  CHECK(read_file(mount / "b") == "kept");
  check_flush(mount);
  CHECK(lake.read("b") == "kept");
  CHECK(lake.read("a") == "renamed");
}

TEST_CASE("rule 1: a rename whose copy was not answered is done when it is tried again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"waiting", "there"}) lake.put(key, "old");
  for (const char* key : {"to waiting", "to there", "to new"}) lake.put(key, "renamed");
  Mounted mount(lake);
  CHECK(read_file(mount / "there") == "old");
  make_pending(lake, mount, "waiting", "kept");
  for (const std::string to : {"waiting", "there", "new"}) {
    CAPTURE(to);
    const auto rename = [&] { return rename_file(mount / ("to " + to), mount / to); };
    CHECK(with_lost_answer(lake, "copy_object", 1, rename) == "rename: EIO");
    REQUIRE(lake.read(to) == "renamed");
    CHECK(rename() == kOk);
    CHECK(lake.read(to) == "renamed");
    CHECK(read_file(mount / to) == "renamed");
    CHECK(mount.pending().empty());
  }
  CHECK(lake.keys() == std::vector<std::string>{"new", "there", "waiting"});
}

TEST_CASE("rule 1: what a program asked for when Ctrl-C came never comes after what was done since") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "v0");
  lake.put("d/other", "other");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});  // What the kernel knows does not count.
  // What is interrupted has sent its call, which is at work a moment after it ended.
  std::jthread later;
  const auto interrupt = [&](const std::string& call, const std::string& path,
                             const std::function<void()>& first, const std::function<int()>& end) {
    Gate gate = lake.server().hold(call, path);
    first();
    REQUIRE(gate.wait_for_arrivals(1));
    gate.hold_no_more();
    CHECK(end() == 128 + SIGINT);
    later = std::jthread([gate = std::move(gate)] { std::this_thread::sleep_for(100ms); });
  };
  const auto interrupt_close = [&](const std::string& name) {
    Actor program;
    const auto first = [&] {
      REQUIRE(program("open 1 w,creat,trunc " + (mount / name).string()) == "ok");
      REQUIRE(program("write 1 v1") == "ok");
      program.tell("close 1");
    };
    interrupt("link_physical_address", name, first, [&] {
      program.signal(SIGINT);
      return program.wait();
    });
  };
  const auto is_and_stays = [&](const std::string& name, const std::string& bytes) {
    std::this_thread::sleep_for(300ms);
    CHECK(lake.read(name) == bytes);
    CHECK(read_file(mount / name) == (bytes == "<none>" ? "<open: ENOENT>" : bytes));
    CHECK(eventually([&] { return mount.pending().empty(); }));  // What is retried, in a second.
  };
  SUBCASE("a close: another close") {
    interrupt_close("f");
    CHECK(write_file(mount / "f", "v2") == kOk);
    is_and_stays("f", "v2");
  }
  SUBCASE("a close of a new file: another close") {
    interrupt_close("new");
    CHECK(write_file(mount / "new", "v2") == kOk);
    is_and_stays("new", "v2");
  }
  SUBCASE("a close: an unlink") {
    interrupt_close("f");
    CHECK(remove_file(mount / "f") == kOk);
    is_and_stays("f", "<none>");
  }
  SUBCASE("a close of a new file: an unlink") {
    interrupt_close("new");
    CHECK(remove_file(mount / "new") == kOk);
    is_and_stays("new", "<none>");
  }
  SUBCASE("a close: a rename over it") {
    REQUIRE(write_file(mount / "g", "other") == kOk);
    interrupt_close("f");
    CHECK(rename_file(mount / "g", mount / "f") == kOk);
    is_and_stays("f", "other");
    is_and_stays("g", "<none>");
  }
  SUBCASE("a close: a rename of it") {
    interrupt_close("new");
    CHECK(rename_file(mount / "new", mount / "newer") == kOk);
    is_and_stays("new", "<none>");
    is_and_stays("newer", "v1");
  }
  SUBCASE("a close: a rename of its directory") {
    interrupt_close("d/new");
    CHECK(rename_file(mount / "d", mount / "e") == kOk);
    is_and_stays("d/new", "<none>");
    is_and_stays("e/new", "v1");
  }
  const auto interrupt_command = [&](const std::string& call, const Arguments& command) {
    pid_t program = 0;
    const auto first = [&] { program = start(command, {}); };
    interrupt(call, "*", first, [&] {
      ::kill(program, SIGINT);
      return wait_for_end(program, 5s);
    });
  };
  SUBCASE("an unlink: a close") {
    interrupt_command("delete_object", {"rm", mount / "f"});
    CHECK(write_file(mount / "f", "v2") == kOk);
    is_and_stays("f", "v2");
  }
  SUBCASE("an rmdir: a mkdir") {
    REQUIRE(make_directory(mount / "made") == kOk);
    interrupt_command("delete_object", {"rmdir", mount / "made"});
    CHECK(make_directory(mount / "made") == kOk);
    std::this_thread::sleep_for(200ms);
    CHECK(lake.keys() == std::vector<std::string>{"d/other", "f", "made/"});
  }
  SUBCASE("a mkdir: an rmdir") {
    interrupt_command("link_physical_address", {"mkdir", mount / "made"});
    CHECK(remove_directory(mount / "made") == kOk);
    std::this_thread::sleep_for(200ms);
    CHECK(lake.keys() == std::vector<std::string>{"d/other", "f"});
  }
  SUBCASE("a mkdir: a file of that name") {
    interrupt_command("link_physical_address", {"mkdir", mount / "made"});
    CHECK(write_file(mount / "made", "file") == "open: EISDIR");
    CHECK(lake.keys() == std::vector<std::string>{"d/other", "f", "made/"});
  }
  SUBCASE("a symlink: an unlink") {
    interrupt_command("link_physical_address", {"ln", "-s", "f", mount / "made"});
    CHECK(remove_file(mount / "made") == kOk);
    is_and_stays("made", "<none>");
  }
  SUBCASE("a mknod: a file of that name") {
    interrupt_command("link_physical_address", {"mknod", mount / "made", "p"});
    CHECK(write_file(mount / "made", "file", O_EXCL) == "open: EEXIST");
    CHECK(mount.pending().empty());
  }
  SUBCASE("a chmod: another chmod") {
    interrupt_command("update_object_user_metadata", {"chmod", "600", mount / "f"});
    CHECK(::chmod((mount / "f").c_str(), 0640) == 0);
    std::this_thread::sleep_for(200ms);
    CHECK((facts_of(mount / "f").st_mode & 07777) == 0640);
    mount.remount();
    CHECK((facts_of(mount / "f").st_mode & 07777) == 0640);
  }
}

TEST_CASE("rule 1: what a killed mount brought to the lake and was not told so goes with its name") {
  constexpr int kFiles = 20;  // More than are published at once behind.
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  const auto file = [&](int n) { return mount / ("f" + std::to_string(n)); };
  {
    Gate linked = lake.server().hold("link_physical_address", "*", Gate::Where::kAfterWork);
    std::vector<std::jthread> writers;
    for (int n = 0; n < kFiles; ++n)
      writers.emplace_back([path = file(n)] {
        OpenFile writer(path, O_WRONLY | O_CREAT);
        if (writer.write("bytes") == kOk && writer.sync() == kOk) std::ignore = writer.close();
      });
    REQUIRE(linked.wait_for_arrivals(kFiles));
    mount.kill_hard([&] { writers.clear(); });
  }
  REQUIRE(lake.keys().size() == kFiles);
  Gate gate = lake.server().hold("get_physical_address");
  mount.mount();
  for (int n = kFiles; n-- > 0;) CHECK(remove_file(file(n)) == kOk);
  gate.release();
  CHECK(lake.keys().empty());
  CHECK(names_in(mount.at()).empty());
}

TEST_CASE(
    "rule 1: what a killed mount brought to the lake, and was not told so, waits for nobody, but for what "
    "was "
    "written since") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "old");
  Mounted mount(lake);
  Actor other;
  REQUIRE(other("open 1 w " + (mount / "f").string()) == "ok");
  bool is_written_since = false;
  SUBCASE("nothing was") {}
  SUBCASE("something was") {
    is_written_since = true;
  }
  {
    OpenFile writer(mount / "f", O_WRONLY | O_TRUNC);
    CHECK(writer.write("new") == kOk);
    Gate linked = lake.server().hold("link_physical_address", "*", Gate::Where::kAfterWork);
    std::jthread closing([&] { std::ignore = writer.close(); });
    REQUIRE(linked.wait_for_arrivals(1));
    if (is_written_since) CHECK(other("write 1 more") == "ok");
    mount.kill_hard([&] { closing.join(); });
  }
  mount.mount();
  CHECK(lake.read("f") == "new");
  CHECK(read_file(mount / "f") == "new");
  if (is_written_since)
    CHECK(mount.kept_bytes("f") == "more");
  else
    CHECK(eventually([&] { return mount.pending().empty(); }));
}

TEST_CASE("rule 1: another client's version is a conflict for a rename that is tried again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a", "renamed");
  lake.put("b", "old");
  Mounted mount(lake);
  rename_over_pending(lake, mount);
  lake.put("b", "theirs");
  CHECK(rename_file(mount / "a", mount / "b") == "rename: EBUSY");
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 3);
  CHECK(lake.read("b") == "theirs");
  CHECK(mount.kept_bytes("b") == "kept");
}

TEST_CASE("rule 1: of an EXCHANGE that was not told how far it came, both files keep their bytes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const std::uint32_t nth : {1U, 2U}) {
    for (const std::string waiting : {"none", "a", "b"}) {
      const std::string here = std::to_string(nth) + waiting;
      CAPTURE(here);
      std::map<std::string, std::string> bytes{{here + "a", "bytes of a"}, {here + "b", "bytes of b"}};
      for (const auto& [key, text] : bytes) REQUIRE(write_file(mount / key, text) == kOk);
      if (waiting != "none") make_pending(lake, mount, here + waiting, bytes[here + waiting] = "kept");
      const auto swap = [&] { return exchange_files(mount / (here + "a"), mount / (here + "b")); };
      CHECK(with_lost_answer(lake, "link_physical_address", nth, swap) == "rename: EIO");
      for (const auto& [key, text] : bytes) CHECK(read_file(mount / key) == text);
      check_flush(mount);
      for (const auto& [key, text] : bytes) CHECK(lake.read(key) == text);
      CHECK(swap() == kOk);
      CHECK(lake.read(here + "a") == bytes[here + "b"]);
      CHECK(lake.read(here + "b") == bytes[here + "a"]);
    }
  }
}

TEST_CASE(
    "rule 1: what a close linked and was not told so goes along with a rename, alone or with a directory") {
  for (const std::string was : {"", "old"}) {
    CAPTURE(was);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    lake.put("d/x", "x");
    if (!was.empty()) lake.put("d/f", was);
    Mounted mount(lake);
    const auto write = [&] { return write_file(mount / "d/f", "new"); };
    CHECK(with_lost_answer(lake, "link_physical_address", 1, write) == "close: EIO");
    REQUIRE(lake.read("d/f") == "new");
    CHECK(rename_file(mount / "d", mount / "e") == kOk);
    check_flush(mount);
    CHECK(lake.keys() == std::vector<std::string>{"e/f", "e/x"});
    CHECK(lake.read("e/f") == "new");

    if (was.empty()) CHECK(remove_file(mount / "e/f") == kOk);
    const auto again = [&] { return write_file(mount / "e/f", "newer"); };
    CHECK(with_lost_answer(lake, "link_physical_address", 1, again) == "close: EIO");
    CHECK(rename_file(mount / "e/f", mount / "g") == kOk);
    check_flush(mount);
    CHECK(lake.keys() == std::vector<std::string>{"e/x", "g"});
    CHECK(lake.read("g") == "newer");
    CHECK(look(mount / "e/f") == "stat: ENOENT");
  }
}

TEST_CASE(
    "rule 1: what a close linked and was not told so does not stay where its file goes while it waits") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--temporary-age", "10m"}});
  const auto write = [&] { return write_file(mount / "f", "new"); };
  CHECK(with_lost_answer(lake, "link_physical_address", 1, write) == "close: EIO");
  REQUIRE(lake.read("f") == "new");
  CHECK(rename_file(mount / "f", mount / "f~") == kOk);
  CHECK(look(mount / "f") == "stat: ENOENT");
  CHECK(eventually([&] { return lake.keys().empty(); }));
  CHECK(rename_file(mount / "f~", mount / "f") == kOk);
  CHECK(lake.read("f") == "new");

  const auto again = [&] { return write_file(mount / "g", "new"); };
  CHECK(with_lost_answer(lake, "link_physical_address", 1, again) == "close: EIO");
  OpenFile writer(mount / "g", O_WRONLY | O_APPEND);
  CHECK(writer.write("er") == kOk);
  CHECK(rename_file(mount / "g", mount / "h") == kOk);
  CHECK(look(mount / "g") == "stat: ENOENT");
  CHECK(eventually([&] { return lake.read("g") == "<none>"; }));
  CHECK(writer.close() == kOk);
  CHECK(lake.read("h") == "newer");
  CHECK(mount.pending().empty());
}
