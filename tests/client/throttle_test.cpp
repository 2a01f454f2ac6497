#include "client/throttle.h"

#include <doctest/doctest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "client/patience.h"
#include "client/retry.h"
#include "support_scripted_server.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

const Origin kOrigin{false, "lake", 80};

std::vector<Throttle::Turn> turns(Throttle& throttle, int count) {
  std::vector<Throttle::Turn> begun;
  for (int n = 0; n < count; ++n) begun.push_back(*throttle.begin(kOrigin));
  return begun;
}

// How many more it takes at once.
std::size_t room(Throttle& throttle, const Origin& origin = kOrigin) {
  constexpr std::size_t kMany = 100;
  std::jthread over([] {});  // Its stop is asked for at once.
  over.request_stop();
  const Patience none(over.get_stop_token());
  std::vector<Throttle::Turn> begun;
  while (begun.size() < kMany) {
    auto turn = throttle.begin(origin);
    if (!turn) break;
    begun.push_back(*std::move(turn));
  }
  return begun.size();
}

}  // namespace

TEST_CASE("throttle: who is told that these are too many sends half as many, once for all that hear so") {
  Throttle throttle;
  auto begun = turns(throttle, 16);
  CHECK(room(throttle) == 100);
  for (auto& turn : begun) turn.answered(503);
  CHECK(room(throttle) == 0);
  begun.clear();
  CHECK(room(throttle) == 8);
  CHECK(room(throttle, {false, "store", 80}) == 100);
  begun = turns(throttle, 8);
  begun.front().answered(429);
  begun.clear();
  CHECK(room(throttle) == 4);
}

TEST_CASE("throttle: one more for each round of good answers, until all are sent again") {
  Throttle throttle;
  for (auto& turn : turns(throttle, 2)) turn.answered(429);
  CHECK(room(throttle) == 1);
  const auto answer_well = [&](int times) {
    for (int n = 0; n < times; ++n) throttle.begin(kOrigin)->answered(404);
  };
  answer_well(1);
  CHECK(room(throttle) == 2);
  answer_well(2);
  CHECK(room(throttle) == 3);
  answer_well(64 * 64 / 2);
  CHECK(room(throttle) == 100);
}

TEST_CASE("throttle: who finds no place waits for one, and goes all the same before others make him hang") {
  Throttle throttle(100ms);
  auto begun = turns(throttle, 2);
  begun.front().answered(503);
  const auto start = std::chrono::steady_clock::now();
  CHECK(throttle.begin(kOrigin));
  CHECK(std::chrono::steady_clock::now() - start >= 100ms);
  Throttle patient(1h);
  begun = turns(patient, 2);
  begun.front().answered(503);
  std::atomic<bool> has_place = false;
  std::jthread waiting([&] {
    const auto turn = patient.begin(kOrigin);
    has_place = true;
  });
  begun.pop_back();
  std::this_thread::sleep_for(20ms);
  CHECK_FALSE(has_place);
  begun.clear();
  waiting.join();
}

TEST_CASE("throttle: a client sends a server that says 503 fewer requests at once from then on") {
  constexpr int kCallers = 16;
  std::atomic<int> asked = 0, under_way = 0, most = 0;
  const ScriptedServer server([&](ScriptedServer::Peer& peer) {
    while (!peer.request().empty()) {
      if (++asked <= kCallers) {
        while (asked < kCallers) std::this_thread::sleep_for(1ms);  // All of them at once.
        peer.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        continue;
      }
      const int now = ++under_way;
      for (int before = most; before < now && !most.compare_exchange_weak(before, now);) continue;
      std::this_thread::sleep_for(30ms);
      --under_way;
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  HttpClient http(*TlsTrust::load({}));
  const RetryPolicy quick{.attempts = 4, .first_pause = 2ms, .longest_pause = 10ms, .budget = 10s};
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> callers;
    for (int n = 0; n < kCallers; ++n)
      callers.emplace_back([&] {
        const auto outcome = call_repeatedly(http, quick, {false, "127.0.0.1", server.port()}, {}, {},
                                             {5s, 5s, 5s}, Repeat::kSafe);
        if (outcome.response && outcome.response->status == 200) ++good;
      });
  }
  CHECK(good == kCallers);
  CHECK(asked == 2 * kCallers);
  CHECK(most >= 2);
  CHECK(most <= kCallers / 2 + 1);
}

TEST_CASE("F4: throttle: wherever a server's URLs lead, only few origins are remembered") {
  Throttle throttle(1ms);
  for (int n = 0; n < 1000; ++n) {
    auto turn = throttle.begin({false, "store" + std::to_string(n), 80});
    REQUIRE(turn.has_value());
    turn->answered(n % 2 == 0 ? 200 : 429);
  }
  CHECK(throttle.origins() <= 64);
  CHECK(room(throttle) == 100);
}

}  // namespace lakefuse::test
