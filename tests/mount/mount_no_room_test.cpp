// --writeback where a full disk has no room for the promise itself: the lake is asked instead, as without it.
// (A preloaded disk, so that it is full for some files only.)

#include <doctest/doctest.h>

#include <thread>

#include "tests/mount/fragile_disk.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE(
    "--writeback: what a full disk cannot promise waits for the lake, and is done or fails as a whole") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  for (const char* name : {"d/gone", "d/old"}) lake.put(name, "old");
  Mounted mount(lake, {.flags = {"--writeback", "--metadata-ttl", "60s"},
                       .state_dir = disk.state_dir(),
                       .environment = disk.environment()});
  REQUIRE(names_in(mount / "d").size() == 2);
  SUBCASE("a close") {
    OpenFile written(mount / "d/new", O_WRONLY | O_CREAT);
    CHECK(written.write("new") == kOk);
    disk.fill(".journal");
    CHECK(written.close() == kOk);
    CHECK(lake.read("d/new") == "new");
  }
  SUBCASE("an unlink") {
    disk.fill(".removals");
    CHECK(remove_file(mount / "d/gone") == kOk);
    CHECK(lake.read("d/gone") == "<none>");
    CHECK(has(mount.log(), "unlink of d/gone"));
  }
  SUBCASE("an unlink that the lake refuses") {
    disk.fill(".removals");
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "delete_object", .times = 0, .status = 403});
    CHECK(remove_file(mount / "d/gone") == "unlink: EACCES");
    CHECK(read_file(mount / "d/gone") == "old");
    CHECK(lake.read("d/gone") == "old");
  }
  SUBCASE("an unlink that the lake refuses, of what is being written") {
    OpenFile written(mount / "d/old", O_WRONLY | O_TRUNC);
    CHECK(written.write("half ") == kOk);
    disk.fill(".removals");
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "delete_object", .times = 0, .status = 403});
    CHECK(remove_file(mount / "d/old") == "unlink: EACCES");
    CHECK(mount.pending() == std::map<std::string, std::string>{{"d/old", "open"}});
    CHECK(flush(mount) == 0);
    CHECK(lake.read("d/old") == "old");
    disk.fill("");
    CHECK(written.write("and half") == kOk);
    CHECK(written.close() == kOk);
    CHECK(flush(mount) == 0);
    CHECK(lake.read("d/old") == "half and half");
  }
  SUBCASE("a rename") {
    Gate put = lake.server().hold("store_put");
    CHECK(write_file(mount / "d/old", "newer") == kOk);
    CHECK(put.wait_for_arrivals(1));
    disk.fill(".removals");
    const std::jthread releasing([&] {
      std::this_thread::sleep_for(300ms);
      CHECK(lake.read("d/old") == "old");  // Until the new name is there (rule 4).
      put.release();
    });
    CHECK(rename_file(mount / "d/old", mount / "d/moved") == kOk);
    CHECK(lake.read("d/moved") == "newer");
    CHECK(lake.read("d/old") == "<none>");
  }
  disk.fill("");
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  Names shown = names_in(mount / "d");
  for (std::string& name : shown) name = "d/" + name;
  CHECK(shown == lake.keys("d/"));
}

TEST_CASE("W2 --writeback=all: an O_EXCL close that can neither be promised nor tried is kept as failed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  Mounted mount(
      lake, {.flags = {"--writeback=all"}, .state_dir = disk.state_dir(), .environment = disk.environment()});
  REQUIRE(names_in(mount.at()).empty());
  lake.fail_all_links();
  CHECK(write_file(mount / "before", "b", O_EXCL) == kOk);
  OpenFile file(mount / "mine", O_WRONLY | O_CREAT | O_EXCL);
  CHECK(file.write("bytes") == kOk);
  disk.fill(".journal");
  CHECK(file.close() == "close: EIO");
  CHECK(read_file(mount / "mine") == "bytes");
  const std::map<std::string, std::string> both{{"before", "failed"}, {"mine", "failed"}};
  CHECK(eventually([&] { return mount.pending() == both; }));
  disk.fill("");
  lake.server().clear_faults();
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(mount.pending().empty());
  CHECK(lake.read("mine") == "bytes");
  CHECK(lake.read("before") == "b");
}

