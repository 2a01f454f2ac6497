// A directory that is renamed while programs work in it: what they make meanwhile goes along.

#include <doctest/doctest.h>

#include <optional>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

namespace stdfs = std::filesystem;
using Names = std::vector<std::string>;

// mv old new, which stays among its copies until it is let go.
struct Moving {
  Moving() {
    for (const char* name : {"old/a", "old/b", "e/other", "e/stays"}) lake.put(name, name);
    mount.emplace(lake, MountOptions{.flags = {"--metadata-ttl", "100ms"}});
    // Who asks for a name of the top directory waits for the mv.
    for (const char* name : {"old/a", "e/other"}) CHECK(read_file(path(name)) == name);
  }

  [[nodiscard]] stdfs::path path(const std::string& name) const { return *mount / name; }

  void begin() {
    held.emplace(lake.server().hold("copy_object", "new/*"));
    mover = std::jthread([this] { moved = rename_file(path("old"), path("new")); });
    CHECK(held->wait_for_arrivals(2));
  }

  void end() {
    held->release();
    mover.join();
    CHECK(moved == kOk);
  }

  void is_there(const std::string& name, const std::string& bytes) {
    for (int times = 0; times < 2; ++times) {
      CHECK(lake.read("new/" + name) == bytes);
      CHECK(read_file(path("new/" + name)) == bytes);
      CHECK(lake.keys("old").empty());
      std::this_thread::sleep_for(120ms);  // It is asked for anew.
    }
    CHECK(mount->pending().empty());
  }

  TestLake lake;
  std::optional<Mounted> mount;
  std::optional<Gate> held;
  std::jthread mover;
  Outcome moved;
};

}  // namespace

TEST_CASE("a directory that is renamed takes along what was closed in it meanwhile") {
  if (TestLake().is_real()) return;
  Moving moving;
  moving.begin();
  CHECK(write_file(moving.path("old/late"), "late") == kOk);
  CHECK(moving.lake.read("old/late") == "late");
  moving.end();
  moving.is_there("late", "late");
  CHECK(moving.lake.keys("new") == Names{"new/a", "new/b", "new/late"});
}

TEST_CASE("a directory that is renamed takes along what is being published in it") {
  if (TestLake().is_real()) return;
  Moving moving;
  moving.begin();
  Gate uploads = moving.lake.server().hold("link_physical_address", "old/late");
  std::jthread writer([&] { CHECK(write_file(moving.path("old/late"), "late") == kOk); });
  CHECK(uploads.wait_for_arrivals(1));
  moving.end();
  uploads.release();
  writer.join();
  moving.is_there("late", "late");
}

TEST_CASE("a directory that is renamed takes along what is being renamed into it") {
  if (TestLake().is_real()) return;
  Moving moving;
  moving.begin();
  SUBCASE("before it has its new name") {
    CHECK(rename_file(moving.path("e/other"), moving.path("old/late")) == kOk);
    moving.end();
  }
  SUBCASE("after it has its new name") {
    Gate copies = moving.lake.server().hold("copy_object", "old/late");
    std::jthread mover([&] { CHECK(rename_file(moving.path("e/other"), moving.path("old/late")) == kOk); });
    CHECK(copies.wait_for_arrivals(1));
    moving.end();
    copies.release();
    mover.join();
  }
  moving.is_there("late", "e/other");
}
