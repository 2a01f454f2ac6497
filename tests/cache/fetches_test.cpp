#include "cache/fetches.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "client/patience.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("fetches");

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kRoom = 1 << 20;

std::string take(Fetches& fetches, std::uint64_t offset, std::size_t length) {
  const auto lent = fetches.lend("object", offset, length);
  if (!lent) return "failed: " + std::to_string(static_cast<int>(lent.error().code));
  return {reinterpret_cast<const char*>(lent->bytes.data()), lent->bytes.size()};
}

std::string failed(Errc code) {
  return "failed: " + std::to_string(static_cast<int>(code));
}

void fill(Fetches::Fetch& fetch, char letter) {
  std::memset(fetch.bytes().data(), letter, fetch.bytes().size());
}

}  // namespace

TEST_CASE("who wants what is on its way waits and shares; others go their own way") {
  Fetches fetches(kRoom);
  auto fetch = fetches.begin("object", 10, 20);
  CHECK(fetches.begin("object", 15, 30) == nullptr);
  CHECK(fetches.begin("another", 15, 30) != nullptr);
  CHECK(take(fetches, 20, 5).empty());
  std::atomic<int> shared = 0;
  std::vector<std::jthread> waiters;
  for (int n = 0; n < 8; ++n) waiters.emplace_back([&] { shared += take(fetches, 12, 100) == "xxxxxxxx"; });
  std::this_thread::sleep_for(20ms);
  CHECK(shared == 0);
  fill(*fetch, 'x');
  fetch->land(Fetches::Stay::kNot);
  waiters.clear();
  CHECK(shared == 8);
}

TEST_CASE("what stays briefly is gone when others fetch later; what stays until it is read is not") {
  Fetches fetches(kRoom, 20ms);
  auto briefly = fetches.begin("object", 0, 10);
  auto longer = fetches.begin("object", 10, 20);
  for (auto* fetch : {&briefly, &longer}) fill(**fetch, 'x');
  briefly->land(Fetches::Stay::kBriefly);
  longer->land(Fetches::Stay::kUntilRead);
  briefly.reset();
  longer.reset();
  std::this_thread::sleep_for(30ms);
  CHECK(take(fetches, 0, 5) == "xxxxx");  // Nobody came who needed the room.
  fetches.begin("another", 0, 10).reset();
  CHECK(take(fetches, 5, 5).empty());
  CHECK(take(fetches, 10, 5) == "xxxxx");
}

TEST_CASE("a fetch ends before what somebody else fetches") {
  Fetches fetches(kRoom);
  const auto other = fetches.begin("object", 50, 60);
  const auto fetch = fetches.begin("object", 10, 100);
  CHECK(fetch->begin() == 10);
  CHECK(fetch->end() == 50);
}

TEST_CASE("what arrived beyond what was asked for stays until it has been read, or there is no room") {
  Fetches fetches(25);
  const auto arrive = [&](std::uint64_t begin, std::uint64_t end, char letter) {
    const auto fetch = fetches.begin("object", begin, end);
    fill(*fetch, letter);
    fetch->land(Fetches::Stay::kUntilRead);
  };
  arrive(0, 10, 'a');
  arrive(10, 20, 'b');
  CHECK(take(fetches, 0, 4) == "aaaa");
  CHECK(take(fetches, 4, 6) == "aaaaaa");
  CHECK(take(fetches, 0, 4).empty());  // Read up.
  arrive(20, 30, 'c');
  CHECK(take(fetches, 10, 4) == "bbbb");
  arrive(30, 40, 'd');  // The oldest goes.
  CHECK(take(fetches, 10, 4).empty());
  CHECK(take(fetches, 20, 4) == "cccc");
  CHECK(take(fetches, 30, 4) == "dddd");
}

TEST_CASE("all who waited hear of a failure, and nothing of it is remembered") {
  Fetches fetches(kRoom);
  auto fetch = fetches.begin("object", 0, 10);
  std::atomic<int> heard = 0;
  std::vector<std::jthread> waiters;
  for (int n = 0; n < 4; ++n)
    waiters.emplace_back([&] { heard += take(fetches, 0, 4) == failed(Errc::kStale); });
  std::this_thread::sleep_for(20ms);
  fetch->fail(Error{Errc::kStale, "gone"});
  waiters.clear();
  CHECK(heard == 4);
  fetch.reset();
  CHECK(take(fetches, 0, 4).empty());
}

TEST_CASE("F1: a deadline that passed is told for a moment to who asks again, whoever else tries meanwhile") {
  Fetches fetches(kRoom, 10s, 500ms);
  auto fetch = fetches.begin("object", 10, 20);
  fetch->fail(Error{Errc::kTimeout, "moved no byte"});
  fetch.reset();
  auto other = fetches.begin("object", 10, 20);
  REQUIRE(other != nullptr);
  CHECK(take(fetches, 10, 4) == failed(Errc::kTimeout));
  CHECK(take(fetches, 19, 4) == failed(Errc::kTimeout));
  CHECK(take(fetches, 20, 4).empty());
  fill(*other, 'x');
  other->land(Fetches::Stay::kNot);
  CHECK(take(fetches, 10, 4) == "xxxx");
  other.reset();
  CHECK(take(fetches, 10, 4) == failed(Errc::kTimeout));
  std::this_thread::sleep_for(550ms);
  CHECK(take(fetches, 10, 4).empty());
}

TEST_CASE("F1: a waiter that is interrupted leaves at once, and the fetch goes on") {
  Fetches fetches(kRoom);
  const auto fetch = fetches.begin("object", 0, 10);
  std::stop_source stop;
  std::jthread waiter([&] {
    Patience patience(stop.get_token());
    CHECK(take(fetches, 0, 4) == failed(Errc::kInterrupted));
  });
  std::this_thread::sleep_for(20ms);
  stop.request_stop();
  waiter.join();
  fill(*fetch, 'x');
  fetch->land(Fetches::Stay::kNot);
  CHECK(take(fetches, 0, 4) == "xxxx");
}

TEST_CASE("F1: when the one who fetches gives up, a waiter may fetch in its place") {
  Fetches fetches(kRoom);
  auto fetch = fetches.begin("object", 0, 10);
  std::jthread waiter([&] {
    CHECK(take(fetches, 0, 4).empty());
    CHECK(fetches.begin("object", 0, 10) != nullptr);
  });
  std::this_thread::sleep_for(20ms);
  fetch.reset();
}

TEST_SUITE_END();

}  // namespace lakefuse::test
