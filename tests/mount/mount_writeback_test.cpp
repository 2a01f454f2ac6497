// --writeback: close, unlink and rename return once they are promised on this machine; what was promised
// reaches the lake in order, outlives the mount, and replaces nothing unseen (rule 10).

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;
using Pending = std::map<std::string, std::string>;

MountOptions writeback(const std::string& how = "--writeback") {
  return {.flags = {how, "--metadata-ttl", "60s"}};
}

int status(const Mounted& mount) {
  return mount.lakefuse({"status", mount.at().string()}).exit_code;
}

std::string error_of(const std::filesystem::path& path) {
  std::string value(4096, '\0');
  const auto n = ::getxattr(path.c_str(), "user.lakefs.error", value.data(), value.size());
  return n < 0 ? errno_name(errno) : value.substr(0, static_cast<std::size_t>(n));
}

// The paths whose `operation` was answered, in that order.
Names order_of(TestLake& lake, const std::string& operation) {
  Names paths;
  for (const auto& call : lake.server().calls(operation))
    if (call.status < 300) paths.push_back(call.path);
  return paths;
}

std::string joined(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += name + ";";
  return text;
}

// Every change of the lake waits.
struct Standstill {
  explicit Standstill(TestLake& lake)
      : put(lake.server().hold("store_put")),
        link(lake.server().hold("link_physical_address")),
        remove(lake.server().hold("delete_object")),
        remove_many(lake.server().hold("delete_objects")),
        copy(lake.server().hold("copy_object")) {}
  void end() {
    for (Gate* gate : {&put, &link, &remove, &remove_many, &copy}) gate->release();
  }
  Gate put, link, remove, remove_many, copy;
};

}  // namespace

TEST_CASE(
    "--writeback: close, unlink and rename return while the lake stands still, and the mount shows them") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"d/gone", "d/changed", "d/over", "d/stays"}) lake.put(name, "old");
  Mounted mount(lake, writeback());
  CHECK(names_in(mount / "d").size() == 4);
  Standstill standstill(lake);
  CHECK(write_file(mount / "d/new", "new") == kOk);
  CHECK(write_file(mount / "d/changed", "newer") == kOk);
  CHECK(rename_file(mount / "d/changed", mount / "d/moved") == kOk);
  CHECK(write_file(mount / "d/fresh", "fresh") == kOk);
  CHECK(rename_file(mount / "d/fresh", mount / "d/over") == kOk);
  CHECK(remove_file(mount / "d/gone") == kOk);
  CHECK(remove_file(mount / "d/gone") == "unlink: ENOENT");
  const auto is_shown = [&] {
    CHECK(names_in(mount / "d") == Names{"moved", "new", "over", "stays"});
    CHECK(read_file(mount / "d/moved") == "newer");
    CHECK(read_file(mount / "d/over") == "fresh");
    CHECK(read_file(mount / "d/new") == "new");
    CHECK(look(mount / "d/gone") == "stat: ENOENT");
    CHECK(look(mount / "d/changed") == "stat: ENOENT");
  };
  is_shown();
  CHECK(lake.read("d/gone") == "old");
  CHECK(lake.read("d/over") == "old");
  CHECK(status(mount) == 0);  // Nothing has failed.
  const auto pending = mount.pending();
  CHECK(pending.contains("d/new"));
  CHECK(pending.contains("d/gone"));
  standstill.end();
  CHECK(flush(mount) == 0);
  CHECK(mount.pending().empty());
  CHECK(lake.keys() == Names{"d/moved", "d/new", "d/over", "d/stays"});
  CHECK(lake.read("d/moved") == "newer");
  CHECK(lake.read("d/over") == "fresh");
  is_shown();
  CHECK(mount.unmount() == 0);
}

TEST_CASE(
    "--writeback: what was promised outlives kill -9: the next mount shows all of it and publishes it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"d/gone", "d/changed", "d/over"}) lake.put(name, "old");
  Mounted mount(lake, writeback());
  CHECK(names_in(mount / "d").size() == 3);
  Standstill standstill(lake);
  CHECK(write_file(mount / "d/new", "new") == kOk);
  CHECK(write_file(mount / "d/changed", "newer") == kOk);
  CHECK(rename_file(mount / "d/changed", mount / "d/moved") == kOk);
  CHECK(write_file(mount / "d/fresh", "fresh") == kOk);
  CHECK(rename_file(mount / "d/fresh", mount / "d/over") == kOk);
  CHECK(remove_file(mount / "d/gone") == kOk);
  mount.kill_hard();
  CHECK(lake.keys() == Names{"d/changed", "d/gone", "d/over"});
  const auto left = mount.lakefuse({"pending", mount.state_dir().string()});
  CHECK(has(left.out, "d/gone"));
  CHECK(has(left.out, "d/moved"));
  mount.mount();
  CHECK(names_in(mount / "d") == Names{"moved", "new", "over"});
  CHECK(read_file(mount / "d/moved") == "newer");
  CHECK(read_file(mount / "d/over") == "fresh");
  standstill.end();
  CHECK(flush(mount) == 0);
  CHECK(lake.keys() == Names{"d/moved", "d/new", "d/over"});
  CHECK(lake.read("d/new") == "new");
  CHECK(lake.read("d/over") == "fresh");
}

