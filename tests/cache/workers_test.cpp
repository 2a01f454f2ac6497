#include "cache/workers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <new>
#include <string>

#include "cache/escaped_exceptions.h"

using namespace lakefuse;

TEST_SUITE_BEGIN("workers");

TEST_CASE("whoever runs jobs does them himself where all threads of the pool wait for him") {
  std::latch is_done(1);
  Workers workers(1);
  workers.post([&] { is_done.wait(); });
  std::atomic<int> done = 0;
  workers.run_all({[&] { ++done; }, [&] { ++done; }, [&] { ++done; }});
  CHECK(done == 3);
  is_done.count_down();
}

TEST_CASE("F1: an exception ends its own job, and is told") {
  static std::string told;
  tell_of_escaped_exceptions([](std::string_view what) { told = what; });
  std::latch is_done(1);
  Workers workers(1);
  workers.post([] { throw std::bad_alloc(); });
  workers.post([&] { is_done.count_down(); });
  is_done.wait();
  CHECK(told == "no memory");
  tell_of_escaped_exceptions(nullptr);
}

TEST_CASE("F1: who runs jobs hears of an exception when all of them are over") {
  Workers workers(2);
  for (int n = 0; n < 50; ++n) {
    std::atomic<int> done = 0;
    const auto job = [&] { ++done; };
    CHECK_THROWS_AS(workers.run_all({job, [] { throw std::bad_alloc(); }, job, job}), std::bad_alloc);
    CHECK(done == 3);
  }
}

TEST_SUITE_END();