TEST_CASE("W2 --writeback: a rename that can neither be promised nor done changes nothing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  lake.put("old", "v0");
  Mounted mount(lake,
                {.flags = {"--writeback"}, .state_dir = disk.state_dir(), .environment = disk.environment()});
  REQUIRE(names_in(mount.at()).size() == 1);
  lake.fail_all_links();
  CHECK(write_file(mount / "old", "kept") == kOk);
  CHECK(write_file(mount / "new", "newer") == kOk);
  disk.fill(".journal");
  CHECK(rename_file(mount / "new", mount / "old") == "rename: EIO");
  CHECK(read_file(mount / "old") == "kept");
  CHECK(read_file(mount / "new") == "newer");
  disk.fill("");
  lake.server().clear_faults();
  CHECK(flush(mount) == 0);
  for (int n = 0; n < 2; ++n) {
    CHECK(lake.read("old") == "kept");
    CHECK(lake.read("new") == "newer");
    mount.remount();
    CHECK(flush(mount) == 0);
  }
}

TEST_CASE(
    "--writeback: a removal that a full disk cannot tick off is looked at again, and spares what is new") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  for (const char* name : {"gone", "stays"}) lake.put(name, "old");
  Mounted mount(lake,
                {.flags = {"--writeback"}, .state_dir = disk.state_dir(), .environment = disk.environment()});
  REQUIRE(names_in(mount.at()).size() == 2);
  {
    Gate removal = lake.server().hold("delete_object");
    CHECK(remove_file(mount / "gone") == kOk);
    CHECK(removal.wait_for_arrivals(1));
    disk.fill(".removals");
  }
  CHECK(eventually([&] { return mount.pending().empty(); }));
  CHECK(lake.read("gone") == "<none>");
  lake.put("gone", "theirs");
  for (int n = 0; n < 2; ++n) {  // Nor can the next mount promise it anew.
    mount.kill_hard();
    mount.mount();
    CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
    CHECK(lake.read("gone") == "theirs");
    CHECK(read_file(mount / "gone") == "theirs");
    disk.fill("");
  }
  CHECK(mount.pending().empty());
}

TEST_CASE(
    "--writeback: a journal whose sync failed promises nothing more, and what was promised before is kept") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  Mounted mount(lake, {.flags = {"--writeback"},
                       .state_dir = disk.state_dir(),
                       .environment = disk.environment(),
                       .may_end_hard = true});
  REQUIRE(names_in(mount.at()).empty());
  Gate waits = lake.server().hold("store_put");
  CHECK(write_file(mount / "before", "b") == kOk);
  disk.fail_syncs(".journal");
  const std::jthread releasing([&] {
    std::this_thread::sleep_for(300ms);
    waits.release();
  });
  CHECK(write_file(mount / "meanwhile", "m") == kOk);
  CHECK(lake.read("meanwhile") == "m");  // It was published at its close.
  disk.fail_syncs("");
  lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .operation = "store_put", .times = 0});
  CHECK(write_file(mount / "after", "a") == kOk);
  const auto left = disk.cut_power(FragileDisk::Names::kSynced);
  mount.kill_hard();
  lake.server().clear_faults();
  Mounted next(lake, {.flags = {"--writeback"}, .state_dir = left});
  CHECK(next.lakefuse({"flush", next.at().string()}).exit_code == 0);
  CHECK(lake.keys() == Names{"after", "before", "meanwhile"});
  CHECK(lake.read("after") == "a");
}

TEST_CASE(
    "F1: what finds no memory fails alone: the mount serves on, and the bytes are published once it has "
    "some") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const FragileDisk disk;
  std::vector<std::string> flags;
  Outcome closed = "close: EIO";
  SUBCASE("a close") {}
  SUBCASE("a close of --writeback") {
    flags = {"--writeback"};
    closed = kOk;
  }
  Mounted mount(lake, {.flags = flags, .state_dir = disk.state_dir(), .environment = disk.environment()});
  REQUIRE(names_in(mount.at()).empty());
  disk.limit_memory(256 << 10);
  const std::string bytes(1 << 20, 'x');
  CHECK(write_file(mount / "large", bytes) == closed);
  CHECK(eventually([&] {
    const auto files = mount.pending_files();
    return files.size() == 1 &&
           std::string_view(files[0].at("reason").as_string()).find("no memory") != std::string::npos;
  }));
  CHECK(read_file(mount / "large") == bytes);
  CHECK(lake.keys().empty());
  disk.limit_memory(0);
  CHECK(write_file(mount / "small", "s") == kOk);
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(lake.read("large") == bytes);
  CHECK(lake.read("small") == "s");
}
