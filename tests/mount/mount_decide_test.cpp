// W2: what could not be published is never dropped but by a person: resolve, discard, recover, and what
// `pending` says of it.

#include <doctest/doctest.h>

#include <optional>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Pending = std::map<std::string, std::string>;

// "mine" waits at PATH, where the lake has "theirs".
void make_conflict(TestLake& lake, Mounted& mount, const std::string& path) {
  lake.put(path, "old");
  std::this_thread::sleep_for(1100ms);  // So that the mount sees it.
  OpenFile file(mount / path, O_WRONLY | O_TRUNC);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("mine") == kOk);
  lake.put(path, "theirs");
  REQUIRE(file.close() == "close: ESTALE");
  REQUIRE(mount.pending() == Pending{{path, "conflict"}});
}

std::string field(Mounted& mount, const std::string& path, const char* name) {
  for (const auto& file : mount.pending_files())
    if (file.at("path").as_string() == path) return std::string(file.at(name).as_string());
  return "<none>";
}

int exit_of(const Mounted& mount, const Arguments& arguments) {
  const Ran ran = mount.lakefuse(arguments);
  INFO(ran.out, ran.err);
  CHECK(ran.exit_code != -1);
  return ran.exit_code;
}

}  // namespace

TEST_CASE("W2: pending shows a conflict with both versions, and resolve --mine makes ours the branch's") {
  TestLake lake;
  Mounted mount(lake);
  make_conflict(lake, mount, "a.txt");
  const std::string address = lake.address("a.txt");
  CHECK(eventually([&] { return field(mount, "a.txt", "theirs").find(address) != std::string::npos; }));
  CHECK(mount.kept_bytes("a.txt") == "mine");
  CHECK(read_file(mount / "a.txt") == "theirs");
  CHECK(exit_of(mount, {"resolve", "--mine", (mount / "a.txt").string()}) == 0);
  CHECK(lake.read("a.txt") == "mine");
  CHECK(read_file(mount / "a.txt") == "mine");
  CHECK(mount.pending().empty());
  CHECK(exit_of(mount, {"resolve", "--mine", (mount / "a.txt").string()}) == 1);  // Nothing is pending.
}

TEST_CASE("W2: an object beside a directory is resolved by the name that it has in the mount") {
  TestLake lake;
  lake.put("a", "old");
  lake.put("a/below", "x");
  Mounted mount(lake);
  OpenFile file(mount / "a.lakefs-object", O_WRONLY | O_TRUNC);
  CHECK(file.write("mine") == kOk);
  lake.put("a", "theirs");
  CHECK(file.close() == "close: ESTALE");
  CHECK(mount.pending() == Pending{{"a", "conflict"}});
  CHECK(exit_of(mount, {"resolve", "--mine", (mount / "a.lakefs-object").string()}) == 0);
  CHECK(lake.read("a") == "mine");
}

TEST_CASE("W2: bytes that wait for a person go along when a directory above them is renamed") {
  bool is_looked_at = false, is_remounted = false;
  SUBCASE("that was looked at since, in this mount") {
    is_looked_at = true;
  }
  SUBCASE("and the next mount takes them over") {
    is_remounted = true;
  }
  TestLake lake;
  lake.put("old/sub/other.txt", "other");
  Mounted mount(lake);
  make_conflict(lake, mount, "old/sub/a.txt");
  if (is_looked_at) CHECK(read_file(mount / "old/sub/a.txt") == "theirs");
  REQUIRE(rename_file(mount / "old", mount / "new") == kOk);
  if (is_remounted) {
    CHECK(mount.unmount() == 3);
    mount.mount();
  }
  CHECK(mount.pending() == Pending{{"new/sub/a.txt", "conflict"}});
  CHECK(lake.read("new/sub/a.txt") == "theirs");
  CHECK(exit_of(mount, {"resolve", "--mine", (mount / "new/sub/a.txt").string()}) == 0);
  CHECK(lake.read("new/sub/a.txt") == "mine");
  CHECK(lake.keys() == std::vector<std::string>{"new/sub/a.txt", "new/sub/other.txt"});
  CHECK(mount.pending().empty());
}

