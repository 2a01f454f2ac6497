#include "fs/pages_ahead.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "tests/support/faulty_store.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("pages ahead");

namespace {

using namespace std::chrono_literals;

const ListRequest kPage{.prefix = "d/", .after = {}, .delimited = true, .amount = 10};

void wait_for_calls(const MemoryStore& lake, std::size_t n) {
  const Moment until = std::chrono::steady_clock::now() + 10s;
  while (lake.calls("list") < n && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  REQUIRE(lake.calls("list") >= n);
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

TEST_CASE("pages of a row follow each other, no more than were asked for, and each is asked for once") {
  MemoryStore lake;
  for (int n = 0; n < 60; ++n) lake.put("d/" + std::to_string(100 + n), "x");
  PagesAhead pages(lake);
  ListRequest request = kPage;
  const Moment began = std::chrono::steady_clock::now();
  for (int n = 0; n < 6; ++n) {
    const auto taken = pages.take(request, began, 2);
    REQUIRE(taken.has_value());
    CHECK(taken->page.entries.size() == 10);
    CHECK(taken->page.entries.front().object.path == "d/" + std::to_string(100 + 10 * n));
    CHECK(taken->page.has_more == (n < 5));
    request.after = taken->page.next;
    if (!taken->page.has_more) break;
    wait_for_calls(lake, static_cast<std::size_t>(std::min(6, n + 3)));
  }
  std::this_thread::sleep_for(20ms);  // Whatever else was asked for would be under way.
  CHECK(lake.calls("list") == 6);
}

TEST_CASE("R3: a row keeps no page from before the moment that it is asked for") {
  MemoryStore lake;
  for (int n = 0; n < 30; ++n) lake.put("d/" + std::to_string(100 + n), "x");
  PagesAhead pages(lake);
  CHECK(pages.take(kPage, Moment::min(), 1).has_value());
  wait_for_calls(lake, 2);
  const Moment now = std::chrono::steady_clock::now();
  const auto first = pages.take(kPage, now, 1);
  REQUIRE(first.has_value());
  wait_for_calls(lake, 4);
  ListRequest second = kPage;
  second.after = first->page.next;
  CHECK(pages.take(second, now)->asked >= now);
  CHECK(lake.calls("list") == 4);
}

TEST_CASE("the next page is asked for before this one is taken apart; where the guess was wrong, once more") {
  // A page is not taken apart before another call has come, or for a moment.
  class SlowToUnderstand final : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<ListPage> list(const ListRequest& request) override {
      const std::size_t number = ++calls;
      auto page = ForwardingStore::list(request);
      if (page && page->has_more) request.guessed_next(is_wrong ? "d/1000" : page->next);
      for (int n = 0; n < (is_wrong ? 20 : 2000) && page->has_more && calls == number; ++n)
        std::this_thread::sleep_for(1ms);
      if (calls > number) ++overlapped;
      return page;
    }
    bool is_wrong = false;
    std::atomic<std::size_t> calls = 0, overlapped = 0;

   protected:
    Decision decide(std::string_view) override { return {}; }
    void put_off(std::function<void()>) override {}
  };
  MemoryStore lake;
  for (int n = 0; n < 30; ++n) lake.put("d/" + std::to_string(100 + n), "x");
  SlowToUnderstand slow(lake);
  SUBCASE("") {}
  SUBCASE("wrong") {
    slow.is_wrong = true;
  }
  {
    PagesAhead pages(slow);
    ListRequest request = kPage;
    const Moment began = std::chrono::steady_clock::now();
    for (int n = 0; n < 3; ++n) {
      const auto taken = pages.take(request, began, 2);
      REQUIRE(taken.has_value());
      CHECK(taken->page.entries.front().object.path == "d/" + std::to_string(100 + 10 * n));
      request.after = taken->page.next;
    }
  }
  if (slow.is_wrong) return;
  CHECK(slow.overlapped == 2);
  CHECK(slow.calls == 3);
}

}  // namespace lakefuse::test
