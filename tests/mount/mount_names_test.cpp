// Names: rename, directories, symlinks, and what POSIX knows of a file, kept on the lake in lakectl's words.

#include <dirent.h>
#include <doctest/doctest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

namespace stdfs = std::filesystem;
using Names = std::vector<std::string>;

Outcome rename_no_replace(const stdfs::path& from, const stdfs::path& to) {
  return rename_file(from, to, RENAME_NOREPLACE);
}

}  // namespace

TEST_CASE("rename: a file goes to a new name and over another one, with its bytes") {
  TestLake lake;
  lake.put("a", "A");
  lake.put("b", "B");
  lake.put("d/c", "C");
  Mounted mount(lake);
  CHECK(rename_file(mount / "a", mount / "new") == kOk);
  CHECK(rename_file(mount / "b", mount / "new") == kOk);
  CHECK(rename_file(mount / "d/c", mount / "moved") == kOk);
  CHECK(lake.keys() == Names{"d/", "moved", "new"});
  CHECK(lake.read("new") == "B");
  CHECK(read_file(mount / "moved") == "C");
  CHECK(names_in(mount / "d").empty());  // A prefix that was emptied stays a directory.
}

TEST_CASE("rename: NOREPLACE refuses what is there, and moves where nothing is") {
  TestLake lake;
  lake.put("a", "A");
  lake.put("b", "B");
  Mounted mount(lake);
  CHECK(rename_no_replace(mount / "a", mount / "b") == "rename: EEXIST");
  CHECK(lake.read("b") == "B");
  CHECK(rename_no_replace(mount / "a", mount / "c") == kOk);
  CHECK(lake.keys() == Names{"b", "c"});
}

TEST_CASE("rename: NOREPLACE moves a directory to a new name only, and refuses all that is there") {
  TestLake lake;
  for (const char* key : {"d/x", "full/y", "file"}) lake.put(key, key);
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "empty") == kOk);
  const Names before = lake.keys();
  for (const char* name : {"file", "empty", "full"}) {
    CAPTURE(name);
    CHECK(rename_no_replace(mount / "d", mount / name) == "rename: EEXIST");
    CHECK(rename_no_replace(mount / "empty", mount / "d") == "rename: EEXIST");
  }
  CHECK(lake.keys() == before);
  CHECK(rename_no_replace(mount / "d", mount / "new") == kOk);
  CHECK(rename_no_replace(mount / "empty", mount / "new/empty") == kOk);
  CHECK(lake.keys() == Names{"file", "full/y", "new/empty/", "new/x"});
  CHECK(read_file(mount / "new/x") == "d/x");
  CHECK(look(mount / "d") == "stat: ENOENT");
}

TEST_CASE(
    "rename: EXCHANGE gives two files one another's names, whatever they are and wherever their bytes") {
  TestLake lake;
  lake.put("a", "bytes of a");
  lake.put("d/b", "and of b");
  Mounted mount(lake);
  REQUIRE(::chmod((mount / "a").c_str(), 0600) == 0);
  OpenFile open_a(mount / "a", O_RDONLY);
  CHECK(exchange_files(mount / "a", mount / "d/b") == kOk);
  CHECK(lake.read("a") == "and of b");
  CHECK(lake.read("d/b") == "bytes of a");
  CHECK(read_file(mount / "a") == "and of b");
  CHECK(read_file(mount / "d/b") == "bytes of a");
  CHECK((facts_of(mount / "d/b").st_mode & 07777) == 0600);
  CHECK(open_a.read_all() == "bytes of a");
  CHECK(open_a.close() == kOk);

  REQUIRE(::symlink("a", (mount / "link").c_str()) == 0);
  OpenFile fresh(mount / "fresh", O_WRONLY | O_CREAT);
  CHECK(fresh.write("one ") == kOk);
  CHECK(exchange_files(mount / "link", mount / "fresh") == kOk);
  CHECK(stdfs::read_symlink(mount / "fresh") == "a");
  CHECK(fresh.write("two") == kOk);
  CHECK(fresh.close() == kOk);
  CHECK(lake.read("link") == "one two");
  CHECK(exchange_files(mount / "a", mount / "none") == "rename: ENOENT");
  CHECK(mount.pending().empty());
  mount.remount();
  CHECK(stdfs::read_symlink(mount / "fresh") == "a");
  CHECK(read_file(mount / "link") == "one two");
  CHECK(read_file(mount / "d/b") == "bytes of a");
}