TEST_CASE("W2: resolve --theirs leaves the branch as it is and drops ours") {
  TestLake lake;
  Mounted mount(lake);
  make_conflict(lake, mount, "sub/a.txt");
  CHECK(exit_of(mount, {"resolve", "--theirs", (mount / "sub/a.txt").string()}) == 0);
  CHECK(lake.read("sub/a.txt") == "theirs");
  CHECK(read_file(mount / "sub/a.txt") == "theirs");
  CHECK(mount.pending().empty());
  CHECK(mount.unmount() == 0);
}

TEST_CASE("W2: resolve --keep-both publishes ours beside theirs, under a name that is free") {
  TestLake lake;
  Mounted mount(lake);
  lake.put("a.mine.txt", "taken");
  make_conflict(lake, mount, "a.txt");
  CHECK(exit_of(mount, {"resolve", "--keep-both", field(mount, "a.txt", "kept_in")}) == 0);
  CHECK(lake.read("a.txt") == "theirs");
  CHECK(lake.read("a.mine.txt") == "taken");
  CHECK(lake.read("a.mine-2.txt") == "mine");
  CHECK(read_file(mount / "a.mine-2.txt") == "mine");
  CHECK(mount.pending().empty());
}

TEST_CASE(
    "W6: pending says what the lake has now, and nothing is decided about a version that nobody was told "
    "of") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  make_conflict(lake, mount, "f");
  REQUIRE(eventually([&] { return has(field(mount, "f", "theirs"), lake.address("f")); }));
  const auto resolve = [&](const std::string& decision) {
    return mount.lakefuse({"resolve", decision, (mount / "f").string()});
  };
  // Told by pending, and so by resolve where it was not.
  for (const std::string theirs : {"theirs, newer", "theirs, newest"}) {
    lake.put("f", theirs);
    const Ran refused = resolve("--mine");
    CHECK(refused.exit_code == 1);
    CHECK(has(refused.err, lake.address("f")));
    CHECK(lake.read("f") == theirs);
  }
  lake.remove("f");
  const Ran refused = resolve("--theirs");
  CHECK(refused.exit_code == 1);
  CHECK(has(refused.err, "nothing is there"));
  CHECK(mount.kept_bytes("f") == "mine");
  lake.put("f", "back");
  CHECK(has(field(mount, "f", "theirs"), lake.address("f")));
  CHECK(resolve("--mine").exit_code == 0);
  CHECK(lake.read("f") == "mine");
  CHECK(mount.pending().empty());
}

TEST_CASE("W2: without the lake pending says what it said, --theirs waits, and discard drops what is here") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  make_conflict(lake, mount, "f");
  const std::string address = lake.address("f");
  REQUIRE(eventually([&] { return has(field(mount, "f", "theirs"), address); }));
  lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .operation = "stat_object", .times = 0});
  CHECK(has(field(mount, "f", "theirs"), address));
  lake.server().clear_faults();
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "stat_object", .times = 0, .status = 403});
  CHECK(exit_of(mount, {"resolve", "--theirs", (mount / "f").string()}) == 1);
  CHECK(mount.kept_bytes("f") == "mine");
  CHECK(exit_of(mount, {"discard", (mount / "f").string()}) == 0);
  CHECK(mount.pending().empty());
}

TEST_CASE("W2: what is no conflict, is open, or was changed in part is resolved by nobody in passing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("part.txt", "0123456789");
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "failed.txt", "x") == "close: EIO");
  CHECK(exit_of(mount, {"resolve", "--theirs", (mount / "failed.txt").string()}) == 1);
  CHECK(mount.pending() == Pending{{"failed.txt", "failed"}});
  OpenFile open(mount / "open.txt", O_WRONLY | O_CREAT);
  CHECK(open.write("x") == kOk);
  CHECK(exit_of(mount, {"discard", (mount / "open.txt").string()}) == 1);
  CHECK(exit_of(mount, {"resolve", (mount / "failed.txt").string()}) == 2);
  lake.server().clear_faults();
  OpenFile part(mount / "part.txt", O_WRONLY);
  CHECK(part.write_at(2, "XX") == kOk);
  CHECK(part.sync() == kOk);
  mount.kill_hard([&] {
    part.close();
    open.close();
  });
  mount.mount();
  for (const auto& file : mount.pending_files())
    if (file.at("path").as_string() == "part.txt") CHECK_FALSE(file.at("is_whole").as_bool());
  CHECK(exit_of(mount, {"resolve", "--mine", (mount / "part.txt").string()}) == 0);
  CHECK(lake.read("part.txt") == "01XX456789");
}

