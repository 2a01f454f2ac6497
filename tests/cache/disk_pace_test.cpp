#include "cache/disk_pace.h"

#include <doctest/doctest.h>

namespace lakefuse::test {

TEST_SUITE_BEGIN("disk pace");

TEST_CASE("many write side by side as long as no write lasts; then none, for a while") {
  DiskPace::Clock::time_point now{};
  DiskPace pace([&] { return now; });
  std::optional<DiskPace::Write> one = pace.begin(), other = pace.begin();
  CHECK(one);
  CHECK(other);
  now += DiskPace::kLasts;
  CHECK_FALSE(pace.begin());  // One lasts, and is not over yet.
  one.reset();
  other.reset();
  CHECK_FALSE(pace.begin());
  now += DiskPace::kAWhile;
  {
    const auto probe = pace.begin();
    CHECK(probe);
    CHECK_FALSE(pace.begin());  // The one tells.
    now += DiskPace::kLasts;
  }
  CHECK_FALSE(pace.begin());
  now += DiskPace::kAWhile;
  CHECK(pace.begin());
  const auto first = pace.begin(), second = pace.begin();
  CHECK(first);
  CHECK(second);  // It has caught up.
}

TEST_SUITE_END();

}  // namespace lakefuse::test