TEST_CASE(
    "--writeback: what two mounts of one branch promised, and ended with, the next one does, all of it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"one1", "one2", "one3", "two1", "two2", "two3"}) lake.put(name, "old");
  Mounted one(lake, writeback());
  MountOptions beside = writeback();
  beside.state_dir = one.state_dir();
  Mounted two(lake, beside);
  Standstill standstill(lake);
  for (const auto& [mount, name] : {std::pair(&one, "one"), std::pair(&two, "two")})
    for (const char* number : {"1", "2", "3"}) {
      CHECK(names_in(mount->at()).size() == 6);
      CHECK(remove_file(*mount / (std::string(name) + number)) == kOk);
      CHECK(write_file(*mount / (std::string("new ") + name + number), name) == kOk);
    }
  one.kill_hard();
  two.kill_hard();
  CHECK(lake.keys().size() == 6);
  one.mount();
  const Names expected{"new one1", "new one2", "new one3", "new two1", "new two2", "new two3"};
  CHECK(names_in(one.at()) == expected);
  standstill.end();
  CHECK(flush(one) == 0);
  CHECK(lake.keys() == expected);
  CHECK(one.pending().empty());
}

TEST_CASE("--writeback: what is written again while it waits never spoils what was promised") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a", "old");
  Mounted mount(lake, writeback());
  CHECK(read_file(mount / "a") == "old");
  Standstill standstill(lake);
  CHECK(write_file(mount / "a", "first") == kOk);
  CHECK(write_file(mount / "a", "+second", O_APPEND) == kOk);
  OpenFile half(mount / "a", O_WRONLY);
  CHECK(half.write_at(0, "FIR") == kOk);
  CHECK(read_file(mount / "a") == "FIRst+second");
  SUBCASE("by the mount itself") {
    standstill.end();
    CHECK(flush(mount) == 0);
    CHECK(lake.read("a") == "first+second");
    CHECK(half.close() == kOk);
    CHECK(flush(mount) == 0);
    CHECK(lake.read("a") == "FIRst+second");
  }
  SUBCASE("by the next one") {
    mount.kill_hard([&] { half.close(); });
    standstill.end();
    mount.mount();
    CHECK(read_file(mount / "a") == "first+second");
    CHECK(flush(mount) == 3);
    CHECK(lake.read("a") == "first+second");
    CHECK(mount.pending() == Pending{{"a", "conflict"}});
    CHECK(mount.kept_bytes("a") == "FIRst+second");
  }
}

TEST_CASE(
    "--writeback: what is written again while the rest of its bytes is fetched is not published half done") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string old = pattern(100'000);
  lake.put("f", old);
  Mounted mount(lake, writeback());
  CHECK(look(mount / "f") == kOk);
  Gate fetch = lake.server().hold("store_get");
  OpenFile first(mount / "f", O_WRONLY);
  CHECK(first.write_at(10, "first") == kOk);
  CHECK(first.close() == kOk);
  CHECK(fetch.wait_for_arrivals(1));
  OpenFile second(mount / "f", O_WRONLY);
  CHECK(second.write_at(20, "half") == kOk);
  fetch.release();
  std::string wanted = old;
  wanted.replace(10, 5, "first");
  CHECK(eventually([&] { return lake.read("f") != old; }));
  CHECK((lake.read("f") == wanted));
  CHECK(second.write_at(24, "whole") == kOk);
  CHECK(second.close() == kOk);
  CHECK(flush(mount) == 0);
  CHECK((lake.read("f") == wanted.replace(20, 9, "halfwhole")));
}

TEST_CASE(
    "rule 10: an empty file comes after all that was closed before it, and a removal before what follows") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/_SUCCESS", "");
  lake.put("d/part-0", "old");
  Mounted mount(lake, writeback());
  CHECK(names_in(mount / "d").size() == 2);
  {
    Standstill standstill(lake);
    CHECK(remove_file(mount / "d/_SUCCESS") == kOk);
    for (int i = 0; i < 5; ++i) CHECK(write_file(mount / ("d/part-" + std::to_string(i)), "new") == kOk);
    CHECK(write_file(mount / "d/_SUCCESS", "") == kOk);
    CHECK(write_file(mount / "d/later", "x") == kOk);
    CHECK(standstill.remove.wait_for_arrivals(1));
    std::this_thread::sleep_for(300ms);
    CHECK(standstill.put.arrivals() == 0);  // The old mark goes first.
    standstill.remove.release();
    CHECK(standstill.put.wait_for_arrivals(5));
    std::this_thread::sleep_for(300ms);
    CHECK(standstill.put.arrivals() == 5);  // Side by side.
    standstill.end();
  }
  CHECK(flush(mount) == 0);
  CHECK(lake.server().wait_for("link_physical_address", 7));
  const Names linked = order_of(lake, "link_physical_address");
  REQUIRE(linked.size() == 7);
  CHECK(linked[5] == "d/_SUCCESS");
  CHECK(linked[6] == "d/later");
}

