// A key that is object and prefix: the directory has the name, the object shows beside it as
// NAME.lakefs-object and is as good as any file.

#include <dirent.h>
#include <doctest/doctest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;

namespace {

namespace stdfs = std::filesystem;
using Names = std::vector<std::string>;

const std::string kBeside = "a.lakefs-object";

void put_both(TestLake& lake) {
  lake.put("a", "object");
  lake.put("a/b", "below");
}

}  // namespace

TEST_CASE("beside: a key that is object and prefix shows as directory and as NAME.lakefs-object") {
  TestLake lake;
  put_both(lake);
  Mounted mount(lake);
  CHECK(names_in(mount.at()) == Names{"a", kBeside});
  CHECK(read_file(mount / "a/b") == "below");
  CHECK(read_file(mount / kBeside) == "object");
  CHECK(write_file(mount / kBeside, "changed") == kOk);
  CHECK(lake.read("a") == "changed");
  CHECK(write_file(mount / "a/new", "new") == kOk);
  CHECK(make_directory(mount / "a/d") == kOk);
  CHECK(make_directory(mount / "a") == "mkdir: EEXIST");
  CHECK(make_directory(mount / kBeside) == "mkdir: EEXIST");
  CHECK(names_in(mount.at()) == Names{"a", kBeside});
  CHECK(lake.keys() == Names{"a", "a/b", "a/d/", "a/new"});
  CHECK(remove_file(mount / kBeside) == kOk);
  CHECK(lake.keys() == Names{"a/b", "a/d/", "a/new"});
  CHECK(names_in(mount.at()) == Names{"a"});
}

TEST_CASE("beside: whatever is renamed over the object replaces that object") {
  TestLake lake;
  put_both(lake);
  lake.put("published", "published");
  Mounted mount(lake);
  CHECK(rename_file(mount / "published", mount / kBeside) == kOk);
  CHECK(lake.read("a") == "published");
  CHECK(write_file(mount / "held.tmp", "held back") == kOk);
  CHECK(rename_file(mount / "held.tmp", mount / kBeside) == kOk);
  CHECK(lake.read("a") == "held back");
  OpenFile open(mount / "open", O_WRONLY | O_CREAT);
  CHECK(open.write("renamed ") == kOk);
  CHECK(rename_file(mount / "open", mount / kBeside) == kOk);
  CHECK(open.write("while open") == kOk);
  CHECK(open.close() == kOk);
  CHECK(lake.read("a") == "renamed while open");
  CHECK(read_file(mount / kBeside) == "renamed while open");
  CHECK(lake.keys() == Names{"a", "a/b"});
  CHECK(names_in(mount.at()) == Names{"a", kBeside});
  CHECK(mount.pending().empty());
}

TEST_CASE("beside: another client's version of the object is not renamed over, and nothing is lost") {
  TestLake lake;
  put_both(lake);
  lake.put("mine", "mine");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  CHECK(read_file(mount / kBeside) == "object");
  lake.put("a", "theirs");
  CHECK(rename_file(mount / "mine", mount / kBeside) == "rename: EBUSY");
  CHECK(lake.read("a") == "theirs");
  CHECK(lake.read("mine") == "mine");
}

TEST_CASE("beside: who makes NAME.lakefs-object beside a directory NAME makes the object NAME") {
  TestLake lake;
  lake.put("a/b", "below");
  lake.put("f", "F");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  const auto is_there = [&](const std::string& bytes) {
    CHECK(lake.keys() == Names{"a", "a/b", "f"});
    CHECK(lake.read("a") == bytes);
    CHECK(read_file(mount / kBeside) == bytes);
    CHECK(names_in(mount.at()) == Names{"a", kBeside, "f"});
    CHECK(remove_file(mount / kBeside) == kOk);
    CHECK(lake.keys() == Names{"a/b", "f"});
  };
  SUBCASE("create") {
    CHECK(write_file(mount / kBeside, "made", O_EXCL) == kOk);
    CHECK(write_file(mount / kBeside, "made", O_EXCL) == "open: EEXIST");
    is_there("made");
  }
  SUBCASE("rename") {
    CHECK(rename_file(mount / "f", mount / kBeside) == kOk);
    CHECK(lake.keys() == Names{"a", "a/b"});
    CHECK(rename_file(mount / kBeside, mount / "a/obj") == kOk);
    CHECK(lake.keys() == Names{"a/b", "a/obj"});
    CHECK(rename_file(mount / "a/obj", mount / kBeside) == kOk);
    lake.put("f", "F");
    CHECK(eventually([&] { return look(mount / "f") == kOk; }));
    is_there("F");
  }
  SUBCASE("mknod") {
    REQUIRE(::mknod((mount / kBeside).c_str(), S_IFREG | 0644, 0) == 0);
    is_there("");
  }
  SUBCASE("symlink") {
    REQUIRE(::symlink("f", (mount / kBeside).c_str()) == 0);
    CHECK(stdfs::read_symlink(mount / kBeside) == "f");
    CHECK(lake.keys() == Names{"a", "a/b", "f"});
  }
  SUBCASE("exchange") {
    lake.put("a", "A");
    CHECK(eventually([&] { return look(mount / kBeside) == kOk; }));
    CHECK(exchange_files(mount / "f", mount / kBeside) == kOk);
    CHECK(lake.read("f") == "A");
    is_there("F");
  }
  SUBCASE("O_TMPFILE") {
    OpenFile file(mount.at(), O_RDWR | O_TMPFILE);
    if (file.opened() != kOk) {
      MESSAGE("no O_TMPFILE with this libfuse or kernel");
      return;
    }
    CHECK(file.write("nameless") == kOk);
    const std::string link = "/proc/self/fd/" + std::to_string(file.fd());
    REQUIRE(::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, (mount / kBeside).c_str(), AT_SYMLINK_FOLLOW) == 0);
    is_there("nameless");
  }
  CHECK(read_file(mount / "a/b") == "below");
  CHECK(mount.pending().empty());
}

