// --writeback: how often the local disk is synced for what is promised, counted at the disk; and that what
// was done without a sync comes to the disk with whatever relies on it.

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "tests/mount/fragile_disk.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

MountOptions on(const FragileDisk& disk) {
  return {.flags = {"--writeback", "--metadata-ttl", "60s"},
          .state_dir = disk.state_dir(),
          .environment = disk.environment(),
          .may_end_hard = true};
}

std::size_t syncs_of(const FragileDisk& disk, const std::string& ending) {
  const auto steps = disk.steps();
  return static_cast<std::size_t>(std::count_if(steps.begin(), steps.end(), [&](const std::string& step) {
    return step.starts_with("sync ") && step.ends_with(ending);
  }));
}

std::string file(int n) {
  return "d/f" + std::to_string(n);
}

// A lake with some files, listed; nothing that is removed gets there.
struct Removing {
  Removing() {
    for (int n = 0; n < kFiles; ++n) lake.put(file(n), "old");
    mount.emplace(lake, on(disk));
    REQUIRE(names_in(*mount / "d").size() == kFiles);
    for (const char* call : {"delete_object", "delete_objects"})
      faults.push_back(
          lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .operation = call, .times = 0}));
  }
  // Once one is on its way, and on disk, the later ones wait behind it.
  void begin() {
    CHECK(remove_file(*mount / file(0)) == kOk);
    CHECK(eventually([&] { return lake.server().fired(faults[0]) + lake.server().fired(faults[1]) > 0; }));
  }
  // Without power, and what the next mount shows then.
  Names left() {
    const auto state_dir = disk.cut_power(FragileDisk::Names::kSynced);
    mount->kill_hard();
    lake.server().clear_faults();
    mount.emplace(lake, MountOptions{.flags = {"--writeback"}, .state_dir = state_dir});
    return names_in(*mount / "d");
  }

  static constexpr int kFiles = 40;
  TestLake lake;
  const FragileDisk disk;
  std::optional<Mounted> mount;
  std::vector<FaultId> faults;
};

}  // namespace

TEST_CASE("--writeback: a close costs one sync, and nothing that comes after it another") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  Mounted mount(lake, on(disk));
  CHECK(make_directory(mount / "d") == kOk);
  CHECK(write_file(mount / "first", "begins the journal") == kOk);
  CHECK(flush(mount) == 0);
  disk.kill_at(SIZE_MAX);
  constexpr int kFiles = 40;
  for (int n = 0; n < kFiles; ++n) CHECK(write_file(mount / file(n), "new") == kOk);
  CHECK(flush(mount) == 0);
  // Five times a second something is synced for all that has none of its own.
  const std::size_t syncs = syncs_of(disk, "");
  CAPTURE(syncs);
  CHECK(syncs >= kFiles);
  CHECK(syncs < kFiles + kFiles / 2);
  CHECK(lake.keys("d/f").size() == kFiles);
}

TEST_CASE("--writeback: unlinks cost no sync each, and outlive kill -9 all the same") {
  if (wants_real_lake()) return;
  Removing some;
  some.disk.kill_at(SIZE_MAX);
  for (int n = 0; n < Removing::kFiles; ++n) CHECK(remove_file(*some.mount / file(n)) == kOk);
  const std::size_t syncs = syncs_of(some.disk, "");
  CAPTURE(syncs);
  CHECK(syncs < Removing::kFiles / 2);
  some.mount->kill_hard();
  some.lake.server().clear_faults();
  some.mount->mount();
  CHECK(flush(*some.mount) == 0);
  CHECK(some.lake.keys("d/f").empty());
}

