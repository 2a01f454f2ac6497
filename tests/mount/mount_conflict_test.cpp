// W6: a version that came after the file was opened is never silently replaced.

#include <doctest/doctest.h>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

TEST_CASE(
    "W6: another client's version under an open writer makes its close ESTALE, and the bytes are kept") {
  TestLake lake;
  lake.put("a.txt", "old");
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_TRUNC);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("mine") == kOk);
  lake.put("a.txt", "theirs");
  CHECK(file.close() == "close: ESTALE");
  CHECK(lake.read("a.txt") == "theirs");
  CHECK(mount.pending() == std::map<std::string, std::string>{{"a.txt", "conflict"}});
  CHECK(mount.kept_bytes("a.txt") == "mine");
  CHECK(read_file(mount / "a.txt") == "theirs");
  CHECK(mount.lakefuse({"commit", mount.at().string(), "-m", "no", "--all"}).exit_code != 0);
}

TEST_CASE("W6: the conflict is seen however long the other client's version has been known") {
  TestLake lake;
  lake.put("a.txt", "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  OpenFile file(mount / "a.txt", O_WRONLY);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("mine") == kOk);
  lake.put("a.txt", "theirs");
  std::this_thread::sleep_for(300ms);
  std::ignore = names_in(mount.at());
  std::ignore = look(mount / "a.txt");
  CHECK(file.close() == "close: ESTALE");
  CHECK(lake.read("a.txt") == "theirs");
  CHECK(mount.kept_bytes("a.txt") == "mine");
}

TEST_CASE("W6: an object removed by another client under an open writer is a conflict, too") {
  TestLake lake;
  lake.put("a.txt", "old");
  lake.put("b.txt", "keeps the directory");
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY);
  CHECK(file.write("mine") == kOk);
  lake.remove("a.txt");
  CHECK(file.close() == "close: ESTALE");
  CHECK(lake.read("a.txt") == "<none>");
  CHECK(mount.kept_bytes("a.txt") == "mine");
}

TEST_CASE("W6: a rename over a target that another client changed is EBUSY, and nothing is lost") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(write_file(mount / "target", "first") == kOk);
  REQUIRE(write_file(mount / "new.tmp", "mine") == kOk);
  lake.put("target", "theirs");
  CHECK(rename_file(mount / "new.tmp", mount / "target") == "rename: EBUSY");
  CHECK(lake.read("target") == "theirs");
  CHECK(read_file(mount / "new.tmp") == "mine");
}

TEST_CASE("W6: a rename of a published object over a changed target is EBUSY, and both are where they were") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(write_file(mount / "target", "first") == kOk);
  REQUIRE(write_file(mount / "source", "mine") == kOk);
  lake.put("target", "theirs");
  CHECK(rename_file(mount / "source", mount / "target") == "rename: EBUSY");
  CHECK(lake.read("target") == "theirs");
  CHECK(lake.read("source") == "mine");
}

TEST_CASE("W6: --on-conflict=overwrite lets the last writer win") {
  TestLake lake;
  lake.put("a.txt", "old");
  Mounted mount(lake, {.flags = {"--on-conflict=overwrite"}});
  OpenFile file(mount / "a.txt", O_WRONLY | O_TRUNC);
  CHECK(file.write("mine") == kOk);
  lake.put("a.txt", "theirs");
  CHECK(file.close() == kOk);
  CHECK(lake.read("a.txt") == "mine");

  REQUIRE(write_file(mount / "new.tmp", "renamed") == kOk);
  lake.put("a.txt", "theirs again");
  CHECK(rename_file(mount / "new.tmp", mount / "a.txt") == kOk);
  CHECK(lake.read("a.txt") == "renamed");
}

TEST_CASE("W6: an equal record that a commit or another client put back is no other version") {
  TestLake lake;
  lake.put("a.txt", "old");
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_TRUNC);
  CHECK(file.write("mine") == kOk);
  lake.put("a.txt", "old");  // The same bytes and metadata at another address.
  lake.commit();
  CHECK(file.close() == kOk);
  CHECK(lake.read("a.txt") == "mine");
}