TEST_CASE("beside: a directory changes places with no object that shows beside one, and nothing is lost") {
  TestLake lake;
  put_both(lake);
  lake.put("d/x", "X");
  Mounted mount(lake);
  const Names before = lake.keys();
  CHECK(exchange_files(mount / "d", mount / kBeside) == "rename: EINVAL");
  CHECK(exchange_files(mount / "a", mount / kBeside) == "rename: EINVAL");
  CHECK(lake.keys() == before);
  CHECK(exchange_files(mount / "a", mount / "d") == kOk);
  CHECK(lake.keys() == Names{"a", "a/x", "d/b"});
  CHECK(read_file(mount / kBeside) == "object");
}

TEST_CASE("beside: a key that is named NAME.lakefs-object keeps the name, which shows once") {
  TestLake lake;
  put_both(lake);
  lake.put(kBeside, "real");
  Mounted mount(lake);
  CHECK(names_in(mount.at()) == Names{"a", kBeside});
  CHECK(read_file(mount / kBeside) == "real");
  CHECK(write_file(mount / kBeside, "changed") == kOk);
  CHECK(lake.read(kBeside) == "changed");
  CHECK(lake.read("a") == "object");
  CHECK(rename_file(mount / kBeside, mount / "elsewhere") == kOk);
  CHECK(read_file(mount / kBeside) == "object");
  CHECK(names_in(mount.at()) == Names{"a", kBeside, "elsewhere"});
  CHECK(lake.keys() == Names{"a", "a/b", "elsewhere"});
}

TEST_CASE("beside: each name shows once where object and prefix lie on two pages of the listing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  put_both(lake);
  Names all{"a", kBeside};
  for (int n = 0; n < 1001; ++n) {
    all.push_back("a-" + std::to_string(n));  // Between "a" and "a/".
    lake.put(all.back(), "");
  }
  std::sort(all.begin(), all.end());
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  const auto calls = lake.count("list_objects");
  CHECK(names_in(mount.at()) == all);
  CHECK(lake.count("list_objects") == calls + 2);  // R4.
  CHECK(read_file(mount / "a/b") == "below");      // The kernel was told of no file.
  CHECK(read_file(mount / kBeside) == "object");
  lake.put(kBeside, "real");
  mount.remount();
  CHECK(names_in(mount.at()) == all);
  CHECK(read_file(mount / kBeside) == "real");
}

TEST_CASE("beside: an object that is published while its directory is read is not left out") {
  TestLake lake;
  lake.put("d/a/b", "below");
  for (int n = 0; n < 40; ++n) lake.put("d/f" + std::to_string(n) + std::string(200, 'n'), "");
  Mounted mount(lake);
  const std::unique_ptr<DIR, int (*)(DIR*)> reading(::opendir((mount / "d").c_str()),
                                                    [](DIR* open) { return ::closedir(open); });
  REQUIRE(reading != nullptr);
  std::array<char, 4096> rows{};
  REQUIRE(::getdents64(::dirfd(reading.get()), rows.data(), rows.size()) > 0);
  CHECK(write_file(mount / "d" / kBeside, "bytes") == kOk);
  Names rest;
  while (const dirent* row = ::readdir(reading.get())) rest.emplace_back(row->d_name);
  CHECK(std::count(rest.begin(), rest.end(), kBeside) == 1);
  CHECK(std::count(rest.begin(), rest.end(), "a") == 0);  // It was among the first.
}