TEST_CASE("rename: EXCHANGE gives directories one another's names, with all that is below and open there") {
  TestLake lake;
  for (const char* key : {"one/x", "one/sub/y", "far/two/x", "far/two/z", "f"}) lake.put(key, key);
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "empty") == kOk);
  OpenFile fresh(mount / "one/new", O_RDWR | O_CREAT), changed(mount / "far/two/z", O_RDWR);
  OpenFile reader(mount / "one/x", O_RDONLY);
  CHECK(fresh.write("fresh ") == kOk);
  CHECK(changed.write("NEW") == kOk);
  CHECK(exchange_files(mount / "one", mount / "far/two") == kOk);
  CHECK(read_file(mount / "one/x") == "far/two/x");
  CHECK(read_file(mount / "far/two/sub/y") == "one/sub/y");
  CHECK(reader.read_all() == "one/x");
  CHECK(reader.close() == kOk);
  CHECK(fresh.write("bytes") == kOk);
  CHECK(fresh.close() == kOk);
  CHECK(changed.close() == kOk);
  CHECK(lake.keys() ==
        Names{"empty/", "f", "far/", "far/two/new", "far/two/sub/y", "far/two/x", "one/x", "one/z"});
  CHECK(lake.read("one/z") == "NEW/two/z");
  CHECK(lake.read("far/two/new") == "fresh bytes");

  // Of whatever kinds.
  CHECK(exchange_files(mount / "f", mount / "one") == kOk);
  CHECK(lake.read("one") == "f");
  CHECK(read_file(mount / "one") == "f");
  CHECK(read_file(mount / "f/x") == "far/two/x");
  CHECK(exchange_files(mount / "empty", mount / "one") == kOk);
  CHECK(read_file(mount / "empty") == "f");
  CHECK(names_in(mount / "one").empty());
  CHECK(exchange_files(mount / "far", mount / "far/two") == "rename: EINVAL");
  CHECK(exchange_files(mount / "far", mount / "none") == "rename: ENOENT");
  CHECK(mount.pending().empty());
  mount.remount();
  CHECK(names_in(mount.at()) == Names{"empty", "f", "far", "one"});
  CHECK(lake.keys() ==
        Names{"empty", "f/x", "f/z", "far/", "far/two/new", "far/two/sub/y", "far/two/x", "one/"});
}

TEST_CASE(
    "exchange: what was held back under a temporary name is published when a directory's name is its own") {
  TestLake lake;
  lake.put("a/x", "x");
  Mounted mount(lake, {.flags = {"--temporary-age", "1h"}});
  REQUIRE(write_file(mount / "b.tmp", "closed") == kOk);
  CHECK(exchange_files(mount / "a", mount / "b.tmp") == kOk);
  CHECK(lake.keys() == Names{"a", "b.tmp/x"});
  CHECK(lake.read("a") == "closed");
  CHECK(mount.pending().empty());
}

TEST_CASE("rename: who asks for a name while an EXCHANGE is under way finds one of the two, never nothing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"one/x", "two/x"}) lake.put(key, key);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  lake.server().add_fault(
      {.kind = Fault::Kind::kStall, .operation = "copy_object", .times = 0, .delay = 100ms});
  std::jthread changer([&] { CHECK(exchange_files(mount / "one", mount / "two") == kOk); });
  bool is_changed = false;
  while (!is_changed) {
    const std::string seen = read_file(mount / "one/x");
    is_changed = seen == "two/x";
    if (!is_changed) CHECK(seen == "one/x");
    if (!is_changed && seen != "one/x") break;
  }
}

TEST_CASE("rename: who asks while a directory's old names are taken away is not told of them after that") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"beside", "old/x"}) lake.put(key, key);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "500ms"}});
  REQUIRE(look(mount / "old") == kOk);
  REQUIRE(look(mount / "beside") == kOk);
  Gate gate = lake.server().hold("delete_object");
  std::jthread changer([&] { CHECK(rename_file(mount / "old", mount / "new") == kOk); });
  REQUIRE(gate.wait_for_arrivals(1));
  std::this_thread::sleep_for(550ms);
  std::jthread other([&] { look(mount / "old"); });  // Is told that it is there, and waits with the kernel.
  CHECK(look(mount / "beside") == kOk);
  std::this_thread::sleep_for(100ms);
  gate.release();
  other.join();
  changer.join();
  CHECK(look(mount / "old") == "stat: ENOENT");
  CHECK(names_in(mount.at()) == Names{"beside", "new"});
}

