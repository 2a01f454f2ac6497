#include "client/retry.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

#include "client/patience.h"
#include "support_scripted_server.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

constexpr HttpDeadlines kDeadlines{1s, 1s, 1s};
constexpr RetryPolicy kQuick{.attempts = 4, .first_pause = 2ms, .longest_pause = 10ms, .budget = 10s};
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

HttpOutcome call(HttpClient& client, const ScriptedServer& server, Repeat repeat,
                 const RetryPolicy& policy = kQuick) {
  return call_repeatedly(client, policy, {false, "127.0.0.1", server.port()}, {}, {}, kDeadlines, repeat);
}

HttpClient client() {
  return HttpClient(*TlsTrust::load({}));
}

// Answers the first `failures` requests with `bad` (and closes where that is empty), all others well.
struct Failing {
  int failures;
  std::string bad;
  std::atomic<int> asked{0};
  ScriptedServer server{[this](ScriptedServer::Peer& peer) {
    while (!peer.request().empty()) {
      const bool fail = ++asked <= failures;
      if (fail && bad.empty()) return;
      peer.send(fail ? bad : kOk);
    }
  }};
};

}  // namespace

TEST_CASE("retry: what can pass is tried again where repeating is safe, a bounded number of times") {
  for (const int status : {408, 420, 423, 429, 500, 502, 503, 504}) {
    CAPTURE(status);
    Failing twice{2, json_answer(status, "{}")};
    auto http = client();
    CHECK(call(http, twice.server, Repeat::kSafe).response->status == 200);
    CHECK(twice.asked == 3);
    Failing always{1'000, json_answer(status, "{}")};
    CHECK(call(http, always.server, Repeat::kSafe).response->status == status);
    CHECK(always.asked == 4);
  }
}

TEST_CASE("retry: what cannot pass is not tried again") {
  for (const int status : {302, 400, 401, 403, 404, 409, 410, 412, 501}) {
    CAPTURE(status);
    Failing server{1, json_answer(status, "{}")};
    auto http = client();
    CHECK(call(http, server.server, Repeat::kSafe).response->status == status);
    CHECK(server.asked == 1);
  }
}

TEST_CASE("rule 1 of the client: a call that may have been done is sent once, whatever came back") {
  for (const std::string& bad :
       {json_answer(429, "{}"), json_answer(503, "{}"), json_answer(500, "{}"), std::string()}) {
    Failing server{1, bad};
    auto http = client();
    const HttpOutcome outcome = call(http, server.server, Repeat::kOnce);
    CHECK(server.asked == 1);
    CHECK(outcome.maybe_done);
  }
}

TEST_CASE("retry: a broken connection is one more reason to try a safe call again") {
  Failing server{2, ""};
  auto http = client();
  CHECK(call(http, server.server, Repeat::kSafe).response->status == 200);
}

TEST_CASE("retry: nobody listening is tried again for any call, since nothing was done") {
  std::uint16_t port = 0;
  { port = ScriptedServer(ScriptedServer::always(kOk)).port(); }
  auto http = client();
  const HttpOutcome outcome =
      call_repeatedly(http, kQuick, {false, "127.0.0.1", port}, {}, {}, kDeadlines, Repeat::kOnce);
  CHECK_FALSE(outcome.maybe_done);
  CHECK(outcome.response.error().code == Errc::kUnavailable);
}

TEST_CASE("retry: a deadline that passed is not given a second time") {
  std::atomic<int> asked{0};
  const ScriptedServer silent([&](ScriptedServer::Peer& peer) {
    ++asked;
    peer.wait_for_close();
  });
  auto http = client();
  CHECK(call(http, silent, Repeat::kSafe).response.error().code == Errc::kTimeout);
  CHECK(asked == 1);
}

TEST_CASE("retry: no new try begins when the time is used up") {
  Failing server{1'000, json_answer(503, "{}")};
  auto http = client();
  const RetryPolicy slow{.attempts = 100, .first_pause = 40ms, .longest_pause = 40ms, .budget = 200ms};
  const auto start = std::chrono::steady_clock::now();
  CHECK(call(http, server.server, Repeat::kSafe, slow).response->status == 503);
  CHECK(std::chrono::steady_clock::now() - start < 1s);
}

TEST_CASE("F1 of the client: the end of Patience ends a back-off") {
  Failing server{1'000, json_answer(503, "{}")};
  auto http = client();
  std::stop_source stop;
  std::thread signal([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  const Patience patience(stop.get_token());
  const RetryPolicy slow{.attempts = 4, .first_pause = 20s, .longest_pause = 20s, .budget = 100s};
  const auto start = std::chrono::steady_clock::now();
  CHECK(call(http, server.server, Repeat::kSafe, slow).response.error().code == Errc::kInterrupted);
  CHECK(std::chrono::steady_clock::now() - start < 1s);
  signal.join();
}

TEST_CASE("client: connections are kept, and one that was closed meanwhile is not used") {
  const ScriptedServer keeps(ScriptedServer::always(kOk));
  auto http = client();
  for (int i = 0; i < 5; ++i) CHECK(call(http, keeps, Repeat::kOnce).response->status == 200);
  CHECK(keeps.connections() == 1);

  const ScriptedServer closes([](ScriptedServer::Peer& peer) {
    peer.request();
    peer.send(kOk);  // Says keep-alive and closes.
  });
  for (int i = 0; i < 5; ++i) {
    CHECK(call(http, closes, Repeat::kOnce).response->status == 200);
    std::this_thread::sleep_for(20ms);
  }
  CHECK(closes.connections() == 5);
}

TEST_CASE("client: a kept connection that dies just when it is used costs a safe call nothing") {
  std::atomic<int> connections{0};
  const ScriptedServer server([&](ScriptedServer::Peer& peer) {
    const int number = ++connections;
    peer.request();
    peer.send(kOk);
    if (number == 1) {
      peer.request();  // Takes the second request and closes without a word.
      return;
    }
    while (!peer.request().empty()) peer.send(kOk);
  });
  auto http = client();
  const RetryPolicy never{.attempts = 1};
  CHECK(call(http, server, Repeat::kSafe, never).response->status == 200);
  CHECK(call(http, server, Repeat::kSafe, never).response->status == 200);
  CHECK(connections == 2);
}

TEST_CASE("client: many threads at once have a connection each and get each their own answer") {
  const ScriptedServer echo([](ScriptedServer::Peer& peer) {
    for (std::string request = peer.request(); !request.empty(); request = peer.request()) {
      const std::string target = request.substr(4, request.find(' ', 4) - 4);
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(target.size()) + "\r\n\r\n" + target);
    }
  });
  auto http = client();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        HttpRequest request;
        request.target = "/" + std::to_string(t) + "/" + std::to_string(i);
        const auto outcome =
            http.call({false, "127.0.0.1", echo.port()}, request, {}, kDeadlines, Repeat::kSafe);
        if (!outcome.response || outcome.response->body != request.target) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(echo.connections() <= 16);
}

TEST_CASE("kept connections leave descriptors to others where there are few") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{128, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  constexpr int kAtOnce = 8;
  std::barrier all_there(kAtOnce);
  const ScriptedServer server([&](ScriptedServer::Peer& peer) {
    while (!peer.request().empty()) {
      all_there.arrive_and_wait();
      peer.send(kOk);
    }
  });
  auto http = client();
  for (const int connections : {kAtOnce, kAtOnce + 4}) {
    std::vector<std::jthread> callers;
    for (int i = 0; i < kAtOnce; ++i) callers.emplace_back([&] { call(http, server, Repeat::kSafe); });
    callers.clear();
    CHECK(server.connections() == connections);
  }
  CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("F4: http client: wherever a server's URLs lead, only few connections stay open") {
  std::atomic<int> closed{0};
  std::vector<std::unique_ptr<ScriptedServer>> stores;
  for (int n = 0; n < 40; ++n)
    stores.push_back(std::make_unique<ScriptedServer>([&](ScriptedServer::Peer& peer) {
      while (!peer.request().empty()) peer.send(kOk);
      ++closed;
    }));
  HttpClient http = client();
  for (const auto& store : stores) REQUIRE(call(http, *store, Repeat::kSafe).response.has_value());
  for (int n = 0; n < 1000 && closed < 32; ++n) std::this_thread::sleep_for(1ms);
  CHECK(closed >= 32);
  CHECK(call(http, *stores.back(), Repeat::kSafe).response.has_value());
  CHECK(stores.back()->connections() == 1);
}

}  // namespace lakefuse::test