TEST_CASE("beside: the object takes the name when the directory goes, with what was not published") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  REQUIRE(make_directory(mount / "a") == kOk);
  OpenFile open(mount / kBeside, O_WRONLY | O_CREAT);
  CHECK(open.write("written ") == kOk);
  SUBCASE("removed") {
    CHECK(remove_directory(mount / "a") == kOk);
  }
  SUBCASE("renamed") {
    CHECK(rename_file(mount / "a", mount / "moved") == kOk);
  }
  CHECK(look(mount / "a") == kOk);
  CHECK(make_directory(mount / "a") == "mkdir: EEXIST");
  CHECK(write_file(mount / "a", "other", O_EXCL) == "open: EEXIST");
  CHECK(open.write("on") == kOk);
  CHECK(open.close() == kOk);
  CHECK(lake.read("a") == "written on");
  CHECK(lake.read(kBeside) == "<none>");
  CHECK(read_file(mount / "a") == "written on");
  CHECK(eventually([&] { return look(mount / kBeside) == "stat: ENOENT"; }));
  const Names names = names_in(mount.at());
  CHECK(std::count(names.begin(), names.end(), "a") == 1);
  CHECK(mount.pending().empty());
}

TEST_CASE("beside: an object that another client's directory left alone is the same file to its writer") {
  TestLake lake;
  put_both(lake);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  OpenFile open(mount / kBeside, O_WRONLY | O_APPEND);
  REQUIRE(open.opened() == kOk);
  lake.remove("a/b");
  CHECK(look(mount / kBeside) == "stat: ENOENT");
  CHECK(read_file(mount / "a") == "object");
  CHECK(open.write(" and more") == kOk);
  CHECK(open.close() == kOk);
  CHECK(lake.read("a") == "object and more");
  CHECK(lake.keys() == Names{"a"});
}

TEST_CASE(
    "beside: an object that is open when another client makes a prefix of its name is the same file to its "
    "writer") {
  TestLake lake;
  lake.put("a", "object");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  OpenFile open(mount / "a", O_WRONLY | O_APPEND);
  REQUIRE(open.opened() == kOk);
  lake.put("a/b", "below");
  SUBCASE("looked up") {
    CHECK(read_file(mount / "a/b") == "below");
    CHECK(read_file(mount / kBeside) == "object");
  }
  SUBCASE("listed") {
    CHECK(names_in(mount.at()) == Names{"a", kBeside});
  }
  SUBCASE("unseen") {}
  CHECK(open.write(" and more") == kOk);
  SUBCASE("listed while it is written") {
    CHECK(names_in(mount.at()) == Names{"a"});
  }
  CHECK(read_file(mount / kBeside) == "object and more");
  CHECK(read_file(mount / "a/b") == "below");
  CHECK(names_in(mount.at()) == Names{"a", kBeside});
  CHECK(open.close() == kOk);
  CHECK(lake.read("a") == "object and more");
  CHECK(read_file(mount / kBeside) == "object and more");
  CHECK(names_in(mount.at()) == Names{"a", kBeside});
  CHECK(mount.pending().empty());
}

TEST_CASE("beside: a backup of the object leaves it on the lake until its name is written anew") {
  TestLake lake;
  put_both(lake);
  Mounted mount(lake, {.flags = {"--temporary-age", "600s"}});
  CHECK(rename_file(mount / kBeside, mount / "a.old~") == kOk);
  CHECK(look(mount / kBeside) == "stat: ENOENT");
  CHECK(lake.read("a") == "object");
  CHECK(write_file(mount / kBeside, "anew") == kOk);
  CHECK(lake.read("a") == "anew");
  CHECK(read_file(mount / "a/b") == "below");
}

TEST_CASE("beside: --writeback's promises outlive kill -9 as what they are, whichever came first") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  put_both(lake);
  lake.put("f", "F");
  Mounted mount(lake, {.flags = {"--writeback", "--metadata-ttl", "60s"}});
  CHECK(names_in(mount.at()) == Names{"a", kBeside, "f"});
  Gate uploads = lake.server().hold("store_put");
  SUBCASE("changed") {
    CHECK(write_file(mount / kBeside, "new") == kOk);
    CHECK(write_file(mount / "a/c", "C") == kOk);
  }
  SUBCASE("renamed over") {
    CHECK(write_file(mount / "a/c", "C") == kOk);
    CHECK(write_file(mount / "fresh", "new") == kOk);
    CHECK(rename_file(mount / "fresh", mount / kBeside) == kOk);
  }
  SUBCASE("removed and made anew") {
    CHECK(remove_file(mount / kBeside) == kOk);
    CHECK(look(mount / kBeside) == "stat: ENOENT");
    CHECK(write_file(mount / "a/c", "C") == kOk);
    CHECK(write_file(mount / kBeside, "new") == kOk);
  }
  mount.kill_hard();
  CHECK(lake.read("a/c") == "<none>");
  mount.mount();
  CHECK(read_file(mount / kBeside) == "new");
  CHECK(read_file(mount / "a/b") == "below");
  CHECK(read_file(mount / "a/c") == "C");
  CHECK(names_in(mount.at()) == Names{"a", kBeside, "f"});
  uploads.release();
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(lake.keys() == Names{"a", "a/b", "a/c", "f"});
  CHECK(lake.read("a") == "new");
  CHECK(read_file(mount / kBeside) == "new");
  CHECK(names_in(mount / "a") == Names{"b", "c"});
}