TEST_CASE("rule 10: a rename stays a barrier when its file is written again, and for the next mount") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  std::optional<Standstill> standstill(lake);
  CHECK(write_file(mount / "before", "x") == kOk);
  CHECK(write_file(mount / "a", "a") == kOk);
  CHECK(standstill->put.wait_for_arrivals(2));
  CHECK(rename_file(mount / "a", mount / "b") == kOk);
  bool is_killed = false;
  SUBCASE("by one mount") {
    CHECK(write_file(mount / "b", " and more", O_APPEND) == kOk);
  }
  SUBCASE("over kill -9") {
    is_killed = true;
  }
  CHECK(write_file(mount / "later", "x") == kOk);
  if (is_killed) {
    mount.kill_hard();
    lake.server().clear_log();
    standstill.emplace(lake);
    mount.mount();
  }
  const std::size_t uploads = is_killed ? 1 : 2;  // The old name's was begun, too.
  CHECK(standstill->put.wait_for_arrivals(uploads));
  std::this_thread::sleep_for(300ms);
  CHECK(standstill->put.arrivals() == uploads);
  standstill->end();
  CHECK(flush(mount) == 0);
  CHECK(joined(order_of(lake, "link_physical_address")) == "before;b;later;");
  CHECK(lake.read("b") == (is_killed ? "a" : "a and more"));
}

TEST_CASE("--writeback: a rename waits for nothing that is under way for the old name") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a", "old");
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()) == Names{"a"});
  Gate get = lake.server().hold("store_get");
  CHECK(write_file(mount / "a", " and new", O_APPEND) == kOk);
  CHECK(get.wait_for_arrivals(1));  // An upload takes the whole file.
  auto renamed = std::async(std::launch::async, [&] { return rename_file(mount / "a", mount / "b"); });
  CHECK(renamed.wait_for(5s) == std::future_status::ready);
  get.release();
  CHECK(renamed.get() == kOk);
  CHECK(flush(mount) == 0);
  CHECK(lake.keys() == Names{"b"});
  CHECK(lake.read("b") == "old and new");
}

TEST_CASE("rule 10: what is written over a promise and never closed keeps no empty file back after a crash") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  std::optional<Standstill> standstill(lake);
  CHECK(write_file(mount / "part", "promised") == kOk);
  OpenFile half(mount / "part", O_WRONLY);
  CHECK(half.write_at(0, "HALF") == kOk);
  SUBCASE("that waits") {}
  SUBCASE("that is published meanwhile") {
    standstill.reset();
    REQUIRE(eventually([&] { return lake.read("part") == "promised"; }));
    standstill.emplace(lake);
  }
  CHECK(half.sync() == kOk);
  CHECK(write_file(mount / "_SUCCESS", "") == kOk);
  mount.kill_hard([&] { half.close(); });
  standstill.reset();
  mount.mount();
  CHECK(flush(mount) == 3);
  CHECK(joined(lake.keys()) == "_SUCCESS;part;");
  CHECK(lake.read("part") == "promised");
  CHECK(mount.pending() == Pending{{"part", "conflict"}});
}

TEST_CASE(
    "rule 10: what was published, and is open and written again, keeps no empty file back after a crash") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  OpenFile half(mount / "part", O_RDWR | O_CREAT);
  CHECK(shell(mount.at(), "printf 'by another process' > part").exit_code == 0);
  CHECK(flush(mount) == 0);
  CHECK(half.write_at(0, "HALF") == kOk);
  Standstill standstill(lake);
  CHECK(write_file(mount / "_SUCCESS", "") == kOk);
  mount.kill_hard([&] { half.close(); });
  standstill.end();
  mount.mount();
  CHECK(flush(mount) == 3);
  CHECK(joined(lake.keys()) == "_SUCCESS;part;");
  CHECK(mount.pending() == Pending{{"part", "conflict"}});
}

TEST_CASE(
    "W3 --writeback: a line that was appended to what is just published is no half of a change after a "
    "crash") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  const ScratchDirectory before;
  constexpr auto kOver =
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing;
  {
    Standstill standstill(lake);
    CHECK(write_file(mount / "log", "first\n") == kOk);
    CHECK(standstill.put.wait_for_arrivals(1));
    std::filesystem::copy(mount.state_dir(), before.path(), kOver);
  }
  CHECK(flush(mount) == 0);
  OpenFile log(mount / "log", O_WRONLY | O_APPEND);
  CHECK(log.write("second\n") == kOk);
  CHECK(log.sync() == kOk);
  mount.kill_hard([&] { log.close(); });
  // As if the kill had come before the first line's record went.
  std::filesystem::copy(before.path(), mount.state_dir(), kOver);
  mount.mount();
  CHECK(flush(mount) == 0);
  CHECK(mount.pending().empty());
  CHECK(lake.read("log") == "first\nsecond\n");
}

