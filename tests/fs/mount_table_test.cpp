#include "fs/mount_table.h"

#include <doctest/doctest.h>

#include "tests/cache/support.h"

namespace lakefuse::test {
namespace {

constexpr const char* kMountinfo =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "40 22 0:40 / /mnt/with\\040space rw,nosuid shared:9 master:2 - fuse.lakefuse lakefs://r/main/ "
    "rw,user_id=1000,group_id=1000\n"
    "41 22 0:41 / /mnt/other rw - fuse.sshfs host: rw,user_id=1000\n"
    "broken line\n"
    "42 22 0:42 / /mnt/other rw - fuse.lakefuse lakefs://r/tag/ ro,user_id=0\n"
    "43 22 0:43 / /mnt/short rw -\n";

}  // namespace

TEST_CASE("mount table: reads the kernel's list, escapes and optional fields included") {
  const auto table = MountTable::parse(kMountinfo);
  const auto entry = table.at("/mnt/with space");
  REQUIRE(entry);
  CHECK(entry->is_lakefuse());
  CHECK(entry->source == "lakefs://r/main/");
  CHECK(entry->user == 1000);
  CHECK_FALSE(table.at("/").value().is_lakefuse());
  CHECK_FALSE(table.at("/mnt"));
  CHECK_FALSE(table.at("/mnt/short"));
}

TEST_CASE("mount table: of mounts over one another the topmost counts") {
  const auto table = MountTable::parse(kMountinfo);
  CHECK(table.at("/mnt/other")->source == "lakefs://r/tag/");
  CHECK(table.lakefuse_mounts().size() == 2);
}

TEST_CASE("mount table: the real one can be read, and has /proc") {
  const auto table = MountTable::read();
  REQUIRE(table);
  CHECK(table->at("/proc"));  // In a chroot there may be no mount at "/".
}

TEST_CASE("mount table: a directory below a mount leads to the mount, without asking it") {
  const auto table = MountTable::parse(kMountinfo);
  const auto resolved = resolve_path("/mnt/./x/../with space/deep/down", table);
  REQUIRE(resolved);
  REQUIRE(resolved->mount);
  CHECK(resolved->path == "/mnt/with space");
}

TEST_CASE("mount table: a way that leads out of a mount again leads to where it ends") {
  const auto table = MountTable::parse(
      "50 22 0:50 / /mnt/one rw - fuse.lakefuse lakefs://r/one/ rw,user_id=0\n"
      "51 22 0:51 / /mnt/two rw - fuse.lakefuse lakefs://r/two/ rw,user_id=0\n");
  for (const char* way :
       {"/mnt/one/../two", "/mnt/one/a/../../two", "/mnt/one/../one/./../two/", "/mnt/one/../two/b"}) {
    CAPTURE(way);
    const auto resolved = resolve_path(way, table);
    REQUIRE(resolved);
    REQUIRE(resolved->mount);
    CHECK(resolved->mount->source == "lakefs://r/two/");
  }
  const auto inside = resolve_path("/mnt/one/a/../b", table);
  REQUIRE(inside);
  CHECK(inside->path == "/mnt/one");
  CHECK(inside->below == "b");
  const auto outside = resolve_path("/mnt/one/..", table);
  REQUIRE(outside);
  CHECK_FALSE(outside->mount);
  CHECK(outside->path == "/mnt");
}

TEST_CASE("mount table: symlinks on the way are followed, and loops of them end") {
  const ScratchDirectory scratch;
  const auto root = std::filesystem::canonical(scratch.path());
  std::filesystem::create_directories(root / "real/dir");
  std::filesystem::create_directory_symlink("real", root / "relative");
  std::filesystem::create_directory_symlink(root / "relative/dir", root / "absolute");
  std::filesystem::create_symlink("loop", root / "loop");
  const auto table = MountTable::parse("50 22 0:50 / " + root.string() +
                                       "/real/dir rw - fuse.lakefuse lakefs://r/b/ rw,user_id=0\n");
  const auto resolved = resolve_path(root / "absolute/below", table);
  REQUIRE(resolved);
  REQUIRE(resolved->mount);
  CHECK(resolved->path == root / "real/dir");
  CHECK_FALSE(resolve_path(root / "loop", table));
  const auto missing = resolve_path(root / "no/such", table);
  REQUIRE(missing);
  CHECK(missing->path == root / "no/such");
}

TEST_CASE("mount table: what is no mount cannot be unmounted, and says why") {
  const ScratchDirectory scratch;
  const auto gone = unmount(scratch.path(), UnmountHow::kWhenIdle);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().message.find(scratch.path().string()) != std::string::npos);
  CHECK_FALSE(is_dead_mount(scratch.path()));
}

}  // namespace lakefuse::test