TEST_CASE("--writeback: an unlink outlives a power cut with whatever was made safe after it") {
  if (wants_real_lake()) return;
  Removing some;
  const auto d = *some.mount / "d";
  some.begin();
  CHECK(remove_file(*some.mount / file(1)) == kOk);
  SUBCASE("a close") {
    CHECK(write_file(d / "f2", "new") == kOk);
  }
  SUBCASE("a close of a large file") {
    CHECK(write_file(d / "f2", std::string(200'000, 'n')) == kOk);
  }
  SUBCASE("an fsync of a file") {
    OpenFile other(d / "f2", O_WRONLY);
    CHECK(other.write("new") == kOk);
    CHECK(other.sync() == kOk);
  }
  SUBCASE("an fsync of a directory") {
    OpenFile directory(d, O_RDONLY | O_DIRECTORY);
    CHECK(directory.sync() == kOk);
  }
  CHECK(some.left().size() == Removing::kFiles - 2);
}

TEST_CASE("--writeback: a name that is removed and made again is no conflict after a power cut") {
  if (wants_real_lake()) return;
  Removing some;
  some.begin();
  CHECK(remove_file(*some.mount / file(1)) == kOk);
  CHECK(write_file(*some.mount / file(1), "new") == kOk);
  CHECK(some.left().size() == Removing::kFiles - 1);
  CHECK(flush(*some.mount) == 0);
  CHECK(some.lake.read(file(1)) == "new");
  CHECK(some.lake.read(file(0)) == "<none>");
}

TEST_CASE("--writeback: what was promised and removed leaves no older version after a power cut") {
  if (wants_real_lake()) return;
  Removing some;
  some.begin();
  CHECK(write_file(*some.mount / file(1), "promised") == kOk);
  CHECK(remove_file(*some.mount / file(1)) == kOk);
  CHECK(some.left().size() == Removing::kFiles - 2);
}

TEST_CASE("--writeback: what was promised, published and removed does not come back by a power cut") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  Mounted mount(lake, on(disk));
  CHECK(names_in(mount.at()).empty());
  CHECK(write_file(mount / "f", "published") == kOk);
  CHECK(lake.server().wait_for("link_physical_address", 1));
  std::this_thread::sleep_for(20ms);  // So that the mount has heard of it.
  CHECK(remove_file(mount / "f") == kOk);
  CHECK(eventually([&] { return lake.read("f") == "<none>"; }));
  const auto left = disk.cut_power(FragileDisk::Names::kAll);
  mount.kill_hard();
  Mounted next(lake, {.flags = {"--writeback"}, .state_dir = left});
  CHECK(flush(next) == 0);
  CHECK(names_in(next.at()).empty());
  CHECK(lake.keys().empty());
}

TEST_CASE(
    "--writeback: of two versions of a file, in two journals, a power cut does not bring back the first") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  Mounted mount(lake, on(disk));
  CHECK(names_in(mount.at()).empty());
  Gate first = lake.server().hold("link_physical_address", "f");
  CHECK(write_file(mount / "f", "first") == kOk);
  CHECK(first.wait_for_arrivals(1));
  // A journal is followed by another one after a MiB.
  for (int n = 0; n < 20; ++n)
    CHECK(write_file(mount / ("g" + std::to_string(n)), std::string(60'000, 'x'), 0) == kOk);
  CHECK(eventually([&] { return lake.keys("g").size() == 20; }));
  first.release();
  CHECK(eventually([&] { return lake.read("f") == "first"; }));
  std::this_thread::sleep_for(20ms);  // So that the mount has heard of it.
  CHECK(write_file(mount / "f", "second") == kOk);
  CHECK(eventually([&] { return lake.read("f") == "second"; }));
  std::this_thread::sleep_for(20ms);
  CHECK(write_file(mount / "last", "takes the second one's end along") == kOk);
  const auto left = disk.cut_power(FragileDisk::Names::kSynced);
  mount.kill_hard();
  Mounted next(lake, {.flags = {"--writeback"}, .state_dir = left});
  CHECK(flush(next) == 0);
  CHECK(next.pending().empty());
  CHECK(lake.read("f") == "second");
}