TEST_CASE("rule 10: mkdir waits for what was closed before it, and tells when that cannot be published") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  Gate gate = lake.server().hold("link_physical_address", "f");
  CHECK(write_file(mount / "f", "x") == kOk);
  CHECK(gate.wait_for_arrivals(1));
  auto made = std::async(std::launch::async, [&] { return make_directory(mount / "d"); });
  CHECK(made.wait_for(300ms) == std::future_status::timeout);
  const auto looks = lake.server().calls("list_objects");  // Meanwhile it has seen that nothing is there.
  CHECK(
      std::any_of(looks.begin(), looks.end(), [](const Call& call) { return has(call.target, "prefix=d"); }));
  lake.server().clear_log();
  gate.release();
  CHECK(made.get() == kOk);
  CHECK(lake.count("list_objects") == 0);
  CHECK(lake.server().wait_for("link_physical_address", 2));
  CHECK(order_of(lake, "link_physical_address") == Names{"f", "d/"});
  lake.fail_all_links();
  CHECK(write_file(mount / "g", "x") == kOk);
  CHECK(make_directory(mount / "e") == "mkdir: EIO");
  lake.server().clear_faults();
  CHECK(make_directory(mount / "e") == kOk);
  CHECK(lake.keys() == Names{"d/", "e/", "f", "g"});
}

TEST_CASE(
    "rmdir behind promised unlinks makes no marker only to remove it; where it fails the directory stays") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"d/a", "d/b", "stays"}) lake.put(name, "x");
  Mounted mount(lake, writeback());
  CHECK(names_in(mount / "d").size() == 2);
  Standstill standstill(lake);
  for (const char* name : {"d/a", "d/b"}) CHECK(remove_file(mount / name) == kOk);
  auto removed = std::async(std::launch::async, [&] { return remove_directory(mount / "d"); });
  CHECK(removed.wait_for(200ms) == std::future_status::timeout);
  SUBCASE("it is removed") {
    standstill.end();
    CHECK(removed.get() == kOk);
    CHECK(lake.count("link_physical_address") == 0);
    CHECK(lake.keys() == Names{"stays"});
    CHECK(names_in(mount.at()) == Names{"stays"});
  }
  SUBCASE("the lake refuses the look into it") {
    // Of the batch's look, one by one, there is none.
    const auto fault = lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "list_objects", .times = 1, .status = 403});
    standstill.end();
    CHECK(removed.get() == "rmdir: EACCES");
    CHECK(lake.server().fired(fault) == 1);
    CHECK(eventually([&] { return lake.keys() == Names{"d/", "stays"}; }));
    CHECK(names_in(mount.at()) == Names{"d", "stays"});
  }
}

TEST_CASE("rule 4: a storm of unlinks becomes batch deletes, and another client's new version stays") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (int i = 0; i < 100; ++i) lake.put("d/" + std::to_string(100 + i), "x");
  Mounted mount(lake, writeback());
  CHECK(names_in(mount / "d").size() == 100);
  {
    Gate gate = lake.server().hold("delete_object");
    for (int i = 0; i < 100; ++i) CHECK(remove_file(mount / ("d/" + std::to_string(100 + i))) == kOk);
    CHECK(gate.wait_for_arrivals(1));
    CHECK(names_in(mount / "d").empty());
    lake.put("d/150", "another client's");
  }
  CHECK(flush(mount) == 0);
  CHECK(lake.count("delete_object") == 1);
  CHECK(lake.count("delete_objects") == 1);
  CHECK(lake.read("d/150") == "another client's");
  CHECK(lake.keys().size() <= 2);  // And what keeps the directory.
  CHECK(read_file(mount / "d/150") == "another client's");
}

TEST_CASE("--writeback: a directory that is emptied stays, and rm -r of what still waits leaves nothing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/a", "x");
  Mounted mount(lake, writeback());
  CHECK(remove_file(mount / "d/a") == kOk);
  CHECK(look(mount / "d") == kOk);
  CHECK(flush(mount) == 0);
  CHECK(lake.keys() == Names{"d/"});
  CHECK(shell(mount.at(),
              "mkdir -p t/u && for i in 1 2 3 4 5 6 7 8; do echo $i > t/$i; echo $i > t/u/$i; done && "
              "rm -r t d && mkdir d && echo 1 > d/x")
            .exit_code == 0);
  CHECK(flush(mount) == 0);
  CHECK(lake.keys() == Names{"d/", "d/x"});
}

TEST_CASE(
    "W6 --writeback: another version in between becomes a conflict, told by status, xattr and the next "
    "close, once") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a", "old");
  Mounted mount(lake, {.flags = {"--writeback", "--metadata-ttl", "0s"}});
  CHECK(read_file(mount / "a") == "old");
  {
    Gate gate = lake.server().hold("store_put");
    CHECK(write_file(mount / "a", "mine") == kOk);
    CHECK(gate.wait_for_arrivals(1));
    lake.put("a", "theirs");
  }
  CHECK(eventually([&] { return mount.pending() == Pending{{"a", "conflict"}}; }));
  CHECK(status(mount) == 3);
  CHECK(flush(mount) == 3);
  CHECK(lake.read("a") == "theirs");
  CHECK(read_file(mount / "a") == "theirs");
  CHECK(mount.kept_bytes("a") == "mine");
  CHECK(has(error_of(mount / "a"), "another version"));
  CHECK(write_file(mount / "a", "again") == "close: ESTALE");
  CHECK(write_file(mount / "a", "and again") == kOk);
  CHECK(error_of(mount / "a") == "ENODATA");
  CHECK(flush(mount) == 3);
  CHECK(lake.read("a") == "and again");
  const Arguments resolve{"resolve", (mount / "a").string(), "--mine"};
  CHECK(mount.lakefuse(resolve).exit_code == 1);  // What pending said last was theirs.
  CHECK(mount.lakefuse(resolve).exit_code == 0);
  CHECK(lake.read("a") == "mine");
  CHECK(flush(mount) == 0);
}

