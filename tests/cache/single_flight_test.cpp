#include "cache/single_flight.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace lakefuse::test {

TEST_SUITE_BEGIN("single flight");

namespace {

using namespace std::chrono_literals;

void wait_until(const std::atomic<int>& value, int wanted) {
  while (value < wanted) std::this_thread::sleep_for(1ms);
}

// Work that counts itself and does not end before it may.
struct SlowWork {
  std::atomic<int> started = 0;
  std::atomic<bool> may_end = false;

  Result<int> operator()() {
    const int n = ++started;
    while (!may_end) {
      if (Patience::current().stop_requested()) return Error{Errc::kInterrupted, "told to stop"};
      std::this_thread::sleep_for(1ms);
    }
    return n;
  }
};

}  // namespace

TEST_CASE("many that want one thing cost one piece of work, and others go their own way") {
  SingleFlight<std::string, int> flights;
  SlowWork work;
  std::atomic<int> shared = 0;
  std::vector<std::jthread> threads;
  for (int n = 0; n < 8; ++n)
    threads.emplace_back([&] { shared += flights.run("one", std::ref(work)).value(); });
  wait_until(work.started, 1);
  CHECK(flights.run("other", [] { return Result<int>(7); }).value() == 7);
  std::this_thread::sleep_for(50ms);  // Time for all to get in line.
  work.may_end = true;
  threads.clear();
  CHECK(work.started == 1);
  CHECK(shared == 8);
  CHECK(flights.run("one", [] { return Result<int>(5); }).value() == 5);  // Nothing is remembered.
}

TEST_CASE("all who waited hear of a failure") {
  SingleFlight<std::string, int> flights;
  std::atomic<int> started = 0, failed = 0;
  std::vector<std::jthread> threads;
  for (int n = 0; n < 4; ++n)
    threads.emplace_back([&] {
      const auto result = flights.run("one", [&]() -> Result<int> {
        ++started;
        std::this_thread::sleep_for(100ms);
        return Error{Errc::kStale, "gone"};
      });
      if (!result && result.error().code == Errc::kStale) ++failed;
    });
  threads.clear();
  CHECK(failed == 4);
  CHECK(started < 4);
}

TEST_CASE("F1: a waiter that is interrupted leaves at once, and the work goes on") {
  SingleFlight<std::string, int> flights;
  SlowWork work;
  std::atomic<int> first = 0;
  std::jthread worker([&] { first = flights.run("one", std::ref(work)).value(); });
  wait_until(work.started, 1);
  std::stop_source stop;
  std::atomic<int> left = 0;
  std::jthread waiter([&] {
    Patience patience(stop.get_token());
    const auto result = flights.run("one", std::ref(work));
    CHECK(!result);
    CHECK(result.error().code == Errc::kInterrupted);
    ++left;
  });
  std::this_thread::sleep_for(20ms);
  stop.request_stop();
  wait_until(left, 1);
  CHECK(first == 0);
  work.may_end = true;
  worker.join();
  CHECK(first == 1);
}

TEST_CASE("F1: when the one who works is interrupted, a waiter takes over") {
  SingleFlight<std::string, int> flights;
  SlowWork work;
  std::stop_source stop;
  std::jthread worker([&] {
    Patience patience(stop.get_token());
    const auto result = flights.run("one", std::ref(work));
    CHECK(!result);
    CHECK(result.error().code == Errc::kInterrupted);
  });
  wait_until(work.started, 1);
  std::atomic<int> sum = 0;
  std::vector<std::jthread> waiters;
  for (int n = 0; n < 4; ++n)
    waiters.emplace_back([&] { sum += flights.run("one", std::ref(work)).value(); });
  std::this_thread::sleep_for(20ms);
  stop.request_stop();
  wait_until(work.started, 2);
  work.may_end = true;
  waiters.clear();
  CHECK(sum >= 8);  // Piece 2 for those that waited.
}

TEST_SUITE_END();

}  // namespace lakefuse::test
