// A mount that lives when its lake's name is found no more. (A preloaded resolver.)

#include <doctest/doctest.h>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

TEST_CASE("faults: when the lake's host is found no more, closes are EIO and keep their bytes, until it is") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("old", "was read");
  const ScratchDirectory scratch;
  const auto lost = scratch.path() / "lost";
  Mounted mount(lake, {.flags = {"--metadata-ttl", "1h"},
                       .environment = {{"LD_PRELOAD", LAKEFUSE_RESOLVER_SHIM},
                                       {"LAKEFUSE_TEST_RESOLVER", lost.string()}}});
  REQUIRE(read_file(mount / "old") == "was read");
  REQUIRE(write_file(mount / "before", "1") == kOk);
  write_local(lost, "");
  lake.server().drop_connections();
  const auto began = std::chrono::steady_clock::now();
  CHECK(write_file(mount / "during", "2") == "close: EIO");
  CHECK(std::chrono::steady_clock::now() - began < 20s);
  CHECK(read_file(mount / "old") == "was read");
  CHECK(read_file(mount / "during") == "2");
  CHECK(mount.kept_bytes("during") == "2");
  const Ran status = mount.lakefuse({"status", mount.at().string()});
  CHECK(status.exit_code == 3);
  CHECK(has(status.out, "cannot find the host 127.0.0.1"));
  std::filesystem::remove(lost);
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(lake.read("during") == "2");
}