TEST_CASE("--writeback: an empty file is not published while what was closed before it waits for a person") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("part", "old");
  Mounted mount(lake, writeback());
  CHECK(read_file(mount / "part") == "old");
  std::optional<OpenFile> reader;  // Who reads what is dropped keeps nothing waiting.
  {
    Gate gate = lake.server().hold("store_put");
    CHECK(write_file(mount / "part", "mine") == kOk);
    CHECK(write_file(mount / "_SUCCESS", "") == kOk);
    CHECK(write_file(mount / "later", "x") == kOk);
    CHECK(gate.wait_for_arrivals(1));
    reader.emplace(mount / "part", O_RDONLY);
    lake.put("part", "theirs");
  }
  CHECK(flush(mount) == 3);
  CHECK(joined(lake.keys()) == "later;part;");
  CHECK(mount.lakefuse({"discard", (mount / "part").string()}).exit_code == 0);
  CHECK(flush(mount) == 0);
  CHECK(lake.keys() == Names{"_SUCCESS", "later", "part"});
}

TEST_CASE(
    "--writeback: a failure shows in status and in the next fsync of that path, once, until it is "
    "published") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  lake.fail_all_links();
  CHECK(write_file(mount / "a", "bytes") == kOk);
  CHECK(eventually([&] { return mount.pending() == Pending{{"a", "failed"}}; }));
  CHECK(status(mount) == 3);
  CHECK(has(error_of(mount / "a"), "500"));
  OpenFile file(mount / "a", O_WRONLY);
  CHECK(file.sync() == "fsync: EIO");
  CHECK(file.sync() == kOk);
  CHECK(file.close() == kOk);
  lake.server().clear_faults();
  CHECK(flush(mount) == 0);
  CHECK(lake.read("a") == "bytes");
  CHECK(status(mount) == 0);
  CHECK(error_of(mount / "a") == "ENODATA");
}

TEST_CASE("--writeback: a removal that the lake refuses for good is told, and its name is shown again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"d/a", "d/b", "d/c"}) lake.put(name, "old");
  Mounted mount(lake, {.flags = {"--writeback", "--metadata-ttl", "60s"}});
  REQUIRE(names_in(mount / "d").size() == 3);
  const std::string words = "the badger keeps it";
  for (const auto& [operation, path] : {std::pair{"delete_objects", "*"}, {"delete_object", "d/b"}})
    lake.server().add_fault({.kind = Fault::Kind::kStatus,
                             .operation = operation,
                             .path = path,
                             .times = 0,
                             .status = 403,
                             .body = R"({"message": ")" + words + "\"}"});
  {
    Gate first = lake.server().hold("delete_object", "d/a");
    for (const char* name : {"d/a", "d/b", "d/c"}) CHECK(remove_file(mount / name) == kOk);
    CHECK(first.wait_for_arrivals(1));
  }
  for (const char* name : {"d/a", "d/c"}) CHECK(eventually([&] { return lake.read(name) == "<none>"; }));
  CHECK(eventually([&] { return names_in(mount / "d") == Names{"b"}; }));
  CHECK(read_file(mount / "d/b") == "old");
  const Ran status = mount.lakefuse({"status", mount.at().string()});
  CHECK(status.exit_code == 3);
  for (const std::string& text : {status.out, mount.log()}) {
    CHECK(has(text, "unlink of d/b, which is still there"));
    CHECK(has(text, words));
  }
  // The next fsync or close of that path hears of it, once.
  OpenFile file(mount / "d/b", O_WRONLY | O_APPEND);
  CHECK(file.sync() == "fsync: EACCES");
  CHECK(file.sync() == kOk);
  CHECK(file.write("er") == kOk);
  CHECK(file.close() == kOk);
  mount.lakefuse({"flush", mount.at().string()});
  CHECK(lake.read("d/b") == "older");
  lake.server().clear_faults();
  mount.kill_hard();
  mount.mount();  // Which does not remove it either.
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(names_in(mount / "d") == Names{"b"});
  CHECK(lake.read("d/b") == "older");
}