TEST_CASE("W2: resolve of what was changed in part says what can be done where its other bytes are gone") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "0123456789");
  const std::string address = lake.address("f");
  Mounted mount(lake);
  OpenFile part(mount / "f", O_WRONLY);
  CHECK(part.write_at(2, "XX") == kOk);
  CHECK(part.sync() == kOk);
  mount.kill_hard([&] { part.close(); });
  lake.put("f", "theirs");
  lake.server().remove_data(address);
  mount.mount();
  for (const char* decision : {"--mine", "--keep-both"}) {
    const Ran ran = mount.lakefuse({"resolve", decision, (mount / "f").string()});
    CHECK(ran.exit_code == 1);
    for (const char* word : {"changed in part", "--theirs", "discard", ".data"}) CHECK(has(ran.err, word));
  }
  CHECK(exit_of(mount, {"resolve", "--theirs", (mount / "f").string()}) == 0);
  CHECK(mount.pending().empty());
}

TEST_CASE("W2: discard drops what failed, and the path shows the lake's version again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a.txt", "old");
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "unwanted") == "close: EIO");
  REQUIRE(write_file(mount / "new.txt", "unwanted") == "close: EIO");
  const std::string kept = field(mount, "a.txt", "kept_in");
  CHECK(exit_of(mount, {"discard", (mount / "a.txt").string()}) == 0);
  CHECK(exit_of(mount, {"discard", (mount / "new.txt").string()}) == 0);
  CHECK(mount.pending().empty());
  CHECK_FALSE(std::filesystem::exists(kept));
  lake.server().clear_faults();
  CHECK(read_file(mount / "a.txt") == "old");
  CHECK(look(mount / "new.txt") == "stat: ENOENT");
  std::this_thread::sleep_for(1500ms);
  CHECK(lake.read("a.txt") == "old");
  CHECK(lake.read("new.txt") == "<none>");
}

TEST_CASE("W2: recover publishes without a mount what can be, and names what cannot") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  make_conflict(lake, mount, "conflict.txt");
  lake.fail_all_links();
  REQUIRE(write_file(mount / "failed.txt", "kept") == "close: EIO");
  const std::string state = mount.state_dir().string();
  CHECK(mount.lakefuse({"recover", state, "--endpoint", lake.client().endpoint()}).out.find("mounted now") !=
        std::string::npos);
  mount.kill_hard();
  lake.server().clear_faults();
  CHECK(exit_of(mount, {"pending", state}) == 3);
  const Ran ran = mount.lakefuse({"recover", state, "--endpoint", lake.client().endpoint()});
  CHECK(ran.exit_code == 3);
  CHECK(ran.err.find("conflict.txt") != std::string::npos);
  CHECK(lake.read("failed.txt") == "kept");
  CHECK(lake.read("conflict.txt") == "theirs");
  const Ran left = mount.lakefuse({"pending", state});
  CHECK(left.out.find("failed.txt") == std::string::npos);
  CHECK(left.out.find("conflict.txt") != std::string::npos);
}

