// Large directories: what their names cost, how soon they come, and how long they are believed.

#include <dirent.h>
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <future>
#include <memory>
#include <set>
#include <thread>

#include "tests/mount/mounted.h"
#include "tests/support/heap.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

std::string name_of(int n) {
  return "f" + std::to_string(10'000 + n);
}

void fill(TestLake& lake, int files, const std::string& ending = "") {
  for (int n = 0; n < files; ++n) lake.put("d/" + name_of(n) + ending, "x");
}

// The kernel asks for a few names at once that end so.
const std::string kMuch(200, 'n');

// A directory being read, name by name.
class Reading {
 public:
  explicit Reading(const std::filesystem::path& directory)
      : stream_(::opendir(directory.c_str()), [](DIR* open) { return ::closedir(open); }) {}

  // The names up to this one, or all.
  int read_to(const std::string& last = "", std::set<std::string>* into = nullptr) {
    int names = 0;
    while (const dirent* row = stream_ ? ::readdir(stream_.get()) : nullptr) {
      ++names;
      if (into != nullptr) into->insert(row->d_name);
      if (row->d_name == last) break;
    }
    return names;
  }
  // Some names, by one call; how many rows that makes so far, "." and ".." among them.
  int read_some() {
    std::array<char, 4096> rows{};
    CHECK(::getdents64(::dirfd(stream_.get()), rows.data(), rows.size()) > 0);
    return static_cast<int>(::lseek(::dirfd(stream_.get()), 0, SEEK_CUR));
  }
  void rewind() { ::rewinddir(stream_.get()); }
  [[nodiscard]] bool finds(const char* name) const {
    struct stat facts {};
    return ::fstatat(::dirfd(stream_.get()), name, &facts, 0) == 0;
  }

 private:
  std::unique_ptr<DIR, int (*)(DIR*)> stream_;
};

}  // namespace

TEST_CASE("listing: the first names are there before the last page was asked for") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  fill(lake, 3500);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(look(mount / "d") == kOk);
  Gate gate = lake.server().hold("list_objects");
  std::jthread first_page([&] { gate.release_one(); });
  Reading reading(mount / "d");
  CHECK(reading.read_to(name_of(997)) == 1000);  // With . and ..
  // The next page, and no other, was asked for behind.
  CHECK(gate.wait_for_arrivals(2));
  CHECK(gate.arrivals() == 2);
  gate.release();
  CHECK(reading.read_to() == 2502);
  CHECK(lake.count("list_objects") <= 6);  // Two of them on the way to the directory.
}

TEST_CASE("listing: R3: a page that waited for its reader is believed no longer than the TTL") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  fill(lake, 1500);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "300ms"}});
  Reading reading(mount / "d");
  struct stat before {};
  reading.read_to(name_of(0));
  REQUIRE(lake.server().wait_for("list_objects", 3));  // The second page is here, or on its way.
  std::this_thread::sleep_for(200ms);
  CHECK(::stat((mount / "d" / name_of(0)).c_str(), &before) ==
        0);  // The kernel likes to look names up ahead.
  lake.put("d/" + name_of(1400), "longer");
  std::this_thread::sleep_for(400ms);
  reading.read_to();
  CHECK(std::filesystem::file_size(mount / "d" / name_of(1400)) == 6);
}

