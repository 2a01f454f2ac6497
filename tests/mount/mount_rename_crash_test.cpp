// Rule 4: a directory rename that a crash cut short is undone or finished by the next mount: never two names
// with the same bytes, never a lost one, and whatever others did meanwhile stays.

#include <doctest/doctest.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/stat.h>

#include <sstream>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

const Names kOld{"old/", "old/a", "old/b", "old/sub/c"};
const Names kNew{"new/", "new/a", "new/b", "new/sub/c"};

struct Renaming {
  Renaming() : mount(lake) {
    REQUIRE(make_directory(mount / "old") == kOk);
    REQUIRE(make_directory(mount / "old/sub") == kOk);
    for (const char* name : {"old/a", "old/b", "old/sub/c"}) REQUIRE(write_file(mount / name, name) == kOk);
    lake.remove("old/sub/");  // A directory that is a prefix only.
    REQUIRE(lake.keys() == kOld);
  }

  // mv old new, killed while the calls that match are never answered, and `keys` are on the lake.
  void kill_at(const std::string& operation, const std::string& path, std::size_t keys) {
    const auto fault = lake.server().add_fault(
        {.kind = Fault::Kind::kNeverAnswer, .operation = operation, .path = path, .times = 0});
    std::jthread mover([this] { rename_file(mount / "old", mount / "new"); });
    CHECK(eventually([&] { return lake.server().fired(fault) > 0 && lake.keys().size() == keys; }));
    mount.kill_hard([&] { mover.join(); });
    lake.server().clear_faults();
  }

  void check_bytes(const std::string& directory) {
    CHECK(lake.read(directory + "a") == "old/a");
    CHECK(lake.read(directory + "b") == "old/b");
    CHECK(lake.read(directory + "sub/c") == "old/sub/c");
  }

  TestLake lake;
  Mounted mount;
};

}  // namespace

TEST_CASE("rule 4: a directory rename killed before or among its copies never happened") {
  for (const char* held : {"*", "new/a", "new/sub/c"}) {
    CAPTURE(held);
    Renaming renaming;
    NEEDS_DOUBLE(renaming.lake);
    renaming.kill_at("copy_object", held, held[0] == '*' ? 4 : 7);
    renaming.mount.mount();
    CHECK(renaming.lake.keys() == kOld);
    renaming.check_bytes("old/");
    CHECK(names_in(renaming.mount.at()) == Names{"old"});
    CHECK(rename_file(renaming.mount / "old", renaming.mount / "new") == kOk);
    CHECK(renaming.lake.keys() == kNew);
  }
}

TEST_CASE("rule 4: a directory rename killed before or among its removals is finished by the next mount") {
  for (const char* held : {"*", "old/a", "old/sub/c"}) {
    CAPTURE(held);
    Renaming renaming;
    NEEDS_DOUBLE(renaming.lake);
    renaming.kill_at("delete_object", held, held[0] == '*' ? 8 : 5);
    renaming.mount.mount();
    CHECK(renaming.lake.keys() == kNew);
    renaming.check_bytes("new/");
    CHECK(names_in(renaming.mount.at()) == Names{"new"});
    CHECK(renaming.mount.unmount() == 0);
  }
}