TEST_CASE("W6: who only appended appends to the version that came, so that a shared log keeps every line") {
  TestLake lake;
  lake.put("log", "one\n");
  Mounted mount(lake);
  OpenFile file(mount / "log", O_WRONLY | O_APPEND);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("mine\n") == kOk);
  lake.put("log", "one\ntheirs\n");
  CHECK(file.close() == kOk);
  CHECK(lake.read("log") == "one\ntheirs\nmine\n");
}

TEST_CASE("W6: what an unlink took away that failed all the same is no other client's doing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(read_file(mount / "f") == "old");
  lake.server().add_fault({.kind = Fault::Kind::kLoseAnswer, .operation = "delete_object"});
  lake.server().add_fault({.kind = Fault::Kind::kGarbage, .operation = "stat_object", .times = 0});
  CHECK(remove_file(mount / "f") == "unlink: EIO");
  lake.server().clear_faults();
  REQUIRE(lake.read("f") == "<none>");
  CHECK(write_file(mount / "f", "new") == kOk);
  CHECK(lake.read("f") == "new");
  CHECK(mount.pending().empty());
}

TEST_CASE("W6: what a rename put there that failed all the same is no other client's doing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "old");
  Mounted mount(lake);
  lake.fail_all_links();
  CHECK(write_file(mount / "f", "kept") == "close: EIO");
  lake.server().clear_faults();
  REQUIRE(write_file(mount / "f.tmp", "renamed") == kOk);
  lake.server().add_fault({.kind = Fault::Kind::kLoseAnswer, .operation = "link_physical_address"});
  lake.server().add_fault({.kind = Fault::Kind::kGarbage, .operation = "stat_object", .nth = 2, .times = 0});
  CHECK(rename_file(mount / "f.tmp", mount / "f") == "rename: EIO");
  lake.server().clear_faults();
  REQUIRE(lake.read("f") == "renamed");
  CHECK(read_file(mount / "f") == "kept");
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(lake.read("f") == "kept");
  CHECK(mount.pending() == std::map<std::string, std::string>{{"f.tmp", "held"}});
}

TEST_CASE("W6: what a rename made that could not take the old name away is no other client's doing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"f", "g"}) lake.put(key, key);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  for (const char* key : {"f", "g"}) REQUIRE(read_file(mount / key) == key);
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "delete_object", .times = 0, .status = 500});
  CHECK(rename_file(mount / "g", mount / "f") == "rename: EIO");
  lake.server().clear_faults();
  REQUIRE(lake.read("f") == "g");
  CHECK(lake.read("g") == "g");
  std::this_thread::sleep_for(100ms);  // The kernel is told behind.
  CHECK(write_file(mount / "f", "new") == kOk);
  CHECK(lake.read("f") == "new");
  CHECK(mount.pending().empty());
}

TEST_CASE("rule 4: what another client put at the old name while a rename ran stays there") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("from", "ours");
  Mounted mount(lake);
  REQUIRE(read_file(mount / "from") == "ours");
  Gate gate = lake.server().hold("copy_object", "*", Gate::Where::kAfterWork);
  Outcome renamed;
  std::jthread renamer([&] { renamed = rename_file(mount / "from", mount / "to"); });
  REQUIRE(gate.wait_for_arrivals(1));
  lake.put("from", "theirs");
  std::this_thread::sleep_for(100ms);  // Longer than a copy's answer is believed.
  gate.release();
  renamer.join();
  CHECK(lake.read("to") == "ours");
  CHECK(lake.read("from") == "theirs");
  CHECK(renamed == kOk);
}

TEST_CASE("rule 5: each publish asks for an address of its own, and an expired one is replaced") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  REQUIRE(write_file(mount / "a", "same bytes") == kOk);
  const std::string first = lake.address("a");
  REQUIRE(write_file(mount / "a", "same bytes") == kOk);
  CHECK(lake.address("a") != first);
  for (const char* operation : {"store_put", "link_physical_address"}) {
    CAPTURE(operation);
    lake.server().add_fault({.kind = Fault::Kind::kExpired, .operation = operation});
    CHECK(write_file(mount / "a", operation) == kOk);
    CHECK(lake.read("a") == operation);
    lake.server().clear_faults();
  }
}

