// What becomes of the local disk: the spool may use it down to a floor, the read cache leaves it to others,
// and its cap holds for all mounts together. (F2 itself is in mount_failure_test.cpp.)

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#include <atomic>
#include <thread>

#include "tests/mount/mounted.h"
#include "tests/mount/tiny_disk.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kMebi = 1 << 20;

// As du counts: what is really taken.
std::uint64_t bytes_below(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code gone;  // Files go while we look.
  for (auto at = std::filesystem::recursive_directory_iterator(directory, gone);
       at != std::filesystem::recursive_directory_iterator(); at.increment(gone)) {
    struct stat facts {};
    if (::lstat(at->path().c_str(), &facts) == 0 && S_ISREG(facts.st_mode))
      bytes += static_cast<std::uint64_t>(facts.st_blocks) * 512;
  }
  return bytes;
}

}  // namespace

TEST_CASE(
    "F2: of a file that did not fit nothing is published: not by a retry, not by unmount, not by the next "
    "mount") {
  TestLake lake;
  TinyDisk disk("24m");
  NEEDS_DISK(disk);
  Mounted mount(lake, {.state_dir = disk.path() / "state"});
  OpenFile file(mount / "huge", O_WRONLY | O_CREAT);
  Outcome wrote = kOk;
  int pieces = 0;
  for (; wrote == kOk && pieces < 100; ++pieces) wrote = file.write(pattern(kMebi, 1));
  CHECK(wrote == "write: ENOSPC");
  CHECK(pieces > 15);
  CHECK(has(mount.log(), "write to huge: the local disk is full"));
  CHECK(file.close() == "close: ENOSPC");
  CHECK(write_file(mount / "small", "fits again") == kOk);
  mount.remount();
  CHECK(mount.pending().empty());
  CHECK(lake.keys() == std::vector<std::string>{"small"});
}

TEST_CASE(
    "F2: room that the local disk does not have is ENOSPC at fallocate, and what is there stays as it is") {
  TestLake lake;
  TinyDisk disk("24m");
  NEEDS_DISK(disk);
  Mounted mount(lake, {.state_dir = disk.path() / "state"});
  OpenFile file(mount / "f", O_RDWR | O_CREAT);
  REQUIRE(file.write("begun") == kOk);
  for (const int mode : {0, FALLOC_FL_KEEP_SIZE}) {
    errno = 0;
    CHECK(::fallocate(file.fd(), mode, 0, 30 * kMebi) == -1);
    CHECK(errno == ENOSPC);
    CHECK(::fallocate(file.fd(), mode, 0, 1000) == 0);
  }
  CHECK(file.close() == kOk);
  CHECK(lake.read("f") == "begun" + std::string(995, '\0'));
}

TEST_CASE(
    "F2: a file that was changed in part is read as ever where the disk is full, and its close keeps the "
    "change") {
  TestLake lake;
  TinyDisk disk("24m");
  NEEDS_DISK(disk);
  std::string bytes = pattern(3 * kMebi);
  lake.put("f", bytes);
  Mounted mount(lake, {.state_dir = disk.path() / "state"});
  OpenFile file(mount / "f", O_RDWR);
  for (const std::uint64_t at : {std::uint64_t{10}, kMebi + 5000, 3 * kMebi - 3}) {
    CHECK(file.write_at(at, "new") == kOk);
    bytes.replace(at, 3, "new");
  }
  const auto others = disk.path() / "of others";
  write_local(others, std::string(disk.free_bytes(), 'x'));
  REQUIRE(disk.free_bytes() == 0);
  CHECK((file.read_all() == bytes));
  CHECK((read_file(mount / "f") == bytes));
  CHECK(file.close() == "close: ENOSPC");
  CHECK((read_file(mount / "f") == bytes));
  CHECK(std::filesystem::remove(others));
  CHECK(flush(mount) == 0);
  CHECK((lake.read("f") == bytes));
}

TEST_CASE("F2: what is held of files that were published makes room for what is written") {
  TestLake lake;
  TinyDisk disk("12m");
  NEEDS_DISK(disk);
  lake.put("theirs", pattern(9 * kMebi));
  Mounted mount(lake, {.state_dir = disk.path() / "state"});
  const auto hold_some = [&] {
    for (const char* name : {"a", "b", "c"}) CHECK(write_file(mount / name, pattern(kMebi)) == kOk);
    CHECK(eventually([&] { return mount.status().at("open_handles").to_number<int>() == 0; }));
    CHECK(disk.free_bytes() < 10 * kMebi);
  };
  hold_some();
  CHECK(write_file(mount / "large", pattern(10 * kMebi)) == kOk);
  CHECK((lake.read("large") == pattern(10 * kMebi)));
  hold_some();
  CHECK(write_file(mount / "theirs", "more", O_APPEND) == kOk);
  CHECK((lake.read("theirs") == pattern(9 * kMebi) + "more"));
}