TEST_CASE("rule 4: what others changed after a directory rename was cut short stays as they left it") {
  SUBCASE("among its copies") {
    Renaming renaming;
    NEEDS_DOUBLE(renaming.lake);
    renaming.kill_at("copy_object", "new/b", 7);
    renaming.lake.put("new/a", "theirs");  // Over a copy.
    renaming.lake.remove("old/sub/c");     // Whose copy is all there is now.
    renaming.mount.mount();
    CHECK(renaming.lake.read("new/a") == "theirs");
    CHECK(renaming.lake.read("old/a") == "old/a");
    CHECK(renaming.lake.read("new/sub/c") == "old/sub/c");
    CHECK(renaming.lake.read("old/b") == "old/b");
  }
  SUBCASE("among its removals") {
    Renaming renaming;
    NEEDS_DOUBLE(renaming.lake);
    renaming.kill_at("delete_object", "*", 8);
    renaming.lake.put("old/a", "theirs");
    renaming.lake.put("old/b", "old/b");  // Equal, and yet theirs.
    renaming.lake.put("new/sub/c", "theirs");
    renaming.mount.mount();
    CHECK(renaming.lake.read("old/a") == "theirs");
    CHECK(renaming.lake.read("new/a") == "old/a");
    CHECK(renaming.lake.read("old/b") == "old/b");
    CHECK(renaming.lake.read("old/sub/c") == "<none>");
    CHECK(renaming.lake.read("new/sub/c") == "theirs");
  }
}

TEST_CASE("rule 4: bytes that were not published yet go with the directory, whichever way it went") {
  for (const char* call : {"copy_object", "delete_object"}) {
    CAPTURE(call);
    Renaming renaming;
    NEEDS_DOUBLE(renaming.lake);
    renaming.lake.fail_all_links();
    REQUIRE(write_file(renaming.mount / "old/a", "newer") == "close: EIO");
    const bool is_new = std::string(call) == "delete_object";
    renaming.kill_at(call, "*", is_new ? 8 : 4);
    renaming.mount.mount();
    const std::string directory = is_new ? "new/" : "old/";
    CHECK(eventually([&] { return renaming.lake.read(directory + "a") == "newer"; }));
    CHECK(eventually([&] { return renaming.mount.pending().empty(); }));
    CHECK(renaming.lake.keys() == (is_new ? kNew : kOld));
  }
}

TEST_CASE("rule 4: an exchange of directories killed at any of its calls is undone or finished") {
  for (const char* operation : {"copy_object", "delete_object"}) {
    for (std::uint32_t nth = 1; nth <= 3; ++nth) {
      CAPTURE(operation);
      CAPTURE(nth);
      TestLake lake;
      NEEDS_DOUBLE(lake);
      for (const char* key : {"one/x", "two/x", "two/y"}) lake.put(key, key);
      Mounted mount(lake, {.flags = {"--temporary-age", "10m"}});
      REQUIRE(write_file(mount / "one/held.tmp", "held") == kOk);
      const auto fault = lake.server().add_fault(
          {.kind = Fault::Kind::kNeverAnswer, .operation = operation, .path = "*x", .nth = nth});
      std::jthread mover([&] {
        ::renameat2(AT_FDCWD, (mount / "one").c_str(), AT_FDCWD, (mount / "two").c_str(), RENAME_EXCHANGE);
      });
      CHECK(eventually([&] { return lake.server().fired(fault) > 0; }));
      mount.kill_hard([&] { mover.join(); });
      lake.server().clear_faults();
      mount.mount();
      const bool is_done = lake.read("two/x") == "one/x";
      const Names undone{"one/held.tmp", "one/x", "two/x", "two/y"};
      const Names done{"one/x", "one/y", "two/held.tmp", "two/x"};
      CHECK(eventually([&] { return lake.keys() == (is_done ? done : undone); }));
      CHECK(lake.read("one/x") == (is_done ? "two/x" : "one/x"));
      CHECK(lake.read("two/x") == (is_done ? "one/x" : "two/x"));
      CHECK(lake.read(is_done ? "one/y" : "two/y") == "two/y");
      CHECK(lake.read(is_done ? "two/held.tmp" : "one/held.tmp") == "held");
      CHECK(names_in(mount.at()) == Names{"one", "two"});
      CHECK(mount.unmount() == 0);
    }
  }
}