TEST_CASE("W2: bytes for a branch that is gone or protected are kept, said why, copied out and dropped") {
  for (const bool is_gone : {true, false}) {
    CAPTURE(is_gone);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    lake.put("seed", "seed");
    lake.commit();
    lake.server().create_branch(lake.repository(), "work");
    Mounted mount(lake, {.ref = "work"});
    lake.fail_all_links();
    REQUIRE(write_file(mount / "a.txt", "only here") == "close: EIO");
    const std::string kept = field(mount, "a.txt", "kept_in");
    mount.kill_hard();
    lake.server().clear_faults();
    if (is_gone)
      lake.server().delete_branch(lake.repository(), "work");
    else
      lake.server().protect(lake.repository(), "wor*");
    const Ran ran =
        mount.lakefuse({"recover", mount.state_dir().string(), "--endpoint", lake.client().endpoint()});
    CHECK(ran.exit_code == 6);
    CHECK(ran.err.find(is_gone ? "no branch" : "protected") != std::string::npos);
    CHECK(ran.err.find(kept) != std::string::npos);
    CHECK(read_local(kept) == "only here");
    CHECK(exit_of(mount, {"resolve", "--mine", kept}) == 1);
    CHECK(exit_of(mount, {"discard", kept}) == 0);
    CHECK_FALSE(std::filesystem::exists(kept));
    CHECK(exit_of(mount, {"pending", mount.state_dir().string()}) == 0);
  }
}

TEST_CASE(
    "W2: what recover found no mount to publish, pending says, with the lake's reason and the way out") {
  for (const bool is_gone : {true, false}) {
    CAPTURE(is_gone);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    lake.put("seed", "seed");
    lake.commit();
    lake.server().create_branch(lake.repository(), "work");
    Mounted mount(lake, {.ref = "work", .may_end_hard = true});
    lake.fail_all_links();
    REQUIRE(write_file(mount / "a.txt", "only here") == "close: EIO");
    mount.kill_hard();
    lake.server().clear_faults();
    const Arguments ask{"pending", mount.state_dir()};
    CHECK(mount.lakefuse(ask).out.find("no mount will publish it") == std::string::npos);
    if (is_gone)
      lake.server().delete_branch(lake.repository(), "work");
    else
      lake.server().protect(lake.repository(), "wor*");
    const std::string endpoint = lake.client().endpoint();
    CHECK(exit_of(mount, {"recover", mount.state_dir(), "--endpoint", endpoint}) == 6);
    const Ran told = mount.lakefuse(ask);
    CHECK(told.exit_code == 3);
    CHECK(told.out.find(is_gone ? "no branch" : "is protected") != std::string::npos);
    CHECK(told.out.find("before that: ") != std::string::npos);
    CHECK(told.out.find("no mount will publish it as things are: `cp` copies it out") != std::string::npos);
    if (is_gone) continue;
    lake.server().unprotect(lake.repository());
    mount.mount();
    CHECK(mount.unmount() == 0);
    CHECK(exit_of(mount, ask) == 0);
  }
}

TEST_CASE("W2: where the rights are gone, recover and pending say so and speak of no conflict") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "only here") == "close: EIO");
  mount.kill_hard();
  lake.server().clear_faults();
  lake.server().add_fault({.kind = Fault::Kind::kStatus,
                           .operation = "link_physical_address",
                           .times = 0,
                           .status = 401,
                           .body = R"({"message":"insufficient permissions"})"});
  // The end comes in the middle of another try, which tells nothing.
  lake.server().add_fault(
      {.kind = Fault::Kind::kNeverAnswer, .operation = "store_put", .nth = 2, .times = 0});
  const Ran ran = mount.lakefuse(
      {"recover", mount.state_dir(), "--endpoint", lake.client().endpoint(), "--timeout", "4s"});
  CHECK(ran.exit_code == 3);
  const Ran told = mount.lakefuse({"pending", mount.state_dir()});
  CHECK(told.exit_code == 3);
  for (const std::string& text : {ran.err, told.out}) {
    CAPTURE(text);
    CHECK(text.find("insufficient permissions") != std::string::npos);
    CHECK(text.find("no mount will publish it as things are") != std::string::npos);
    CHECK(text.find("conflict") == std::string::npos);
  }
}

