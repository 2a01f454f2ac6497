#include "client/answer_pace.h"

#include <doctest/doctest.h>

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds kIdle = 30s;
constexpr milliseconds kNever = milliseconds::max();

// When a body of `bytes` is given up that comes at `per_second` after the first `at_once`, which come at
// once; kNever where it ends.
milliseconds given_up(std::uint64_t bytes, std::uint64_t per_second, std::uint64_t at_once = 0) {
  const AnswerPace::Time began{};
  AnswerPace pace(kIdle, began);
  pace.came(at_once, began);
  bytes -= at_once;
  for (milliseconds now = 0ms; now < 24h; now += 100ms) {
    if (pace.left(began + now) <= 0ms) return now;
    if (bytes <= per_second / 10) return kNever;
    bytes -= per_second / 10;
    pace.came(per_second / 10, began + now);
  }
  return kNever;
}

}  // namespace

TEST_CASE("F1 of the client: an answer that drips has the idle time, however long it is") {
  CHECK(given_up(1'000, 0) == kIdle);
  CHECK(given_up(1'000'000, 10) < kIdle + 1s);
  CHECK(given_up(9'000'000, 1'000) < kIdle + 10s);
  CHECK(given_up(std::uint64_t{1} << 40, 1'000) < kIdle + 10s);
}

TEST_CASE("F1 of the client: what came fast before gives a drip no more time") {
  CHECK(given_up(100'000'000, 10, 99'000'000) < kIdle + 1s);
}

TEST_CASE("an answer over a slow line that is honest has the time that it takes") {
  CHECK(given_up(4 << 20, 100 * 1024) == kNever);       // A piece of the read cache.
  CHECK(given_up(4 << 20, 100 * 1024 / 16) == kNever);  // One of many that share the line.
  CHECK(given_up(100 << 20, 5 * 1024) == kNever);       // Hours.
  CHECK(given_up(1'000, 50) == kNever);                 // Little, within the idle time.
}

TEST_CASE("a line that stands still for a while, and then goes on, is waited for") {
  const AnswerPace::Time began{};
  AnswerPace pace(kIdle, began);
  for (int n = 1; n <= 10; ++n) {
    CHECK(pace.left(began + n * 29s) > 0ms);
    pace.came(1 << 20, began + n * 29s);
  }
}

}  // namespace lakefuse::test