TEST_CASE(
    "rule 4: a directory rename that cannot be settled at the mount says so and is settled by the next") {
  Renaming renaming;
  NEEDS_DOUBLE(renaming.lake);
  renaming.kill_at("delete_object", "*", 8);
  renaming.lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "delete_objects", .times = 0, .status = 403});
  renaming.mount.mount();
  CHECK(renaming.mount.lakefuse({"status", renaming.mount.at().string()}).exit_code == 3);
  CHECK(
      renaming.mount.lakefuse({"status", renaming.mount.at().string()}).out.find("rename of old/ to new/") !=
      std::string::npos);
  renaming.mount.kill_hard();
  renaming.lake.server().clear_faults();
  renaming.mount.mount();
  CHECK(renaming.lake.keys() == kNew);
}

TEST_CASE(
    "rule 4: a directory rename that fails and cannot be undone says so, and is undone by the next mount") {
  Renaming renaming;
  NEEDS_DOUBLE(renaming.lake);
  for (const std::string call : {"copy_object new/sub/c", "delete_object new/*"}) {
    const auto blank = call.find(' ');
    renaming.lake.server().add_fault({.kind = Fault::Kind::kStatus,
                                      .operation = call.substr(0, blank),
                                      .path = call.substr(blank + 1),
                                      .times = 0,
                                      .status = 403});
  }
  CHECK(rename_file(renaming.mount / "old", renaming.mount / "new") == "rename: EACCES");
  CHECK(renaming.lake.keys().size() > kOld.size());
  const Ran status = renaming.mount.lakefuse({"status", renaming.mount.at().string()});
  CHECK(status.exit_code == 3);
  CHECK(has(status.out, "rename of old/ to new/ failed, and copies of it are still there"));
  renaming.lake.server().clear_faults();
  CHECK(eventually([&] { return write_file(renaming.mount / "new/a", "mine") == kOk; }));
  renaming.mount.kill_hard();
  renaming.mount.mount();
  CHECK(renaming.lake.read("new/a") == "mine");
  renaming.lake.remove("new/a");
  CHECK(renaming.lake.keys() == kOld);
  renaming.check_bytes("old/");
}

TEST_CASE("rule 4: a directory rename that is interrupted ends at once, and is undone or finished behind") {
  Renaming renaming;
  NEEDS_DOUBLE(renaming.lake);
  std::string call, path;
  Names then;
  SUBCASE("among its copies") {
    call = "copy_object";
    path = "new/b";
    then = kOld;
  }
  SUBCASE("among its removals") {
    call = "delete_object";
    path = "old/b";
    then = kNew;
  }
  Gate gate = renaming.lake.server().hold(call, path);
  const std::string old_name = (renaming.mount / "old").string(),
                    new_name = (renaming.mount / "new").string();
  const pid_t mv = start({"mv", "-T", old_name, new_name}, {});
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(eventually([&] { return renaming.lake.keys().size() == (then == kOld ? 7 : 5); }));
  ::kill(mv, SIGINT);
  CHECK(wait_for_end(mv, 1s) == 128 + SIGINT);
  std::this_thread::sleep_for(100ms);
  gate.release();  // The call that was cut off is done now, after somebody looked for what it did.
  // Whoever changes something waits until it is settled.
  CHECK(write_file(renaming.mount / then.front() / "after", "after") == kOk);
  then.insert(then.begin() + 2, then.front() + "after");
  CHECK(renaming.lake.keys() == then);
  renaming.check_bytes(then.front());
  CHECK(renaming.mount.unmount() == 0);
}

TEST_CASE("rule 4: the end of the mount waits for a directory rename that is undone behind") {
  Renaming renaming;
  NEEDS_DOUBLE(renaming.lake);
  Gate gate = renaming.lake.server().hold("copy_object", "new/b");
  const std::string old_name = (renaming.mount / "old").string(),
                    new_name = (renaming.mount / "new").string();
  const pid_t mv = start({"mv", "-T", old_name, new_name}, {});
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(eventually([&] { return renaming.lake.keys().size() == 7; }));
  ::kill(mv, SIGINT);
  CHECK(wait_for_end(mv, 1s) == 128 + SIGINT);
  gate.release();
  CHECK(renaming.mount.unmount() == 0);
  CHECK(renaming.lake.keys() == kOld);
}