TEST_CASE("W2: pending and status without DIR tell what waits in the default state directory") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("seed", "seed");
  lake.commit();
  lake.server().create_branch(lake.repository(), "work");
  const ScratchDirectory home;
  const std::map<std::string, std::string> environment{{"XDG_STATE_HOME", home.path()}};
  Mounted mount(lake, {.state_dir = home.path() / "lakefuse", .environment = environment});
  CHECK(write_file(mount / ".DS_Store", "litter") == kOk);
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "only here") == "close: EIO");
  mount.kill_hard();
  for (const Arguments& asks :
       {Arguments{"pending"}, {"status"}, {"pending", "--json"}, {"status", "--json"}}) {
    const Ran ran = mount.lakefuse(asks);
    CAPTURE(ran.out);
    CHECK(ran.exit_code == 3);
    CHECK(ran.out.find("a.txt") != std::string::npos);
    CHECK(ran.out.find("everything is on the lake") == std::string::npos);
    CHECK(ran.out.find(".DS_Store") == std::string::npos);
  }
  lake.server().clear_faults();

  Mounted other(lake, {.ref = "work", .state_dir = mount.state_dir(), .environment = environment});
  const Ran asked = other.lakefuse({"pending", other.at()});
  CAPTURE(asked.out);
  CHECK(asked.out.find("everything is on the lake") == std::string::npos);
  CHECK(asked.out.find("1 file of other branches or mounts: `lakefuse pending") != std::string::npos);

  mount.mount();
  CHECK(mount.unmount() == 0);
  CHECK(other.lakefuse({"pending", other.at()}).out == "nothing is pending: everything is on the lake\n");
  for (const Arguments& asks : {Arguments{"pending"}, {"status"}})  // Others' mounts may be told, too.
    CHECK(other.lakefuse(asks).out.find("no mount serves these") == std::string::npos);
}

TEST_CASE("recover takes a state directory only, and knows its lake from it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  const ScratchDirectory other;
  for (const std::filesystem::path& wrong : {other.path() / "missing", other.path()}) {
    const Ran ran = mount.lakefuse({"recover", wrong});
    CHECK(ran.exit_code == 7);
    CHECK(ran.err.find(wrong) != std::string::npos);
    CHECK(exit_of(mount, {"pending", wrong}) == 1);
  }
  CHECK_FALSE(std::filesystem::exists(other.path() / "missing"));
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "kept") == "close: EIO");
  mount.kill_hard();
  lake.server().clear_faults();

  // Not from a directory where others may have said which lake that is.
  using std::filesystem::perms;
  std::filesystem::permissions(mount.state_dir(), perms::all);
  const auto calls = lake.server().count();
  const Ran refused = mount.lakefuse({"recover", mount.state_dir()});
  CHECK(refused.exit_code == 7);
  CHECK(refused.err.find("may be written by others") != std::string::npos);
  CHECK(lake.server().count() == calls);
  std::filesystem::permissions(mount.state_dir(), perms::owner_all);

  CHECK(exit_of(mount, {"recover", mount.state_dir(), "--endpoint", "http://127.0.0.1:9"}) == 4);
  CHECK(lake.read("a.txt") == "<none>");
  CHECK(exit_of(mount, {"recover", mount.state_dir()}) == 0);
  CHECK(lake.read("a.txt") == "kept");
}

TEST_CASE("W2: status, pending and flush take the state directory of a mount for the mount") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--temporary-age", "1h"}});
  const std::string state = mount.state_dir().string();
  CHECK(mount.lakefuse({"status", state}).out.find(mount.at().string()) != std::string::npos);
  CHECK(exit_of(mount, {"status", state}) == 0);
  CHECK(exit_of(mount, {"flush", state}) == 0);
  CHECK(exit_of(mount, {"pending", state}) == 0);
  CHECK(exit_of(mount, {"status", "/"}) == 1);
}