TEST_CASE("rename: what was asked for below a directory's old name is not believed below its new one") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("old/sub/f", "f");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "300ms"}});
  REQUIRE(look(mount / "old/sub") == kOk);
  std::this_thread::sleep_for(350ms);
  Gate gate = lake.server().hold("list_objects", "old/sub/", Gate::Where::kAfterWork);
  std::jthread other([&] { look(mount / "old/sub"); });
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(rename_file(mount / "old", mount / "new") == kOk);
  gate.release();
  other.join();
  CHECK(read_file(mount / "new/sub/f") == "f");
  std::this_thread::sleep_for(350ms);
  CHECK(read_file(mount / "new/sub/f") == "f");
}

TEST_CASE("rename: who asks for a file while an EXCHANGE is under way does not take its name away") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"one", "two"}) lake.put(key, key);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "20ms"}});
  REQUIRE(look(mount / "one") == kOk);
  REQUIRE(look(mount / "two") == kOk);
  std::optional<Gate> gate = lake.server().hold("link_physical_address", "one");  // The second of the two.
  std::jthread changer([&] { CHECK(exchange_files(mount / "one", mount / "two") == kOk); });
  REQUIRE(gate->wait_for_arrivals(1));
  std::this_thread::sleep_for(50ms);
  std::vector<std::jthread> others;  // They ask, and then wait for the directory with the kernel.
  for (const char* name : {"one", "two"}) others.emplace_back([&, name] { look(mount / name); });
  std::this_thread::sleep_for(100ms);
  gate.reset();
  others.clear();
  changer.join();
  CHECK(read_file(mount / "one") == "two");
  CHECK(read_file(mount / "two") == "one");
  CHECK(write_file(mount / "one", "!", O_APPEND) == kOk);
  CHECK(write_file(mount / "two", "?", O_APPEND) == kOk);
  CHECK(lake.read("one") == "two!");
  CHECK(lake.read("two") == "one?");
  CHECK(mount.pending().empty());
}

TEST_CASE("rename: an EXCHANGE of directories that fails half way leaves both what they were") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"one/x", "two/x"}) lake.put(key, key);
  Mounted mount(lake);
  for (const std::uint32_t nth : {1U, 2U, 3U}) {
    CAPTURE(nth);
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "copy_object", .nth = nth, .status = 403});
    CHECK(exchange_files(mount / "one", mount / "two") == "rename: EACCES");
    CHECK(lake.keys() == Names{"one/x", "two/x"});
    CHECK(read_file(mount / "one/x") == "one/x");
    CHECK(lake.read("two/x") == "two/x");
  }
  CHECK(exchange_files(mount / "one", mount / "two") == kOk);
  CHECK(lake.read("one/x") == "two/x");
}

TEST_CASE("rename: the files of a directory keep their times, whoever wrote them") {
  TestLake lake;
  lake.put("d/theirs", "x");
  Mounted mount(lake);
  REQUIRE(write_file(mount / "d/ours", "x") == kOk);
  const auto theirs = facts_of(mount / "d/theirs").st_mtim, ours = facts_of(mount / "d/ours").st_mtim;
  std::this_thread::sleep_for(1100ms);  // The server gives whole seconds.
  CHECK(rename_file(mount / "d", mount / "e") == kOk);
  mount.remount();
  CHECK(facts_of(mount / "e/theirs").st_mtim.tv_sec == theirs.tv_sec);
  CHECK(facts_of(mount / "e/ours").st_mtim.tv_nsec == ours.tv_nsec);
}

TEST_CASE("rename: an EXCHANGE that fails half way leaves both files what they were") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a", "bytes of a");
  lake.put("b", "and of b");
  Mounted mount(lake);
  for (const std::uint32_t nth : {1U, 2U}) {
    CAPTURE(nth);
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .nth = nth, .status = 403});
    CHECK(exchange_files(mount / "a", mount / "b") != kOk);
    CHECK(eventually([&] { return mount.pending().empty(); }));
    CHECK(lake.read("a") == "bytes of a");
    CHECK(lake.read("b") == "and of b");
    CHECK(read_file(mount / "a") == "bytes of a");
    CHECK(read_file(mount / "b") == "and of b");
  }
  CHECK(exchange_files(mount / "a", mount / "b") == kOk);
  CHECK(lake.read("a") == "and of b");
}