TEST_CASE("a full disk under the cache means reading past it, right bytes and no error") {
  TestLake lake;
  TinyDisk disk("8m");
  NEEDS_DISK(disk);
  const std::string bytes = pattern(12 * kMebi), small = pattern(700'000, 2);
  lake.put("large", bytes);
  lake.put("small", small);
  Mounted mount(lake, {.cache_dir = disk.path() / "cache"});
  write_local(disk.path() / "of others", std::string(disk.free_bytes(), 'x'));
  REQUIRE(disk.free_bytes() == 0);
  for (int n = 0; n < 2; ++n) {
    CHECK((read_file(mount / "large") == bytes));
    CHECK((read_file(mount / "small") == small));
  }
  CHECK(write_file(mount / "written", "as ever") == kOk);
}

TEST_CASE("the read cache leaves a floor of the disk free, and the spool may use it") {
  TestLake lake;
  TinyDisk disk("32m");
  NEEDS_DISK(disk);
  const std::uint64_t floor = 32 * kMebi / 20;
  for (int n = 0; n < 10; ++n) lake.put("f" + std::to_string(n), pattern(4 * kMebi, n + 1));
  Mounted mount(lake, {.state_dir = disk.path() / "state", .cache_dir = disk.path() / "cache"});
  for (int n = 0; n < 10; ++n)
    CHECK((read_file(mount / ("f" + std::to_string(n))) == pattern(4 * kMebi, n + 1)));
  CHECK(bytes_below(disk.path() / "cache") > 16 * kMebi);
  std::uint64_t free_bytes = 0;
  CHECK(eventually([&] {  // What was read goes to the disk behind its reader.
    const auto before = std::exchange(free_bytes, disk.free_bytes());
    std::this_thread::sleep_for(200ms);
    return free_bytes == before;
  }));
  CHECK(free_bytes >= floor * 9 / 10);
  // More than the cache would take, less than there is.
  const std::string bytes = pattern(free_bytes - 32 * kMebi / 50 - 200'000);
  CHECK(write_file(mount / "new", bytes) == kOk);
  CHECK((lake.read("new") == bytes));
}

TEST_CASE(
    "--cache-size holds under load for all mounts that share a cache, and df tells what may be written") {
  constexpr int kFiles = 8;
  constexpr std::uint64_t kCap = 16 * kMebi;
  TestLake lake;
  for (int n = 0; n < kFiles; ++n) lake.put("f" + std::to_string(n), pattern(5 * kMebi, n + 1));
  const ScratchDirectory shared;
  const MountOptions options{.flags = {"--cache-size", "16MiB"}, .cache_dir = shared.path() / "cache"};
  Mounted one(lake, options), other(lake, options);
  std::atomic<bool> is_over = false;
  std::uint64_t most = 0;
  {
    const std::jthread watcher([&] {
      while (!is_over) {
        most = std::max(most, bytes_below(options.cache_dir / "blocks"));
        std::this_thread::sleep_for(5ms);
      }
    });
    std::vector<std::jthread> readers;
    for (int reader = 0; reader < 4; ++reader) {
      readers.emplace_back([&, reader] {
        Mounted& mount = reader % 2 == 0 ? one : other;
        for (int n = 0; n < kFiles; ++n) {
          const int file = (n * 3 + reader) % kFiles;
          CHECK((read_file(mount / ("f" + std::to_string(file))) == pattern(5 * kMebi, file + 1)));
        }
      });
    }
    readers.clear();
    is_over = true;
  }
  CHECK(most > kCap / 2);
  CHECK(most <= kCap + kCap / 4);  // Two mounts may be writing two pieces each.
  CHECK(eventually([&] { return bytes_below(options.cache_dir / "blocks") <= kCap; }));

  struct statvfs mounted {
  }, below{};
  REQUIRE(::statvfs(one.at().c_str(), &mounted) == 0);
  REQUIRE(::statvfs(one.state_dir().c_str(), &below) == 0);
  CHECK(mounted.f_bavail > 0);
  CHECK(mounted.f_bavail * mounted.f_frsize <= below.f_bavail * below.f_frsize + kMebi * 64);
  CHECK(mounted.f_blocks * mounted.f_frsize > below.f_blocks * below.f_frsize);
  CHECK(mounted.f_bfree == mounted.f_blocks);  // Use%: 0.
  CHECK(mounted.f_namemax == 255);
}