TEST_CASE("rule 4: a directory rename that fails is undone behind when the lake is back, and others wait") {
  Renaming renaming;
  NEEDS_DOUBLE(renaming.lake);
  for (const std::string call : {"copy_object new/sub/c 403", "delete_object new/* 500"}) {
    std::istringstream words(call);
    Fault fault{.kind = Fault::Kind::kStatus, .times = 0};
    words >> fault.operation >> fault.path >> fault.status;
    renaming.lake.server().add_fault(fault);
  }
  CHECK(rename_file(renaming.mount / "old", renaming.mount / "new") == "rename: EACCES");
  CHECK(renaming.lake.keys().size() > kOld.size());
  CHECK(eventually([&] { return look(renaming.mount / "new/a") == kOk; }));  // The kernel is told behind.
  OpenFile mine(renaming.mount / "new/a", O_WRONLY | O_TRUNC);  // Over a copy that is about to go.
  CHECK(mine.write("mine") == kOk);
  std::jthread writer([&] { CHECK(mine.close() == kOk); });
  std::this_thread::sleep_for(100ms);
  renaming.lake.server().clear_faults();
  writer.join();
  Names then = kOld;
  then.insert(then.begin(), "new/a");
  CHECK(renaming.lake.keys() == then);
  CHECK(renaming.lake.read("new/a") == "mine");
  renaming.check_bytes("old/");
  CHECK(renaming.mount.lakefuse({"status", renaming.mount.at().string()}).exit_code == 0);
}

TEST_CASE("rename: an empty directory that was to be replaced is there when that fails") {
  Renaming renaming;
  NEEDS_DOUBLE(renaming.lake);
  REQUIRE(make_directory(renaming.mount / "new") == kOk);
  ::chmod((renaming.mount / "new").c_str(), 0700);
  renaming.lake.server().add_fault({.kind = Fault::Kind::kStatus,
                                    .operation = "copy_object",
                                    .path = "new/sub/c",
                                    .times = 0,
                                    .status = 403});
  CHECK(rename_file(renaming.mount / "old", renaming.mount / "new") == "rename: EACCES");
  Names both{"new/"};
  both.insert(both.end(), kOld.begin(), kOld.end());
  CHECK(renaming.lake.keys() == both);
  CHECK(names_in(renaming.mount / "new").empty());
  renaming.mount.remount();
  CHECK((facts_of(renaming.mount / "new").st_mode & 07777) == 0700);
}

TEST_CASE(
    "rule 4: a large directory's rename that was cut short keeps the next mount waiting for a few calls "
    "only") {
  for (const std::string held : {"copy_object", "delete_objects"}) {
    CAPTURE(held);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    constexpr std::uint32_t kFiles = 60;
    for (std::uint32_t n = 0; n < kFiles; ++n) lake.put("old/" + std::to_string(n), "bytes");
    const auto before = lake.keys();
    Mounted mount(lake);
    const auto fault = lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer,
                                                .operation = held,
                                                .nth = held == "copy_object" ? kFiles : 1,
                                                .times = 0});
    std::jthread mover([&] { rename_file(mount / "old", mount / "new"); });
    CHECK(eventually([&] { return lake.server().fired(fault) > 0; }));
    CHECK(eventually([&] { return lake.server().count("copy_object") + 1 >= kFiles; }));
    mount.kill_hard([&] { mover.join(); });
    lake.server().clear_faults();
    lake.server().clear_log();
    mount.mount();
    CHECK(lake.server().count() < 15);
    CHECK(names_in(mount.at()) == Names{held == "copy_object" ? "old" : "new"});
    CHECK(names_in(mount / (held == "copy_object" ? "old" : "new")).size() == kFiles);
    CHECK(lake.keys().size() == kFiles);
    CHECK((lake.keys() == before) == (held == "copy_object"));
  }
}