TEST_CASE("W5 --writeback: O_EXCL is told at close who won") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(write_file(mount / "mine", "x", O_EXCL) == kOk);
  CHECK(lake.read("mine") == "x");
  OpenFile lost(mount / "lost", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(lost.write("mine") == kOk);
  lake.put("lost", "theirs");
  CHECK(lost.close() == "close: EEXIST");
  // A claim is on the lake when open returns, after all that was closed before it.
  CHECK(write_file(mount / "before", "x") == kOk);
  OpenFile claim(mount / "a.lock", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(lake.keys() == Names{"a.lock", "before", "lost", "mine"});
  CHECK(claim.close() == kOk);
  CHECK(remove_file(mount / "a.lock") == kOk);
  CHECK(lake.read("a.lock") == "<none>");
}

TEST_CASE("--writeback=all: O_EXCL returns too, and the loser finds a conflict") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback("--writeback=all"));
  CHECK(names_in(mount.at()).empty());
  {
    Standstill standstill(lake);
    CHECK(write_file(mount / "mine", "x", O_EXCL) == kOk);
    CHECK(write_file(mount / "lost", "mine", O_EXCL) == kOk);
    CHECK(write_file(mount / "lost", "", O_EXCL) == "open: EEXIST");
    CHECK(standstill.put.wait_for_arrivals(2));
    lake.put("lost", "theirs");
  }
  CHECK(flush(mount) == 3);
  CHECK(lake.read("mine") == "x");
  CHECK(lake.read("lost") == "theirs");
  CHECK(mount.pending() == Pending{{"lost", "conflict"}});
  CHECK(mount.kept_bytes("lost") == "mine");
}

TEST_CASE(
    "W2 --writeback: what O_EXCL closed in vain behind others is kept, and the next mount publishes it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  lake.fail_all_links();
  CHECK(write_file(mount / "before", "x") == kOk);
  CHECK(write_file(mount / "mine", "bytes", O_EXCL) == "close: EIO");
  CHECK(read_file(mount / "mine") == "bytes");
  CHECK(eventually([&] { return mount.pending() == Pending{{"before", "failed"}, {"mine", "failed"}}; }));
  SUBCASE("by the mount itself") {
    lake.server().clear_faults();
    CHECK(flush(mount) == 0);
  }
  SUBCASE("by the next one") {
    mount.kill_hard();
    lake.server().clear_faults();
    mount.mount();
    CHECK(read_file(mount / "mine") == "bytes");
    CHECK(eventually([&] { return lake.read("mine") == "bytes"; }));
  }
  CHECK(flush(mount) == 0);
  CHECK(lake.read("mine") == "bytes");
  CHECK(mount.pending().empty());
}

TEST_CASE(
    "W2 --writeback: a close that fails over one that failed before keeps its bytes, and meets no conflict") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--writeback", "--umount-timeout", "1s"}});
  CHECK(names_in(mount.at()).empty());
  const Names all{"append", "moved", "removed", "truncated"};
  // Their first closes fail, and their retries wait at the gate while they are written again.
  lake.fail_all_links();
  std::vector<std::future<void>> closes;
  for (const std::string& name : all)
    closes.push_back(std::async(std::launch::async, [&mount, name] {
      CHECK(write_file(mount / name, "one", O_EXCL) == "close: EIO");
    }));
  for (auto& close : closes) close.get();
  std::optional<Gate> gate(lake.server().hold("link_physical_address"));
  CHECK(gate->wait_for_arrivals(all.size()));
  closes.clear();
  for (const std::string& name : all)
    closes.push_back(std::async(std::launch::async, [&mount, name] {
      const bool is_anew = name == "truncated";
      CHECK(write_file(mount / name, is_anew ? "two" : "-two", is_anew ? O_TRUNC : O_APPEND) == "close: EIO");
    }));
  std::this_thread::sleep_for(100ms);  // They wait for what was promised before.
  SUBCASE("and the next mount publishes it, after kill -9") {
    gate.reset();
    for (auto& close : closes) close.get();
    CHECK(rename_file(mount / "moved", mount / "there") == kOk);
    CHECK(remove_file(mount / "removed") == kOk);
    mount.kill_hard();
    lake.server().clear_faults();
    mount.mount();
  }
  SUBCASE("and the next mount publishes it, after umount") {
    gate.reset();
    for (auto& close : closes) close.get();
    for (const auto& [name, state] : mount.pending())
      CHECK_MESSAGE((state == "failed" || state == "uploading"), name);
    CHECK(rename_file(mount / "moved", mount / "there") == kOk);
    CHECK(remove_file(mount / "removed") == kOk);
    CHECK(mount.unmount() == 3);
    lake.server().clear_faults();
    mount.mount();
  }
  CHECK(names_in(mount.at()) == Names{"append", "there", "truncated"});
  CHECK(flush(mount) == 0);
  CHECK(mount.pending().empty());
  CHECK(lake.keys() == Names{"append", "there", "truncated"});
  CHECK(lake.read("append") == "one-two");
  CHECK(lake.read("there") == "one-two");
  CHECK(lake.read("truncated") == "two");
}

TEST_CASE(
    "W2: a close that fails over what an earlier --writeback promised is one file with it after kill -9") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  lake.fail_all_links();
  CHECK(write_file(mount / "a", "one") == kOk);
  mount.kill_hard();
  mount.mount_with({});
  CHECK(write_file(mount / "a", "-two", O_APPEND) == "close: EIO");
  mount.kill_hard();
  lake.server().clear_faults();
  mount.mount();
  CHECK(eventually([&] { return lake.read("a") == "one-two"; }));
  CHECK(flush(mount) == 0);
  CHECK(mount.pending().empty());
}