TEST_CASE("rename: a file and a directory do not replace one another") {
  TestLake lake;
  lake.put("f", "F");
  lake.put("d/x", "X");
  Mounted mount(lake);
  CHECK(rename_file(mount / "f", mount / "d") == "rename: EISDIR");
  CHECK(rename_file(mount / "d", mount / "f") == "rename: ENOTDIR");
  CHECK(rename_file(mount / "d", mount / "d/below") == "rename: EINVAL");
  CHECK(lake.keys() == Names{"d/x", "f"});
}

TEST_CASE(
    "rename: a directory goes with all that is below, onto an empty one, too, and never onto a full one") {
  TestLake lake;
  for (const char* key : {"d/one", "d/sub/two", "full/x"}) lake.put(key, key);
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "empty") == kOk);
  CHECK(rename_file(mount / "d", mount / "full") == "rename: ENOTEMPTY");
  CHECK(rename_file(mount / "d", mount / "e") == kOk);
  CHECK(lake.keys() == Names{"e/one", "e/sub/two", "empty/", "full/x"});
  CHECK(rename_file(mount / "e", mount / "empty") == kOk);
  CHECK(lake.read("empty/sub/two") == "d/sub/two");
  CHECK(read_file(mount / "empty/one") == "d/one");
  CHECK(names_in(mount.at()) == Names{"empty", "full"});
}

TEST_CASE("rename: a directory goes with its files that are open and not published yet") {
  TestLake lake;
  lake.put("d/old", "old");
  Mounted mount(lake);
  OpenFile fresh(mount / "d/new", O_RDWR | O_CREAT);
  OpenFile changed(mount / "d/old", O_RDWR);
  CHECK(fresh.write("fresh ") == kOk);
  CHECK(changed.write("NEW") == kOk);
  CHECK(rename_file(mount / "d", mount / "e") == kOk);
  CHECK(fresh.write("bytes") == kOk);
  CHECK(fresh.close() == kOk);
  CHECK(changed.close() == kOk);
  CHECK(lake.read("e/new") == "fresh bytes");
  CHECK(lake.read("e/old") == "NEW");
  CHECK(lake.keys() == Names{"e/new", "e/old"});
  CHECK(look(mount / "d") == "stat: ENOENT");
}

TEST_CASE(
    "rename: a directory keeps its name where what is written in it would be too long a key by the new one") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--writeback"}});
  std::string deep = "d";
  for (const char letter : {'a', 'b', 'c', 'd'}) deep += "/" + std::string(200, letter);
  std::filesystem::create_directories(mount / deep);
  deep += "/" + std::string(200, 'f');
  OpenFile file(mount / deep, O_WRONLY | O_CREAT);
  CHECK(file.write("bytes") == kOk);
  CHECK(rename_file(mount / "d", mount / std::string(100, 'n')) == "rename: ENAMETOOLONG");
  CHECK(rename_file(mount / "d", mount / "e") == kOk);
  CHECK(file.close() == kOk);
  CHECK(flush(mount) == 0);
  CHECK(lake.read("e" + deep.substr(1)) == "bytes");
}

TEST_CASE("rename: in a directory that took another one's place, files are replaced as anywhere") {
  TestLake lake;
  Mounted mount(lake);
  for (const char* directory : {"site", "next"}) {
    REQUIRE(make_directory(mount / directory) == kOk);
    REQUIRE(write_file(mount.at() / directory / "index", directory) == kOk);
  }
  REQUIRE(rename_file(mount / "site", mount / "old") == kOk);
  REQUIRE(rename_file(mount / "next", mount / "site") == kOk);
  REQUIRE(write_file(mount / "edited", "edited") == kOk);
  CHECK(rename_file(mount / "edited", mount / "site/index") == kOk);
  CHECK(lake.read("site/index") == "edited");
}