TEST_CASE(
    "rule 6: a publish uploads a frozen snapshot, and a write that comes meanwhile does not wait for it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  const std::string before(300'000, 'a');
  Actor writer;
  REQUIRE(writer("open 1 w,creat,cloexec " + (mount / "f").string()) == "ok");
  CHECK(writer("write 1 x") == "ok");
  REQUIRE(writer("truncate 1 300000") == "ok");
  Gate gate = lake.server().hold("store_put");
  writer.tell("close 1");
  REQUIRE(gate.wait_for_arrivals(1));

  OpenFile other(mount / "f", O_WRONLY);
  REQUIRE(other.opened() == kOk);
  const auto began = std::chrono::steady_clock::now();
  CHECK(other.write(std::string(300'000, 'b')) == kOk);
  CHECK(std::chrono::steady_clock::now() - began < 2s);
  gate.release();
  CHECK(writer.answer() == "ok");
  CHECK((lake.read("f") == "x" + std::string(299'999, '\0')));
  CHECK(other.close() == kOk);
  CHECK((lake.read("f") == std::string(300'000, 'b')));
}

TEST_CASE("rule 7: an unlink while the file is being published leaves nothing on the lake") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  for (const char* operation : {"store_put", "link_physical_address"}) {
    for (const auto where : {Gate::Where::kBeforeWork, Gate::Where::kAfterWork}) {
      CAPTURE(operation);
      CAPTURE(static_cast<int>(where));
      Gate gate = lake.server().hold(operation, "*", where);
      Actor writer;
      REQUIRE(writer("open 1 w,creat " + (mount / "f").string()) == "ok");
      CHECK(writer("write 1 bytes") == "ok");
      writer.tell("close 1");
      REQUIRE(gate.wait_for_arrivals(1));
      Outcome removed;
      std::jthread remover([&] { removed = remove_file(mount / "f"); });
      std::this_thread::sleep_for(300ms);
      gate.release();
      remover.join();
      CHECK(removed == kOk);
      CHECK(writer.answer() != "<no answer>");
      CHECK(look(mount / "f") == "stat: ENOENT");
      std::this_thread::sleep_for(300ms);
      CHECK(lake.read("f") == "<none>");
    }
  }
  CHECK(mount.pending().empty());
}

TEST_CASE("W6: what this mount removed or moved away is no version that a later one of others replaced") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s", "--temporary-age", "10m"}});
  for (const char* name : {"removed", "moved", "d/moved"}) {
    CAPTURE(name);
    if (std::string(name) == "d/moved") REQUIRE(make_directory(mount / "d") == kOk);
    REQUIRE(write_file(mount / name, "ours") == kOk);
  }
  REQUIRE(remove_file(mount / "removed") == kOk);
  REQUIRE(rename_file(mount / "moved", mount / "elsewhere") == kOk);
  REQUIRE(rename_file(mount / "d", mount / "e") == kOk);
  for (const char* name : {"removed", "moved", "d/moved"}) {
    CAPTURE(name);
    lake.put(name, "theirs");
    REQUIRE(look(mount / name) == kOk);
    REQUIRE(write_file(mount / "new.tmp", "newer") == kOk);
    CHECK(rename_file(mount / "new.tmp", mount / name) == kOk);
    CHECK(lake.read(name) == "newer");
  }
}

TEST_CASE("W6: a rename that failed though the lake has done it makes no conflict of the next write") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "1h"}, .may_end_hard = true});
  REQUIRE(read_file(mount / "f") == "old");
  REQUIRE(write_file(mount / "f.tmp", "saved") == kOk);
  lake.server().add_fault(
      {.kind = Fault::Kind::kLoseAnswer, .operation = "link_physical_address", .times = 0});
  lake.server().add_fault(
      {.kind = Fault::Kind::kStatus, .operation = "stat_object", .nth = 2, .times = 0, .status = 500});
  REQUIRE(rename_file(mount / "f.tmp", mount / "f") == "rename: EIO");
  lake.server().clear_faults();
  REQUIRE(lake.read("f") == "saved");
  CHECK(eventually([&] { return read_file(mount / "f") == "saved"; }));
  CHECK(write_file(mount / "f", "newer") == kOk);
  CHECK(lake.read("f") == "newer");
}