TEST_CASE(
    "listing: what is changed in a directory while it is read is not undone by the rest of the listing") {
  TestLake lake;
  constexpr int kFiles = 40;
  fill(lake, kFiles, kMuch);
  Arguments flags{"--metadata-ttl", "60s"};
  SUBCASE("published at the close") {}
  SUBCASE("published behind") {
    flags.push_back("--writeback");
  }
  Mounted mount(lake, {.flags = flags});
  const auto at = [&](int n) { return mount / "d" / (name_of(n) + kMuch); };
  Reading reading(mount / "d");
  const int next = reading.read_some() - 2;
  REQUIRE(next < kFiles - 10);
  CHECK(write_file(at(next), "longer") == kOk);
  CHECK(write_file(at(next + 1), "longer") == kOk);
  CHECK(remove_file(at(next + 2)) == kOk);
  CHECK(rename_file(at(next + 3), mount / "d" / "moved") == kOk);
  CHECK(rename_file(at(next + 4), at(next + 5)) == kOk);
  CHECK(write_file(at(next + 5), "longer", O_APPEND) == kOk);
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(reading.read_to() == kFiles - next - 3 + 1);  // Three are gone, one is new.
  CHECK(std::filesystem::file_size(at(next)) == 6);
  CHECK(read_file(at(next)) == "longer");
  CHECK(look(at(next + 2)) == "stat: ENOENT");
  CHECK(look(at(next + 3)) == "stat: ENOENT");
  CHECK(look(at(next + 4)) == "stat: ENOENT");
  CHECK(read_file(at(next + 5)) == "xlonger");
  // Nor is it taken for another client's change.
  CHECK(write_file(at(next + 1), "and more", O_APPEND) == kOk);
  mount.lakefuse({"flush", mount.at().string()});
  CHECK(lake.read("d/" + name_of(next + 1) + kMuch) == "longerand more");
}

TEST_CASE("listing: what is published while its directory is read shows, whoever else lists it meanwhile") {
  TestLake lake;
  fill(lake, 40, kMuch);
  lake.put("d/zz-changed", "x");
  Mounted mount(lake);
  OpenFile fresh(mount / "d/zz-new", O_WRONLY | O_CREAT), changed(mount / "d/zz-changed", O_WRONLY);
  CHECK(fresh.write("bytes") == kOk);
  CHECK(changed.write("bytes") == kOk);
  Reading reading(mount / "d");
  REQUIRE(reading.read_some() < 40);
  CHECK(fresh.close() == kOk);
  CHECK(changed.close() == kOk);
  CHECK(names_in(mount / "d").size() == 42);
  std::set<std::string> rest;
  reading.read_to("", &rest);
  CHECK(rest.contains("zz-new"));
  CHECK(rest.contains("zz-changed"));
}

TEST_CASE("R3: in a directory that is held open what other clients made and removed shows, too") {
  TestLake lake;
  for (const char* key : {"d/one", "d/two"}) lake.put(key, "x");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "200ms"}});
  Reading reading(mount / "d");
  CHECK(reading.read_to() == 4);  // With . and ..
  CHECK(reading.finds("one"));
  CHECK_FALSE(reading.finds("three"));
  for (const char* key : {"d/three", "d/four"}) lake.put(key, "x");
  lake.remove("d/one");
  std::this_thread::sleep_for(250ms);
  CHECK(reading.finds("three"));
  CHECK_FALSE(reading.finds("one"));
  reading.rewind();
  CHECK(reading.read_to() == 5);
}

TEST_CASE(
    "listing: who asks for the names of a large directory in a row, long after it was listed, costs a page "
    "for many") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kFiles = 3000;
  fill(lake, kFiles);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "10s"}});
  REQUIRE(look(mount / "d" / name_of(1500)) == kOk);  // A large directory, by its first page.
  lake.server().clear_log();
  for (int n = 0; n < kFiles; ++n) CHECK(look(mount / "d" / name_of(n)) == kOk);
  CHECK(lake.count("list_objects") <= 20);
  lake.server().clear_log();
  for (int n = 0; n < kFiles; n += 300) CHECK(look(mount / "d" / ("no" + name_of(n))) == "stat: ENOENT");
  CHECK(lake.count("list_objects") <= 30);
}

TEST_CASE("listing: who asks for many names of a large directory in no order costs a page for many, too") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kFiles = 3000;
  fill(lake, kFiles);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "10s"}});
  lake.server().clear_log();
  for (int n = 0; n < kFiles; ++n) {
    const std::string name = name_of(n * 1009 % kFiles);
    CHECK(look(mount / "d" / name) == kOk);
    if (n % 10 == 0) CHECK(look(mount / "d" / (name + "-no")) == "stat: ENOENT");
  }
  CHECK(lake.count("list_objects") <= 100);
  CHECK(lake.count("stat_object") == 0);
}