TEST_CASE(
    "beside: a directory that only bytes of ours hold up stays when another client puts an object in its "
    "place") {
  TestLake lake;
  lake.put("d/x", "X");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s", "--temporary-age", "600s"}});
  const std::string beside = "d.lakefs-object";
  OpenFile open(mount / "d/f", O_WRONLY | O_CREAT);
  CHECK(open.write("mine") == kOk);
  CHECK(write_file(mount / "d/held.tmp", "held back") == kOk);
  lake.remove("d/x");
  lake.put("d", "theirs");
  std::this_thread::sleep_for(std::chrono::milliseconds(25));  // No page is from before.
  const auto all_is_there = [&](const Names& below) {
    CHECK(names_in(mount.at()) == Names{"d", beside});  // Asked anew.
    CHECK(names_in(mount / "d") == below);
    CHECK(read_file(mount / beside) == "theirs");
    CHECK(read_file(mount / "d/f") == "mine");
    CHECK(make_directory(mount / "d") == "mkdir: EEXIST");
  };
  all_is_there({"f", "held.tmp"});
  CHECK(open.close() == kOk);
  CHECK(lake.keys() == Names{"d", "d/f"});
  all_is_there({"f", "held.tmp"});
  CHECK(rename_file(mount / "d/held.tmp", mount / "d/g") == kOk);
  all_is_there({"f", "g"});
  CHECK(write_file(mount / beside, "changed") == kOk);
  CHECK(lake.keys() == Names{"d", "d/f", "d/g"});
  CHECK(lake.read("d") == "changed");
  CHECK(mount.pending().empty());
}

TEST_CASE(
    "beside: a directory that only bytes of ours held up stays when they go, and rm -r leaves the other "
    "client's object as the file") {
  for (const std::string way : {"rm", "rename of what is open", "rename of what is closed"}) {
    for (const char* flag : {"--writeback=off", "--writeback"}) {
      CAPTURE(way);
      CAPTURE(flag);
      TestLake lake;
      lake.put("d/x", "X");
      Mounted mount(lake, {.flags = {flag, "--metadata-ttl", "50ms", "--temporary-age", "600s"}});
      OpenFile open(mount / "d/f", O_WRONLY | O_CREAT);
      CHECK(open.write("mine") == kOk);
      CHECK(write_file(mount / "d/held.tmp", "held back") == kOk);
      lake.remove("d/x");
      lake.put("d", "theirs");
      CHECK(eventually([&] { return names_in(mount / "d") == Names{"f", "held.tmp"}; }));
      if (way == "rename of what is open") {
        CHECK(remove_file(mount / "d/held.tmp") == kOk);
        CHECK(rename_file(mount / "d/f", mount / "f") == kOk);
      } else if (way == "rename of what is closed") {
        CHECK(remove_file(mount / "d/f") == kOk);
        CHECK(rename_file(mount / "d/held.tmp", mount / "published") == kOk);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
      CHECK(shell(mount.at(), "rm -r d").err == "");
      CHECK(eventually([&] { return read_file(mount / "d") == "theirs"; }));
      CHECK(lake.keys("d") == Names{"d"});
    }
  }
}

TEST_CASE("beside: a directory that the lake lost is there again once something of ours is in it") {
  TestLake lake;
  lake.put("d/x", "X");
  lake.put("y", "Y");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "500ms"}});
  CHECK(make_directory(mount / "d/sub") == kOk);
  OpenFile open(mount / "d/sub/f", O_WRONLY | O_CREAT);
  CHECK(open.write("mine") == kOk);
  lake.remove("d/x");
  lake.remove("d/sub/");
  std::this_thread::sleep_for(std::chrono::milliseconds(550));  // The kernel asks again from now on.
  CHECK(names_in(mount.at()) == Names{"d", "y"});
  CHECK(open.close() == kOk);
  CHECK(look(mount / "d") == kOk);
  CHECK(read_file(mount / "d/sub/f") == "mine");
  CHECK(names_in(mount / "d") == Names{"sub"});
}