TEST_CASE("directories: mkdir and rmdir answer as on a disk, and a marker stays until rmdir") {
  TestLake lake;
  lake.put("prefix/only", "x");
  Mounted mount(lake);
  CHECK(make_directory(mount / "d") == kOk);
  CHECK(make_directory(mount / "d") == "mkdir: EEXIST");
  CHECK(make_directory(mount / "prefix") == "mkdir: EEXIST");
  CHECK(write_file(mount / "d/f", "F") == kOk);
  CHECK(remove_directory(mount / "d") == "rmdir: ENOTEMPTY");
  CHECK(remove_directory(mount / "d/f") == "rmdir: ENOTDIR");
  CHECK(lake.keys("d/") == Names{"d/", "d/f"});
  CHECK(remove_file(mount / "d/f") == kOk);
  CHECK(remove_file(mount / "prefix/only") == kOk);
  CHECK(lake.keys() == Names{"d/", "prefix/"});
  mount.remount();
  CHECK(names_in(mount.at()) == Names{"d", "prefix"});
  CHECK(remove_directory(mount / "d") == kOk);
  CHECK(remove_directory(mount / "prefix") == kOk);
  CHECK(remove_directory(mount / "d") == "rmdir: ENOENT");
  CHECK(lake.keys().empty());
}

TEST_CASE(
    "directories: a removed one that is open is empty, takes nothing but a mode, and `..` has its number") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "d") == kOk);
  REQUIRE(make_directory(mount / "d/gone") == kOk);
  const std::unique_ptr<DIR, int (*)(DIR*)> listed(::opendir((mount / "d/gone").c_str()), ::closedir);
  REQUIRE(listed != nullptr);
  const int fd = ::dirfd(listed.get());
  while (const dirent* const entry = ::readdir(listed.get()))
    CHECK(entry->d_ino == facts_of(mount / (entry->d_name == std::string("..") ? "d" : "d/gone")).st_ino);
  CHECK(remove_directory(mount / "d/gone") == kOk);
  CHECK(::fchmod(fd, 0700) == 0);
  CHECK(::openat(fd, "f", O_WRONLY | O_CREAT, 0644) == -1);
  CHECK(errno == ENOENT);
  CHECK(::mkdirat(fd, "d", 0755) == -1);
  CHECK(errno == ENOENT);
  ::rewinddir(listed.get());
  CHECK(::readdir(listed.get()) == nullptr);
  CHECK(lake.keys() == std::vector<std::string>{"d/"});
}

TEST_CASE("directories: one that is only a prefix stays when the directory in it goes, by rename or rmdir") {
  TestLake lake;
  for (const char* key : {"a/sub/x", "b/sub/"}) lake.put(key, "");
  Mounted mount(lake);
  REQUIRE(rename_file(mount / "a/sub", mount / "moved") == kOk);
  REQUIRE(remove_directory(mount / "b/sub") == kOk);
  CHECK(lake.keys() == Names{"a/", "b/", "moved/x"});
  CHECK(names_in(mount / "a").empty());
}

TEST_CASE("rule 11: mkdir where another client put objects below the name meanwhile is EEXIST") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  CHECK(look(mount / "d") == "stat: ENOENT");
  lake.put("d/theirs", "x");
  CHECK(make_directory(mount / "d") == "mkdir: EEXIST");
  CHECK(lake.keys() == Names{"d/theirs"});
  CHECK(read_file(mount / "d/theirs") == "x");
}

TEST_CASE("symlinks: lakectl's key holds the target, and it is read back after a remount") {
  TestLake lake;
  lake.put("f", "F");
  Mounted mount(lake);
  REQUIRE(::symlink("f", (mount / "link").c_str()) == 0);
  CHECK(::symlink("f", (mount / "link").c_str()) == -1);
  const auto object = lake.stat("link");
  REQUIRE(object);
  CHECK(object->size_bytes == 0);
  CHECK(object->metadata.at("::lakefs::symlink-target") == "f");
  mount.remount();
  CHECK(stdfs::read_symlink(mount / "link") == "f");
  CHECK(read_file(mount / "link") == "F");
  CHECK(rename_file(mount / "link", mount / "moved") == kOk);
  CHECK(stdfs::read_symlink(mount / "moved") == "f");
}

