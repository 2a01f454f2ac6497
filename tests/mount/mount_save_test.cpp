// W9: how programs save: what other clients see while a file is moved out of the way and written anew, and
// what is litter.

#include <doctest/doctest.h>
#include <unistd.h>

#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

// Long enough that nothing ages while a test looks.
const MountOptions kNothingAges{.flags = {"--temporary-age", "10m"}};

}  // namespace

TEST_CASE("W9: a file that is renamed to a backup name stays on the lake until it is published anew") {
  TestLake lake;
  lake.put("notes.txt", "one");
  Mounted mount(lake, kNothingAges);
  // As emacs saves: move away, write anew.
  REQUIRE(rename_file(mount / "notes.txt", mount / "notes.txt~") == kOk);
  CHECK(look(mount / "notes.txt") == "stat: ENOENT");
  CHECK(names_in(mount.at()) == Names{"notes.txt~"});
  CHECK(read_file(mount / "notes.txt~") == "one");
  CHECK(lake.read("notes.txt") == "one");
  OpenFile anew(mount / "notes.txt", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(anew.write("two") == kOk);
  CHECK(lake.read("notes.txt") == "one");
  CHECK(anew.close() == kOk);
  CHECK(lake.read("notes.txt") == "two");
  CHECK(read_file(mount / "notes.txt") == "two");
  CHECK(names_in(mount.at()) == Names{"notes.txt", "notes.txt~"});
  CHECK(mount.unmount() == 0);
  CHECK(lake.read("notes.txt") == "two");
  CHECK(lake.read("notes.txt~") == "one");
}

TEST_CASE("W9: sed -i~ and a rename onto the vacated name replace the old version, with no gap for others") {
  TestLake lake;
  lake.put("f", "one");
  Mounted mount(lake, kNothingAges);
  REQUIRE(write_file(mount / "sedAb12", "two") == kOk);
  REQUIRE(rename_file(mount / "f", mount / "f~") == kOk);
  CHECK(lake.read("f") == "one");
  CHECK(rename_file(mount / "sedAb12", mount / "f") == kOk);
  CHECK(lake.read("f") == "two");
  CHECK(lake.keys() == Names{"f", "f~"});
  CHECK(read_file(mount / "f~") == "one");
  // And back again, over what was vacated a moment ago.
  CHECK(rename_file(mount / "f", mount / "f.tmp") == kOk);
  CHECK(rename_file(mount / "f.tmp", mount / "f") == kOk);
  CHECK(mount.unmount() == 0);
  CHECK(lake.read("f") == "two");
}

TEST_CASE("W9: a file that only went to a backup name leaves its old one when the age has passed") {
  TestLake lake;
  lake.put("d/f", "bytes");
  Mounted mount(lake, {.flags = {"--temporary-age", "1s"}});
  REQUIRE(rename_file(mount / "d/f", mount / "f.part") == kOk);
  CHECK(eventually([&] { return lake.keys() == Names{"d/", "f.part"}; }));
  CHECK(names_in(mount.at()) == Names{"d", "f.part"});
  CHECK(names_in(mount / "d").empty());
  CHECK(lake.read("f.part") == "bytes");
  CHECK(lake.keys() == Names{"d/", "f.part"});
}

TEST_CASE("W9: what was published and is renamed to a local name is never only here") {
  TestLake lake;
  lake.put("f", "bytes");
  Mounted mount(lake, {.flags = {"--temporary-age", "1s"}});
  REQUIRE(rename_file(mount / "f", mount / ".f.swp") == kOk);
  CHECK(eventually([&] { return lake.keys() == Names{".f.swp"}; }));
  CHECK(read_file(mount / ".f.swp") == "bytes");
  CHECK(remove_file(mount / ".f.swp") == kOk);
  CHECK(lake.keys().empty());
  CHECK(look(mount / ".f.swp") == "stat: ENOENT");
}

TEST_CASE("W9: a vacated name leaves other clients' versions alone, and shows them") {
  TestLake lake;
  lake.put("f", "one");
  Mounted mount(lake, {.flags = {"--temporary-age", "2s", "--metadata-ttl", "0s"}});
  REQUIRE(rename_file(mount / "f", mount / "f~") == kOk);
  lake.put("f", "theirs");
  CHECK(read_file(mount / "f") == "theirs");
  std::this_thread::sleep_for(3s);
  CHECK(lake.read("f") == "theirs");
  CHECK(mount.unmount() == 0);
  CHECK(lake.keys() == Names{"f", "f~"});
}

TEST_CASE("W9: a published file takes the place of one that is being written where a name was vacated") {
  TestLake lake;
  for (const char* key : {"f", "g"}) lake.put(key, key);
  Mounted mount(lake, kNothingAges);
  REQUIRE(rename_file(mount / "f", mount / "f~") == kOk);
  OpenFile anew(mount / "f", O_RDWR | O_CREAT | O_EXCL);
  CHECK(anew.write("never seen") == kOk);
  CHECK(rename_file(mount / "g", mount / "f") == kOk);
  CHECK(anew.read_all() == "never seen");
  CHECK(anew.close() == kOk);
  CHECK(read_file(mount / "f") == "g");
  CHECK(lake.read("f") == "g");
  CHECK(mount.unmount() == 0);
  CHECK(lake.keys() == Names{"f", "f~"});
}

TEST_CASE(
    "W9: what a vacated name still holds does not come back when its directory moves and the new file goes") {
  TestLake lake;
  lake.put("d/f", "old");
  Mounted mount(lake, kNothingAges);
  REQUIRE(rename_file(mount / "d/f", mount / "d/f~") == kOk);
  OpenFile anew(mount / "d/f", O_RDWR | O_CREAT);
  CHECK(anew.write("new") == kOk);
  REQUIRE(rename_file(mount / "d", mount / "e") == kOk);
  CHECK(remove_file(mount / "e/f") == kOk);
  CHECK(names_in(mount / "e") == Names{"f~"});
  CHECK(anew.close() == kOk);
  CHECK(mount.unmount() == 0);
  CHECK(lake.keys() == Names{"e/f~"});
}

TEST_CASE("W9: a directory of vacated names is empty, and goes with a rename as what it shows") {
  TestLake lake;
  lake.put("d/f", "F");
  lake.put("e/g", "G");
  lake.put("e/keep", "K");
  Mounted mount(lake, kNothingAges);
  REQUIRE(rename_file(mount / "d/f", mount / "f~") == kOk);
  CHECK(remove_directory(mount / "d") == kOk);
  REQUIRE(rename_file(mount / "e/g", mount / "g~") == kOk);
  CHECK(rename_file(mount / "e", mount / "h") == kOk);
  CHECK(names_in(mount / "h") == Names{"keep"});
  CHECK(lake.keys() == Names{"f~", "g~", "h/keep"});
}

TEST_CASE("W9: a name that was vacated, published anew and removed is free") {
  TestLake lake;
  lake.put("f", "one");
  Mounted mount(lake, kNothingAges);
  REQUIRE(rename_file(mount / "f", mount / "f~") == kOk);
  REQUIRE(write_file(mount / "f", "two", O_EXCL) == kOk);
  REQUIRE(remove_file(mount / "f") == kOk);
  CHECK(lake.keys() == Names{"f~"});
  CHECK(write_file(mount / "f", "three", O_EXCL) == kOk);
  CHECK(lake.read("f") == "three");
}

TEST_CASE(
    "rename: bytes that are not published yet take the place of an object also where the name then goes") {
  TestLake lake;
  for (const char* key : {"f", "g", "h~"}) lake.put(key, "old");
  Mounted mount(lake, kNothingAges);
  OpenFile open_one(mount / "new", O_WRONLY | O_CREAT);
  CHECK(open_one.write("new") == kOk);
  REQUIRE(rename_file(mount / "new", mount / "f") == kOk);
  CHECK(remove_file(mount / "f") == kOk);
  CHECK(open_one.close() == kOk);

  OpenFile open_two(mount / "new", O_WRONLY | O_CREAT);
  CHECK(open_two.write("new") == kOk);
  REQUIRE(rename_file(mount / "new", mount / "g") == kOk);
  REQUIRE(rename_file(mount / "g", mount / "g2") == kOk);
  CHECK(open_two.close() == kOk);

  REQUIRE(write_file(mount / "new.tmp", "new") == kOk);
  REQUIRE(rename_file(mount / "new.tmp", mount / "h~") == kOk);
  REQUIRE(rename_file(mount / "h~", mount / "h2") == kOk);

  CHECK(lake.keys() == Names{"g2", "h2"});
  CHECK(names_in(mount.at()) == Names{"g2", "h2"});
  CHECK(lake.read("g2") == "new");
  CHECK(read_file(mount / "h2") == "new");
}

TEST_CASE("W9: a claim of a name that was vacated is a claim") {
  TestLake lake;
  lake.put("f.lock", "old");
  Mounted mount(lake, kNothingAges);
  REQUIRE(rename_file(mount / "f.lock", mount / "f.lock~") == kOk);
  CHECK(write_file(mount / "f.lock", "mine", O_EXCL) == kOk);
  CHECK(lake.read("f.lock") == "mine");
  CHECK(remove_file(mount / "f.lock") == kOk);
  CHECK(mount.unmount() == 0);
  CHECK(lake.keys() == Names{"f.lock~"});
}

TEST_CASE(
    "W9: what git, zip and sed draw is held back until it is renamed, and what emacs saves unasked is "
    "litter") {
  TestLake lake;
  Mounted mount(lake, kNothingAges);
  REQUIRE(write_file(mount / "zipcodes", "a word", O_EXCL) == kOk);
  REQUIRE(write_file(mount / "ziPlan01", "no draw", O_TRUNC) == kOk);
  const Names words{"ziPlan01", "zipcodes"};
  CHECK(lake.keys() == words);
  const std::vector<std::pair<std::string, std::string>> saves{{"ziA1b2C3", "all.zip"},
                                                               {"sedYz0aQb", "notes"},
                                                               {"tmp_pack_Ab12", "pack-1.pack"},
                                                               {"tmp_idx_Ab12", "pack-1.idx"}};
  for (const auto& [drawn, name] : saves) {
    CAPTURE(drawn);
    REQUIRE(write_file(mount / drawn, "bytes", O_EXCL) == kOk);
    CHECK(lake.read(drawn) == "<none>");
    CHECK(rename_file(mount / drawn, mount / name) == kOk);
    CHECK(lake.read(name) == "bytes");
  }
  // As emacs with file-precious-flag: made first, then opened anew.
  REQUIRE(write_file(mount / "tmpnlqvXG", "", O_EXCL) == kOk);
  REQUIRE(write_file(mount / "tmpnlqvXG", "precious", O_TRUNC) == kOk);
  CHECK(lake.read("tmpnlqvXG") == "<none>");
  CHECK(rename_file(mount / "tmpnlqvXG", mount / "notes") == kOk);
  CHECK(lake.read("notes") == "precious");
  REQUIRE(write_file(mount / "#notes#", "unsaved") == kOk);
  CHECK(mount.unmount() == 0);
  CHECK(lake.keys() == Names{"all.zip", "notes", "pack-1.idx", "pack-1.pack", "ziPlan01", "zipcodes"});
}
