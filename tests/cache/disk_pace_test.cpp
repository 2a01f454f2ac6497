#include "cache/disk_pace.h"

#include <doctest/doctest.h>

namespace lakefuse::test {

TEST_SUITE_BEGIN("disk pace");

TEST_CASE("many write side by side as long as no write lasts; then one at a time, for a while") {
  DiskPace::Clock::time_point now{};
  DiskPace pace([&] { return now; });
  std::optional<DiskPace::Write> one = pace.begin(), other = pace.begin();
  CHECK(one);
  CHECK(other);
  now += DiskPace::kLasts;
  CHECK_FALSE(pace.begin());  // One lasts, and is not over yet.
  one.reset();
  CHECK_FALSE(pace.begin());  // Nor is the other.
  other.reset();
  {
    const auto alone = pace.begin();
    CHECK(alone);
    CHECK_FALSE(pace.begin());
  }
  now += DiskPace::kAWhile;
  const auto first = pace.begin(), second = pace.begin();
  CHECK(first);
  CHECK(second);  // It has caught up.
}

TEST_CASE("one that lasted and is over tells it, too") {
  DiskPace::Clock::time_point now{};
  DiskPace pace([&] { return now; });
  {
    const auto slow = pace.begin();
    CHECK(slow);
    now += DiskPace::kLasts;
  }
  const auto one = pace.begin();
  CHECK(one);
  CHECK_FALSE(pace.begin());
}

TEST_SUITE_END();

}  // namespace lakefuse::test
