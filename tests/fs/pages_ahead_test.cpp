#include "fs/pages_ahead.h"

#include <doctest/doctest.h>

#include <thread>

#include "tests/support/faulty_store.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("pages ahead");

namespace {

using namespace std::chrono_literals;

const ListRequest kPage{.prefix = "d/", .after = {}, .delimited = true, .amount = 10};

void wait_for_calls(const MemoryStore& lake, std::size_t n) {
  while (lake.calls("list") < n) std::this_thread::sleep_for(1ms);
}

}  // namespace

TEST_CASE("a page that was asked for ahead is taken once, and is as old as its call") {
  MemoryStore lake;
  lake.put("d/a", "a");
  PagesAhead pages(lake);
  pages.ask(kPage);
  wait_for_calls(lake, 1);
  const Moment before = std::chrono::steady_clock::now();
  lake.put("d/b", "b");
  const auto taken = pages.take(kPage, Moment::min());
  REQUIRE(taken.has_value());
  CHECK(taken->page.entries.size() == 1);
  CHECK(taken->asked <= before);
  CHECK(lake.calls("list") == 1);
  CHECK(pages.take(kPage, Moment::min())->page.entries.size() == 2);
  CHECK(lake.calls("list") == 2);
}

TEST_CASE("R3: a page from before the moment that is asked for is asked for anew") {
  MemoryStore lake;
  lake.put("d/a", "a");
  PagesAhead pages(lake);
  pages.ask(kPage);
  wait_for_calls(lake, 1);
  lake.put("d/b", "b");
  CHECK(pages.take(kPage, std::chrono::steady_clock::now())->page.entries.size() == 2);
}

TEST_CASE("F1: a page ahead that could not be had is told to nobody, and asked for again") {
  MemoryStore lake;
  FaultyStore faulty(lake, {.operation = "list"});
  PagesAhead pages(faulty);
  pages.ask(kPage);
  while (!faulty.reached()) std::this_thread::sleep_for(1ms);
  CHECK(pages.take(kPage, Moment::min()).has_value());
}

}  // namespace lakefuse::test
