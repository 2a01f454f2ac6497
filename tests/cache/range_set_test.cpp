#include "cache/range_set.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

namespace lakefuse::test {

TEST_SUITE_BEGIN("range set");

TEST_CASE("ranges that touch become one, and a hole splits one in two") {
  RangeSet set({10, 20});
  set.add({20, 30});
  CHECK(set.all() == std::vector<ByteRange>{{10, 30}});
  set.remove({15, 16});
  CHECK(set.all() == std::vector<ByteRange>{{10, 15}, {16, 30}});
  CHECK(set.within({12, 18}) == std::vector<ByteRange>{{12, 15}, {16, 18}});
  CHECK(set.gaps({5, 40}) == std::vector<ByteRange>{{5, 10}, {15, 16}, {30, 40}});
  CHECK_FALSE(set.first_within({15, 16}).has_value());
  set.add({0, 100});
  CHECK(set.all() == std::vector<ByteRange>{{0, 100}});
}

TEST_CASE("a range set holds what one flag for each byte would") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  RangeSet set;
  std::vector<bool> model(200);
  for (int step = 0; step < 5000; ++step) {
    ByteRange range{random() % 200, random() % 201};
    if (range.begin > range.end) std::swap(range.begin, range.end);
    const bool add = random() % 2 == 0;
    add ? set.add(range) : set.remove(range);
    for (auto at = range.begin; at < range.end; ++at) model[at] = add;
    std::vector<bool> told(200);
    std::uint64_t last_end = 0;
    for (const ByteRange& held : set.all()) {
      REQUIRE(held.begin < held.end);
      REQUIRE((last_end == 0 || held.begin > last_end));
      last_end = held.end;
      for (auto at = held.begin; at < held.end; ++at) told[at] = true;
    }
    REQUIRE(told == model);
  }
}

TEST_SUITE_END();

}  // namespace lakefuse::test
