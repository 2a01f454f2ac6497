#include "cache/workers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>

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

TEST_SUITE_END();