TEST_CASE("attributes: mode, owner and mtime to the nanosecond are kept over a remount, in lakectl's keys") {
  TestLake lake;
  lake.put("f", "F");
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "d") == kOk);
  const timespec times[2] = {{1'000'000'000, 0}, {1'200'000'000, 123'456'789}};
  const bool is_root = ::geteuid() == 0;
  for (const char* name : {"f", "d"}) {
    REQUIRE(::chmod((mount / name).c_str(), 0750) == 0);
    if (is_root) REQUIRE(::chown((mount / name).c_str(), 1234, 5678) == 0);
    REQUIRE(::utimensat(AT_FDCWD, (mount / name).c_str(), times, 0) == 0);
  }
  const auto object = lake.stat("f");
  REQUIRE(object);
  CHECK(object->metadata.at("::lakefs::client-mtime") == "1200000000");
  CHECK(object->metadata.at("::lakefs::posix-permissions").find("\"Mode\":") != std::string::npos);
  mount.remount();
  for (const char* name : {"f", "d"}) {
    CAPTURE(name);
    const auto facts = facts_of(mount / name);
    CHECK((facts.st_mode & 07777) == 0750);
    if (is_root) CHECK(facts.st_uid == 1234);
    if (is_root) CHECK(facts.st_gid == 5678);
    CHECK(facts.st_mtim.tv_sec == 1'200'000'000);
    CHECK(facts.st_mtim.tv_nsec == 123'456'789);
  }
  CHECK(rename_file(mount / "f", mount / "g") == kOk);
  CHECK(facts_of(mount / "g").st_mtim.tv_nsec == 123'456'789);
  CHECK(read_file(mount / "g") == "F");
}

TEST_CASE("rule 9: metadata of ours that names another checksum is ignored, and that of theirs is not") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::map<std::string, std::string> said{{"::lakefs::client-mtime", "1200000000"},
                                                {"::lakefs::posix-permissions", R"({"Mode":384})"},
                                                {"lakefuse-for", "of another version"}};
  auto theirs = said;
  theirs.erase("lakefuse-for");
  lake.server().put_object(lake.repository(), "main", "stale", "S", {.metadata = said});
  lake.server().put_object(lake.repository(), "main", "theirs", "T", {.metadata = theirs});
  Mounted mount(lake);
  CHECK(facts_of(mount / "stale").st_mtime > 1'300'000'000);
  CHECK((facts_of(mount / "stale").st_mode & 0777) != 0600);
  CHECK(facts_of(mount / "theirs").st_mtime == 1'200'000'000);
  CHECK((facts_of(mount / "theirs").st_mode & 0777) == 0600);
}

TEST_CASE("statfs: there is room, and names may be 255 bytes long") {
  TestLake lake;
  Mounted mount(lake);
  struct statvfs facts {};
  REQUIRE(::statvfs(mount.at().c_str(), &facts) == 0);
  CHECK(facts.f_namemax == 255);
  CHECK(facts.f_bavail > 0);
  CHECK(facts.f_bavail <= facts.f_blocks);
  CHECK(write_file(mount / std::string(255, 'n'), "x") == kOk);
  CHECK(write_file(mount / std::string(256, 'n'), "x") == "open: ENAMETOOLONG");
}

TEST_CASE("names: a directory that was renamed over one whose page was asked for ahead has its own names") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"d/a/f", "d/b/f", "d/c/f", "x/f"}) lake.put(key, "bytes");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  CHECK(names_in(mount / "d").size() == 3);
  CHECK(make_directory(mount / "d/d") == kOk);
  lake.server().clear_log();
  for (const char* name : {"d/a", "d/b", "d/c"}) CHECK(look(mount / name) == kOk);
  REQUIRE(lake.server().wait_for("list_objects", 4));  // That of d/d, too, which is empty.
  CHECK(rename_file(mount / "x", mount / "d/d") == kOk);
  CHECK(read_file(mount / "d/d/f") == "bytes");
}

TEST_CASE("names: a directory that came along in a rename, or that another client made, takes a new mode") {
  TestLake lake;
  lake.put("only/prefix", "bytes");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(make_directory(mount / "d") == kOk);
  REQUIRE(make_directory(mount / "d/below") == kOk);
  REQUIRE(rename_file(mount / "d", mount / "c") == kOk);
  CHECK(::chmod((mount / "c/below").c_str(), 0700) == 0);
  CHECK((facts_of(mount / "c/below").st_mode & 07777) == 0700);
  REQUIRE(look(mount / "only") == kOk);
  lake.put("only/", "");
  CHECK(::chmod((mount / "only").c_str(), 0700) == 0);
  REQUIRE(mount.unmount() == 0);
  mount.mount();
  CHECK((facts_of(mount / "c/below").st_mode & 07777) == 0700);
  CHECK((facts_of(mount / "only").st_mode & 07777) == 0700);
}