TEST_CASE(
    "a state directory of a format that this lakefuse does not know is refused, and nothing in it lost") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.may_end_hard = true});
  lake.fail_all_links();
  REQUIRE(write_file(mount / "a.txt", "of the future") == "close: EIO");
  const std::filesystem::path kept = field(mount, "a.txt", "kept_in");
  mount.kill_hard();
  const auto owner = kept.parent_path().parent_path() / "owner.json";
  std::string text = read_local(owner);
  const auto at = text.find("\"format\":2");
  REQUIRE(at != std::string::npos);
  write_local(owner, text.replace(at, 10, "\"format\":9"));
  const Ran ran = Mounted::refused(lake, {.state_dir = mount.state_dir()});
  CHECK(ran.exit_code == 7);
  CHECK(ran.err.find("written in format 9") != std::string::npos);
  CHECK(read_local(kept) == "of the future");
  const Ran pending = mount.lakefuse({"pending", mount.state_dir().string()});
  CHECK(pending.exit_code == 3);
  CHECK(pending.out.find("written in format 9") != std::string::npos);
}

TEST_CASE(
    "faults: a record that cannot be read is told by log, status, pending, commit, umount and recover") {
  for (const std::string garbage : {R"({"format":99})", "\xff no JSON"}) {
    CAPTURE(garbage);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    Mounted mount(lake);
    lake.fail_all_links();
    REQUIRE(write_file(mount / "a.txt", "only here") == "close: EIO");
    const std::filesystem::path kept = field(mount, "a.txt", "kept_in");
    mount.kill_hard();
    lake.server().clear_faults();
    write_local(std::filesystem::path(kept).replace_extension(".json"), garbage);
    const std::string half_rename = std::string(32, 'a') + ".rename";
    write_local(kept.parent_path() / half_rename, garbage);
    const auto damaged = kept.parent_path().parent_path() / "damaged";
    const std::string bytes = damaged / kept.filename();

    mount.mount();
    CHECK(mount.log().find(bytes) != std::string::npos);
    CHECK(mount.log().find(damaged / half_rename) != std::string::npos);
    for (const Arguments& asks : {Arguments{"status", mount.at()}, {"pending", mount.at()}, {"pending"}}) {
      const Ran ran = mount.lakefuse(asks);
      CHECK(ran.exit_code == 3);
      CHECK(ran.out.find(bytes) != std::string::npos);
      CHECK(ran.out.find(half_rename) != std::string::npos);
    }
    CHECK(write_file(mount / "b.txt", "fine") == kOk);
    const Ran committed = mount.lakefuse({"commit", mount.at(), "-m", "b"});
    CHECK(committed.exit_code == 3);
    CHECK(committed.err.find(bytes) != std::string::npos);
    CHECK(mount.unmount() == 3);
    const Arguments recover{"recover", mount.state_dir(), "--endpoint", lake.client().endpoint()};
    const Ran recovered = mount.lakefuse(recover);
    CHECK(recovered.exit_code == 3);
    CHECK(recovered.err.find(bytes) != std::string::npos);
    CHECK(read_local(bytes) == "only here");

    mount.mount();
    CHECK(exit_of(mount, {"discard", bytes}) == 0);
    CHECK_FALSE(std::filesystem::exists(bytes));
    CHECK(exit_of(mount, {"status", mount.at()}) == 3);
    CHECK(exit_of(mount, {"discard", damaged / half_rename}) == 0);
    CHECK(exit_of(mount, {"status", mount.at()}) == 0);
    CHECK(mount.unmount() == 0);
    CHECK(mount.lakefuse(recover).exit_code == 0);
  }
}

TEST_CASE("W3: with --fsync=publish an fsync that returned 0 means that the bytes are on the branch") {
  TestLake lake;
  lake.put("a.txt", "old");
  Mounted mount(lake, {.flags = {"--fsync=publish"}});
  OpenFile file(mount / "a.txt", O_WRONLY | O_TRUNC);
  CHECK(file.write("one ") == kOk);
  CHECK(file.sync() == kOk);
  CHECK(lake.read("a.txt") == "one ");
  CHECK(file.write("two") == kOk);
  CHECK(lake.read("a.txt") == "one ");
  CHECK(file.sync() == kOk);
  CHECK(lake.read("a.txt") == "one two");
  lake.put("a.txt", "theirs");
  CHECK(file.write("three") == kOk);
  CHECK(file.sync() == "fsync: ESTALE");
  CHECK(lake.read("a.txt") == "theirs");
  OpenFile held(mount / "b.tmp", O_WRONLY | O_CREAT);
  CHECK(held.write("temporary") == kOk);
  CHECK(held.sync() == kOk);
  CHECK(lake.read("b.tmp") == "<none>");
}