TEST_CASE(
    "listing: directories that are looked into in a row are asked for ahead, each once, and then listed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kDirectories = 40;
  for (int n = 0; n < kDirectories; ++n) lake.put("d/" + name_of(n) + "/file", "x");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(names_in(mount / "d").size() == kDirectories);
  lake.server().clear_log();
  for (int n = 0; n < 3; ++n) CHECK(look(mount / "d" / name_of(n)) == kOk);
  CHECK(lake.server().wait_for("list_objects", 3 + 4));
  for (int n = 3; n < kDirectories; ++n) CHECK(look(mount / "d" / name_of(n)) == kOk);
  CHECK(lake.server().wait_for("list_objects", kDirectories));  // A call is counted when it has ended.
  CHECK(lake.count("list_objects") == kDirectories);
  lake.server().clear_log();
  std::this_thread::sleep_for(60ms);  // What the lookups were told is too old for an opendir.
  CHECK(shell(mount / "d", "find . -type f | wc -l").out == std::to_string(kDirectories) + "\n");
  CHECK(lake.server().wait_for("list_objects", kDirectories + 1));
  CHECK(lake.count("list_objects") == kDirectories + 1);  // opendir always asks.
}

TEST_CASE("listing: who removes directories in a row has the next one listed while this one is removed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kDirectories = 6;
  for (int n = 0; n < kDirectories; ++n) lake.put("d/" + name_of(n) + "/", "");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(names_in(mount / "d").size() == kDirectories);
  for (int n = 0; n < 4; ++n) CHECK(names_in(mount / "d" / name_of(n)).empty());
  const auto is_listed = [&](int n) {
    const auto calls = lake.server().calls("list_objects");
    return std::any_of(calls.begin(), calls.end(),
                       [&](const Call& call) { return has(call.target, name_of(n)); });
  };
  CHECK(eventually([&] { return is_listed(4) && is_listed(5); }));  // From the third in a row on.
  std::this_thread::sleep_for(200ms);  // The mount has read them: what is on its way is not asked for again.
  Gate gate = lake.server().hold("delete_object");
  lake.server().clear_log();
  auto removed = std::async(std::launch::async, [&] { return remove_directory(mount / "d" / name_of(3)); });
  CHECK(eventually([&] { return is_listed(4); }));
  gate.release();
  CHECK(removed.get() == kOk);
  CHECK_FALSE(is_listed(5));
}

TEST_CASE("listing: ls hears at once that there are no attributes but user.*, and asks for no others") {
  TestLake lake;
  lake.put("f", "x");
  Mounted mount(lake);
  for (const char* name : {"security.selinux", "security.capability", "system.posix_acl_access"}) {
    CHECK(::getxattr((mount / "f").c_str(), name, nullptr, 0) == -1);
    CHECK(errno_name(errno) == "EOPNOTSUPP");
  }
}

TEST_CASE("listing: who walks through a tree of many names costs little memory for each") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  if (!Mounted::is_of_this_build()) return;
  constexpr int kDirectories = 60, kFiles = 200;
  for (int d = 0; d < kDirectories; ++d)
    for (int n = 0; n < kFiles; ++n) lake.put("d/" + name_of(d) + "/" + name_of(n), "");
  Mounted mount(lake);
  const auto before = resident_kib(mount.process());
  CHECK(shell(mount / "d", "find . -type f | wc -l").out == std::to_string(kDirectories * kFiles) + "\n");
  const auto grown = resident_kib(mount.process()) - before;
  CAPTURE(grown);
  // A kilobyte for each that the kernel knows, and the pages that are on their way, and what they leave.
  CHECK(grown < 28 * 1024);
}
