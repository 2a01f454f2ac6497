#include "fs/known_versions.h"

#include <doctest/doctest.h>

namespace lakefuse::test {

TEST_SUITE_BEGIN("known versions");

namespace {

ObjectInfo version(const std::string& path, const std::string& address) {
  ObjectInfo object;
  object.path = path;
  object.physical_address = address;
  return object;
}

}  // namespace

TEST_CASE("what was met last at a path is known until it is removed") {
  KnownVersions known(nullptr);
  CHECK_FALSE(known.last_met("d/a"));
  known.met("d/a", version("d/a", "one"));
  known.met("d/b", version("d/b", "two"));
  known.met("d/a", version("d/a", "three"));
  REQUIRE(known.last_met("d/a"));
  CHECK(known.last_met("d/a")->physical_address == "three");
  known.removed("d/a");
  CHECK_FALSE(known.last_met("d/a"));
  CHECK(known.last_met("d/b")->physical_address == "two");
}

TEST_CASE("of many, those that were met last are known, each by its last version") {
  KnownVersions known(nullptr, 100, 100);
  known.met("a", version("a", "one"));
  for (int n = 0; n < 49; ++n) known.met(std::to_string(n), version(std::to_string(n), "x"));
  known.met("a", version("a", "two"));
  for (int n = 0; n < 40; ++n)
    known.met("more" + std::to_string(n), version("more" + std::to_string(n), "x"));
  REQUIRE(known.last_met("a"));
  CHECK(known.last_met("a")->physical_address == "two");
  known.removed("a");
  CHECK_FALSE(known.last_met("a"));
  for (int n = 0; n < 1000; ++n) known.met(std::to_string(n), version(std::to_string(n), "x"));
  CHECK_FALSE(known.last_met("more0"));
  CHECK(known.last_met("999"));
  CHECK(known.last_met("951"));
}

TEST_CASE("of many addresses the last are known for ours, and no other") {
  KnownVersions known(nullptr, 100, 100);
  for (int n = 0; n < 1000; ++n) {
    known.is_ours_now("address" + std::to_string(n));
    known.is_ours_now("address" + std::to_string(n));
  }
  CHECK(known.is_ours("address999"));
  CHECK(known.is_ours("address951"));
  CHECK_FALSE(known.is_ours("address0"));
  CHECK_FALSE(known.is_ours("address1000"));
}

TEST_SUITE_END();

}  // namespace lakefuse::test