TEST_CASE("W5: a claim whose mount was killed before its first close is removed by the next mount") {
  TestLake lake;
  // A real server's other client is a process, which closes what it has of ours when it begins.
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  OpenFile claimed(mount / "a.lock", O_WRONLY | O_CREAT | O_EXCL);
  OpenFile written(mount / "b.lock", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(written.write("123") == kOk);
  OpenFile taken(mount / "c.lock", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(write_file(mount / "closed.lock", "", O_EXCL) == kOk);
  REQUIRE(lake.keys() == std::vector<std::string>{"a.lock", "b.lock", "c.lock", "closed.lock"});
  mount.kill_hard([&] {
    claimed.close();
    written.close();
    taken.close();
  });
  lake.put("c.lock", "another client's by now");
  mount.mount();
  CHECK(eventually([&] { return lake.keys() == std::vector<std::string>{"c.lock", "closed.lock"}; }));
  CHECK(lake.read("c.lock") == "another client's by now");
  CHECK(mount.pending() == Pending{{"b.lock", "conflict"}});
  CHECK(mount.kept_bytes("b.lock") == "123");
}

TEST_CASE("W5: a claim whose confirming look failed is taken away once the lake can be asked again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "stat_object", .times = 0, .status = 500});
  CHECK(write_file(mount / "a.lock", "", O_EXCL) == "open: EIO");
  REQUIRE(lake.server().read_object(lake.repository(), "main", "a.lock") == "");
  lake.server().clear_faults();
  CHECK(eventually([&] { return lake.keys().empty(); }, 20s));
  CHECK(write_file(mount / "a.lock", "1", O_EXCL) == kOk);
  std::this_thread::sleep_for(2s);  // What is looked at again is the one that was given up.
  CHECK(lake.read("a.lock") == "1");
  mount.kill_hard();
  mount.mount();
  CHECK(lake.read("a.lock") == "1");
}

TEST_CASE("rule 3: a claim that a commit brings back after it was removed is removed again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  REQUIRE(write_file(mount / "a.lock", "1", O_EXCL) == kOk);
  lake.server().add_fault({.kind = Fault::Kind::kLateRemoval, .operation = "delete_object"});
  REQUIRE(remove_file(mount / "a.lock") == kOk);
  REQUIRE(lake.read("a.lock", "main@") == "1");
  CHECK(eventually([&] { return lake.keys().empty(); }, 20s));
  CHECK(write_file(mount / "a.lock", "2", O_EXCL) == kOk);
}

TEST_CASE("rule 3: a claim that a commit brings back after it was renamed is removed again") {
  for (const std::string mode : {"--writeback=off", "--writeback"}) {
    CAPTURE(mode);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    Mounted mount(lake, {.flags = {mode}});
    OpenFile lock(mount / "index.lock", O_WRONLY | O_CREAT | O_EXCL);
    // What is only promised is still on its way when it is renamed, and the lake has the claim alone.
    std::optional<Gate> gate;
    if (mode == "--writeback") gate.emplace(lake.server().hold("store_put"));
    CHECK(lock.write("1") == kOk);
    REQUIRE(lock.close() == kOk);
    lake.server().add_fault(
        {.kind = Fault::Kind::kLateRemoval, .operation = "delete_object", .path = "index.lock"});
    REQUIRE(rename_file(mount / "index.lock", mount / "index") == kOk);
    gate.reset();
    REQUIRE(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
    REQUIRE(lake.read("index.lock", "main@") != "<none>");
    CHECK(eventually([&] { return lake.read("index.lock") == "<none>"; }, 20s));
    CHECK(lake.read("index") == "1");
  }
}