TEST_CASE("--writeback: of half a file that a crash left pending says so, not what failed before") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, writeback());
  CHECK(names_in(mount.at()).empty());
  lake.fail_all_links();
  CHECK(write_file(mount / "a", "one") == kOk);
  CHECK(eventually([&] { return mount.pending() == Pending{{"a", "failed"}}; }));
  OpenFile half(mount / "a", O_WRONLY);
  CHECK(half.write_at(0, "HALF") == kOk);
  mount.kill_hard([&] { half.close(); });
  lake.server().clear_faults();
  mount.mount();
  CHECK(flush(mount) == 3);
  CHECK(lake.read("a") == "one");
  const auto files = mount.pending_files();
  REQUIRE(files.size() == 1);
  const std::string reason(files[0].at("reason").as_string());
  CHECK(has(reason, "was being written"));
  CHECK_FALSE(has(reason, "500"));
}

TEST_CASE("--writeback: names that come, go and change while the lake stands still") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"a", "b", "c"}) lake.put(name, std::string("old ") + name);
  Mounted mount(lake, writeback("--writeback=all"));
  CHECK(names_in(mount.at()).size() == 3);
  bool is_killed = false;
  SUBCASE("by one mount") {}
  SUBCASE("over kill -9") {
    is_killed = true;
  }
  {
    Standstill standstill(lake);
    // Removed and made anew, with O_EXCL.
    CHECK(remove_file(mount / "a") == kOk);
    CHECK(write_file(mount / "a", "new a", O_EXCL) == kOk);
    // Made, renamed from name to name, over one that waits itself.
    CHECK(write_file(mount / "x", "x") == kOk);
    CHECK(rename_file(mount / "x", mount / "y") == kOk);
    CHECK(rename_file(mount / "y", mount / "b") == kOk);
    CHECK(write_file(mount / "z", "z") == kOk);
    CHECK(rename_file(mount / "z", mount / "b") == kOk);
    // A name that another one left, and that goes.
    CHECK(write_file(mount / "c", "new c") == kOk);
    CHECK(rename_file(mount / "c", mount / "d") == kOk);
    CHECK(write_file(mount / "c", "second c") == kOk);
    CHECK(rename_file(mount / "d", mount / "e") == kOk);
    CHECK(remove_file(mount / "e") == kOk);
    // Never there for others.
    CHECK(write_file(mount / "t", "t") == kOk);
    CHECK(remove_file(mount / "t") == kOk);
    if (is_killed) {
      mount.kill_hard();
      mount.mount();
    }
    CHECK(names_in(mount.at()) == Names{"a", "b", "c"});
    CHECK(read_file(mount / "a") == "new a");
    CHECK(read_file(mount / "b") == "z");
    CHECK(read_file(mount / "c") == "second c");
  }
  CHECK(flush(mount) == 0);
  CHECK(lake.keys() == Names{"a", "b", "c"});
  CHECK(lake.read("a") == "new a");
  CHECK(lake.read("b") == "z");
  CHECK(lake.read("c") == "second c");
  CHECK(mount.pending().empty());
}

TEST_CASE(
    "--writeback: umount waits for what was promised, says what is left, and the next mount publishes it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("gone", "old");
  Mounted mount(lake, {.flags = {"--writeback", "--umount-timeout", "2s"}});
  CHECK(names_in(mount.at()).size() == 1);
  {
    Gate gate = lake.server().hold("store_put");
    CHECK(write_file(mount / "a", "bytes") == kOk);
    auto ended = std::async(std::launch::async, [&] { return mount.unmount(); });
    CHECK(ended.wait_for(300ms) == std::future_status::timeout);
    gate.release();
    CHECK(ended.get() == 0);
  }
  CHECK(lake.read("a") == "bytes");
  mount.mount();
  CHECK(names_in(mount.at()).size() == 2);
  Standstill standstill(lake);
  CHECK(remove_file(mount / "gone") == kOk);
  CHECK(write_file(mount / "b", "bytes") == kOk);
  const auto said = mount.lakefuse({"umount", "--umount-timeout", "1s", mount.at().string()});
  CHECK(said.exit_code == 3);
  CHECK(has(said.err, "b"));
  CHECK(has(said.err, "gone"));
  standstill.end();
  mount.terminate();
  mount.mount();
  CHECK(names_in(mount.at()) == Names{"a", "b"});
  CHECK(mount.unmount() == 0);
  CHECK(lake.keys() == Names{"a", "b"});
}

