#include "cache/removal_journal.h"

#include <doctest/doctest.h>

#include <thread>

#include "tests/cache/spool_fixture.h"

using namespace lakefuse;
using namespace lakefuse::test;

namespace {

RemovalRecord removal_of(const std::string& path, std::uint64_t order) {
  ObjectInfo version = object_of_size(7);
  version.path = path;
  return {.path = path, .version = version, .nonce = "n", .order = order};
}

}  // namespace

TEST_SUITE_BEGIN("removal journal");

TEST_CASE(
    "a removal that was promised and not done is there for the next mount, and for the one after that") {
  SpoolFixture fixture;
  ChildProcess([&](const auto& stay) {
    auto spool = fixture.open();
    bool is_promised = true;
    for (std::uint64_t order = 1; order <= 3; ++order)
      is_promised &=
          spool->begin_removal(removal_of("dir/\xc3\xa9" + std::to_string(order), order)).has_value();
    spool->end_removal(2);
    stay(is_promised);
  });
  for (int mounts = 0; mounts < 2; ++mounts) {
    CHECK(read_spools(fixture.state())->size() == 2);
    auto spool = fixture.open();
    const auto left = spool->take_left_removals();
    REQUIRE(left.size() == 2);
    CHECK(left[0].path ==
          "dir/\xc3\xa9"
          "1");
    CHECK(left[1].order == 3);
    CHECK(left[1].nonce == "n");
    REQUIRE(left[1].version);
    CHECK(same_version(*left[1].version, *removal_of(left[1].path, 3).version));
    CHECK(spool->take_left_removals().empty());
    if (mounts == 1)
      for (const auto& record : left) spool->end_removal(record.order);
  }
  CHECK(read_spools(fixture.state())->empty());
  CHECK(fixture.open()->take_left_removals().empty());
}

TEST_CASE("a line that was cut short was never promised; what comes after it counts") {
  CHECK(parse_removals(R"({"order":1,"path":"a","nonce":""})").empty());
  const auto left = parse_removals("{\"order\":1,\"pa\n{\"order\":2,\"path\":\"b\",\"nonce\":\"\"}\n");
  REQUIRE(left.size() == 1);
  CHECK(left[0].path == "b");
}

TEST_CASE("however many removals wait, each is shown") {
  SpoolFixture fixture;
  constexpr std::uint64_t kMany = 20'000;
  ChildProcess([&](const auto& stay) {
    auto spool = fixture.open();
    bool is_promised = true;
    for (std::uint64_t order = 1; order <= kMany; ++order)
      is_promised &= spool->begin_removal(removal_of(std::string(2000, 'x'), order)).has_value();
    stay(is_promised);
  });
  CHECK(read_spools(fixture.state())->size() == kMany);
}

TEST_CASE("many threads promise at once") {
  SpoolFixture fixture;
  {
    auto spool = fixture.open();
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 1; i <= 8; ++i)
      threads.emplace_back([&spool, i] {
        for (std::uint64_t n = 0; n < 20; ++n)
          CHECK(spool->begin_removal(removal_of("x", i * 100 + n)).has_value());
      });
  }
  CHECK(fixture.open()->take_left_removals().size() == 160);
}