TEST_CASE("--writeback: a name whose old object was renamed away as a backup can come, go and come again") {
  TestLake lake;
  lake.put("a", "old");
  lake.put("b", "old");
  Mounted mount(lake, {.flags = {"--writeback", "--temporary-age", "1h"}});
  // Published over what is still there for the others, and removed.
  CHECK(rename_file(mount / "a", mount / "a~") == kOk);
  CHECK(write_file(mount / "a", "second") == kOk);
  CHECK(flush(mount) == 0);
  CHECK(remove_file(mount / "a") == kOk);
  CHECK(write_file(mount / "a", "third") == kOk);
  CHECK(flush(mount) == 0);
  CHECK(lake.read("a") == "third");
  if (!lake.is_real()) {
    // Removed while it is on its way: only the lake knows whether it has replaced the old one.
    CHECK(rename_file(mount / "b", mount / "b~") == kOk);
    Gate gate = lake.server().hold("link_physical_address");
    CHECK(write_file(mount / "b", "second") == kOk);
    CHECK(gate.wait_for_arrivals(1));
    auto removed = std::async(std::launch::async, [&] { return remove_file(mount / "b"); });
    CHECK(removed.wait_for(200ms) == std::future_status::timeout);
    gate.release();
    CHECK(removed.get() == kOk);
    CHECK(names_in(mount.at()) == Names{"a", "a~", "b~"});
    CHECK(write_file(mount / "b", "third") == kOk);
    CHECK(flush(mount) == 0);
    CHECK(lake.read("b") == "third");
    // The same with a new name for it.
    lake.put("c", "old");
    CHECK(eventually([&] { return read_file(mount / "c") == "old"; }));
    CHECK(rename_file(mount / "c", mount / "c~") == kOk);
    Gate other = lake.server().hold("link_physical_address");
    CHECK(write_file(mount / "c", "second") == kOk);
    CHECK(other.wait_for_arrivals(1));
    auto renamed = std::async(std::launch::async, [&] { return rename_file(mount / "c", mount / "d"); });
    CHECK(renamed.wait_for(200ms) == std::future_status::timeout);
    other.release();
    CHECK(renamed.get() == kOk);
    CHECK(write_file(mount / "c", "third") == kOk);
    CHECK(flush(mount) == 0);
    CHECK(lake.read("c") == "third");
    CHECK(lake.read("d") == "second");
  }
}

TEST_CASE("--writeback: git, tar and sqlite leave on the lake what they left on the mount") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--writeback=all"}, .patience = 120s});
  const ScratchDirectory scratch;
  const std::string copy = (scratch.path() / "copy").string();
  CHECK(shell(mount.at(),
              "set -e; mkdir src; for i in $(seq 40); do echo $i > src/$i; done; : > src/empty; "
              "tar cf a.tar src; mkdir out; tar xf a.tar -C out; rm -r src")
            .exit_code == 0);
  if (has_program("git"))
    CHECK(shell(mount.at(),
                "set -e; git init -q r; cd r; git config user.email a@b; git config user.name a; "
                "cp ../out/src/* .; git add .; git commit -qm 1; git mv 1 one; git rm -q 2; "
                "git commit -qm 2; git gc -q; git fsck")
              .exit_code == 0);
  if (has_program("sqlite3"))
    CHECK(shell(mount.at(),
                "sqlite3 db 'create table t(x); insert into t values(1); insert into t values(2);' && "
                "sqlite3 db 'delete from t where x = 1;'")
              .exit_code == 0);
  CHECK(shell(mount.at(), "cp -r . " + copy).exit_code == 0);
  CHECK(flush(mount) == 0);
  CHECK(mount.pending().empty());
  CHECK(mount.unmount() == 0);  // And names that backups left to the lake for a while (W9) are gone.
  Names files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(copy)) {
    if (!entry.is_regular_file()) continue;
    files.push_back(entry.path().lexically_relative(copy).string());
    CHECK(lake.read(files.back()) == read_local(entry.path()));
  }
  std::sort(files.begin(), files.end());
  Names keys = lake.keys();
  std::erase_if(keys, [](const std::string& key) { return key.ends_with('/'); });
  Names different;
  std::set_symmetric_difference(keys.begin(), keys.end(), files.begin(), files.end(),
                                std::back_inserter(different));
  CHECK(joined(different) == "");
  mount.mount();
  if (has_program("sqlite3")) CHECK(shell(mount.at(), "sqlite3 db 'select x from t'").out == "2\n");
}

TEST_CASE(
    "--writeback: who makes more files than the mount has descriptors for waits until some are on the lake") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kFiles = 100;
  for (int i = 0; i < kFiles; i += 2) lake.put(std::to_string(i), "old");
  Mounted mount(lake, writeback());
  const rlimit few{128, 128};
  REQUIRE(::prlimit(mount.process(), RLIMIT_NOFILE, &few, nullptr) == 0);
  Gate gate = lake.server().hold("link_physical_address");
  std::atomic<int> made = 0;
  std::set<Outcome> outcomes;
  std::thread writer([&] {
    for (int i = 0; i < kFiles; ++i) {
      outcomes.insert(write_file(mount / std::to_string(i), "bytes"));
      ++made;
    }
  });
  int before = -1;
  CHECK(eventually([&] {
    const int now = made;
    std::this_thread::sleep_for(200ms);
    return std::exchange(before, now) == now && now > 0;
  }));
  CHECK(made < kFiles);  // It waits.
  gate.release();
  writer.join();
  CHECK(outcomes == std::set{kOk});
  CHECK(flush(mount) == 0);
  for (int i = 0; i < kFiles; ++i) CHECK(lake.read(std::to_string(i)) == "bytes");
}
