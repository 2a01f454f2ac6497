#include "client/http_connection.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>

#include "client/patience.h"
#include "support_bytes.h"
#include "support_scripted_server.h"

// Before the C library's: "127.0.0.2,127.0.0.1.test" has these addresses, in this order.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
  static auto* const next = reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  std::string_view list(host);
  if (!list.ends_with(".test")) return next(host, service, hints, found);
  if ((hints->ai_flags & AI_NUMERICHOST) != 0) return EAI_NONAME;
  list.remove_suffix(std::strlen(".test"));
  addrinfo digits = *hints;
  digits.ai_flags |= AI_NUMERICHOST;
  for (addrinfo** at = found;; at = &(*at)->ai_next) {
    const auto comma = list.find(',');
    if (const int failure = next(std::string(list.substr(0, comma)).c_str(), service, &digits, at))
      return failure;
    if (comma == list.npos) return 0;
    list.remove_prefix(comma + 1);
  }
}

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

constexpr HttpDeadlines kShort{300ms, 300ms, 300ms};
constexpr HttpDeadlines kLong{10s, 30s, 30s};

std::shared_ptr<const TlsTrust> trust() {
  return *TlsTrust::load({});
}

Result<std::unique_ptr<HttpConnection>> open(const ScriptedServer& server,
                                             const HttpDeadlines& deadlines = kLong) {
  return HttpConnection::open({false, "127.0.0.1", server.port()}, *trust(), deadlines);
}

// One GET on a connection of its own.
Result<HttpResponse> get(const ScriptedServer& server, const HttpSink& sink = {},
                         const HttpDeadlines& deadlines = kLong) {
  auto connection = open(server, deadlines);
  if (!connection) return connection.error();
  return (*connection)->exchange({}, sink, deadlines);
}

Result<HttpResponse> answer(const std::string& bytes, const HttpSink& sink = {}) {
  const ScriptedServer server([&](ScriptedServer::Peer& peer) {
    peer.request();
    peer.send(bytes);
  });
  return get(server, sink);
}

// Takes no connection, and says nothing of it.
class DeafAddress {
 public:
  DeafAddress(const char* address, std::uint16_t port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    REQUIRE(inet_pton(AF_INET, address, &at.sin_addr) == 1);
    const auto* const to = reinterpret_cast<const sockaddr*>(&at);
    REQUIRE(::bind(sockets_[0], to, sizeof at) == 0);
    REQUIRE(::listen(sockets_[0], 0) == 0);
    for (int n = 1; n < kSockets; ++n) {  // Its queue is full with the first of them.
      ::fcntl(sockets_[n], F_SETFL, O_NONBLOCK);
      std::ignore = ::connect(sockets_[n], to, sizeof at);
    }
  }
  ~DeafAddress() {
    for (const int one : sockets_) ::close(one);
  }
  DeafAddress(const DeafAddress&) = delete;
  DeafAddress& operator=(const DeafAddress&) = delete;

 private:
  static constexpr int kSockets = 4;
  static int make() { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }
  const int sockets_[kSockets] = {make(), make(), make(), make()};
};

auto since(std::chrono::steady_clock::time_point start) {
  return std::chrono::steady_clock::now() - start;
}

}  // namespace

TEST_CASE("connection: answers are read whatever way their end is told") {
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")->body == "hello");
  CHECK(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
               "chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n")
            ->body == "hello");
  CHECK(answer("HTTP/1.0 200 OK\r\n\r\nhello")->body == "hello");
  CHECK(answer("HTTP/1.1 204 No Content\r\n\r\n")->status == 204);
  CHECK(answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")->status == 404);
  CHECK(answer("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n")->status ==
        302);
}

TEST_CASE("connection: an answer may come byte by byte, after 1xx answers, and in a large chunked body") {
  const ScriptedServer slow([](ScriptedServer::Peer& peer) {
    peer.request();
    for (const char c :
         std::string("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
      peer.send(std::string(1, c));
      std::this_thread::sleep_for(1ms);
    }
  });
  CHECK(get(slow)->body == "ok");
  std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 100; ++i) chunked += "2710\r\n" + std::string(10'000, 'x') + "\r\n";
  const bool whole = answer(chunked + "0\r\n\r\n")->body == std::string(1'000'000, 'x');
  CHECK(whole);
}

TEST_CASE("connection: the answer to a creation (201) may be as long as any, as the URLs of 600 parts are") {
  const std::string urls(300'000, 'u');
  const std::string head = "HTTP/1.1 201 Created\r\n";
  CHECK(answer(head + "Content-Length: 300000\r\n\r\n" + urls)->body.size() == urls.size());
  CHECK(answer(head + "Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + urls + "\r\n0\r\n\r\n")->body.size() ==
        urls.size());
}

TEST_CASE("connection: bytes go straight into the caller's buffer, or not at all") {
  std::string buffer(5, '#');
  const HttpSink sink{.into = std::as_writable_bytes(std::span(buffer))};
  CHECK(answer("HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello", sink)->went_into_sink);
  CHECK(buffer == "hello");
  buffer = "#####";
  CHECK_FALSE(answer("HTTP/1.1 206 Partial\r\nContent-Length: 6\r\n\r\nabcdef", sink)->went_into_sink);
  CHECK_FALSE(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", sink)->went_into_sink);
  CHECK_FALSE(answer("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry", sink)->went_into_sink);
  CHECK(buffer == "#####");
  CHECK(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n", sink)
            ->went_into_sink);
  CHECK(buffer == "world");
}

TEST_CASE("connection: no more than was asked for is read into memory, where the length is not told either") {
  std::string buffer(5, '#');
  const HttpSink sink{.into = std::as_writable_bytes(std::span(buffer))};
  const std::string chunk = "2710\r\n" + std::string(10'000, 'x') + "\r\n";
  const auto long_answer = answer(
      "HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n", sink);
  REQUIRE_FALSE(long_answer.has_value());
  CHECK(long_answer.error().code == Errc::kUntrustworthy);
  CHECK(long_answer.error().message.find("over 5 bytes") != std::string::npos);
  CHECK(buffer == "#####");
}

TEST_CASE("F1: connection: a head that drips does not outlast its deadline, however quick the drops are") {
  const ScriptedServer server([](ScriptedServer::Peer& peer) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nX: ");
    const auto start = std::chrono::steady_clock::now();
    for (int n = 1; n <= 10'000; ++n) {
      while (since(start) < n * 500us) std::this_thread::yield();
      peer.send("x");
    }
  });
  const auto start = std::chrono::steady_clock::now();
  const auto got = get(server, {}, kShort);
  REQUIRE_FALSE(got.has_value());
  CHECK(got.error().code == Errc::kTimeout);
  CHECK(since(start) < 3s);  // The drops take five.
}

TEST_CASE("connection: what is no HTTP, or is meant to hurt, is refused") {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  for (const std::string& bytes :
       {std::string("nonsense\r\n\r\n"), std::string("SSH-2.0-OpenSSH\r\n"),
        head + "Content-Length: -1\r\n\r\n", head + "Content-Length: 99999999999999999999\r\n\r\n",
        head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        head + "X: " + std::string(100'000, 'x') + "\r\n\r\n",
        head + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(200'000, 'x'), head + "no colon\r\n\r\n",
        std::string("HTTP/1.1 101 Switching\r\n\r\n")}) {
    CAPTURE(bytes.substr(0, 80));
    const auto response = answer(bytes);
    REQUIRE_FALSE(response);
    CHECK(response.error().code == Errc::kUntrustworthy);
  }
  std::string interim;
  for (int i = 0; i < 100; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  CHECK(answer(interim + head + "Content-Length: 0\r\n\r\n").error().code == Errc::kUntrustworthy);
}

TEST_CASE("connection: a body beyond the limit is not read") {
  const HttpSink small{.limit = 10};
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", small).error().code ==
        Errc::kUntrustworthy);
  CHECK(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n", small)
            .error()
            .code == Errc::kUntrustworthy);
  CHECK(answer("HTTP/1.0 200 OK\r\n\r\nhello world", small).error().code == Errc::kUntrustworthy);
  // A large page around an error says nothing that the status does not.
  CHECK(answer("HTTP/1.1 500 Oops\r\nContent-Length: 11\r\n\r\nhello world", small)->status == 500);
}

TEST_CASE("connection: an answer that breaks off is kUnavailable, never a short body") {
  std::string buffer(5, '#');
  const HttpSink sink{.into = std::as_writable_bytes(std::span(buffer))};
  CHECK(answer("HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhel", sink).error().code ==
        Errc::kUnavailable);
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").error().code == Errc::kUnavailable);
  CHECK(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel").error().code ==
        Errc::kUnavailable);
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Le").error().code == Errc::kUnavailable);
  CHECK(answer("").error().code == Errc::kUnavailable);
}

TEST_CASE("connection: progress tells whether the other side can have done anything") {
  const ScriptedServer deaf([](ScriptedServer::Peer& peer) { peer.request(); });
  auto connection = *open(deaf);
  CHECK_FALSE(connection->exchange({}, {}, kLong));
  CHECK(connection->progress() == HttpConnection::Progress::kSent);
  const ScriptedServer cut([](ScriptedServer::Peer& peer) {
    peer.request();
    peer.send("HTTP/1.1 2");
  });
  connection = *open(cut);
  CHECK_FALSE(connection->exchange({}, {}, kLong));
  CHECK(connection->progress() == HttpConnection::Progress::kAnswering);
}

TEST_CASE("connection: keep-alive only after an answer that ended where it said") {
  const auto reusable = [](const std::string& bytes) {
    const ScriptedServer server([&](ScriptedServer::Peer& peer) {
      peer.request();
      peer.send(bytes);
      peer.wait_for_close();
    });
    auto connection = *open(server);
    REQUIRE(connection->exchange({}, {}, kLong));
    return connection->is_reusable();
  };
  CHECK(reusable("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  CHECK(reusable("HTTP/1.1 204 No Content\r\n\r\n"));
  CHECK_FALSE(reusable("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"));
  CHECK_FALSE(reusable("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"));
}

TEST_CASE("F1 of the client: a server that says nothing, or stops in the middle, is kTimeout") {
  for (const std::string said :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"}) {
    CAPTURE(said);
    const ScriptedServer server([&](ScriptedServer::Peer& peer) {
      peer.request();
      peer.send(said);
      peer.wait_for_close();
    });
    const auto start = std::chrono::steady_clock::now();
    CHECK(get(server, {}, kShort).error().code == Errc::kTimeout);
    CHECK(since(start) < 3s);
  }
}

TEST_CASE("F1 of the client: a head that drips for ever is kTimeout, although bytes move") {
  const ScriptedServer server([](ScriptedServer::Peer& peer) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100; ++i) {
      peer.send("X: y\r\n");
      std::this_thread::sleep_for(50ms);
    }
  });
  CHECK(get(server, {}, kShort).error().code == Errc::kTimeout);
}

TEST_CASE("F1 of the client: a body that drips for ever is kTimeout, whatever way its end is told") {
  for (const std::string head : {"Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"}) {
    CAPTURE(head);
    const bool chunked = head[0] == 'T';
    const ScriptedServer server([&](ScriptedServer::Peer& peer) {
      peer.request();
      peer.send("HTTP/1.1 200 OK\r\n" + head);
      for (int i = 0; i < 200; ++i) {
        peer.send(chunked ? "1;" + std::string(2'000, 'x') + "\r\nx\r\n" : "xxxxx");
        std::this_thread::sleep_for(50ms);
      }
    });
    const auto start = std::chrono::steady_clock::now();
    const auto got = get(server, {}, kShort);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Errc::kTimeout);
    CHECK(got.error().message.find("sends too slowly") != std::string::npos);
    CHECK(since(start) < 5s);  // It would drip for ten seconds.
  }
}

TEST_CASE("connection: a body over a slow line takes longer than the idle time, and is whole") {
  const ScriptedServer server([](ScriptedServer::Peer& peer) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
    for (int i = 0; i < 12; ++i) {  // 100 KB a second.
      peer.send(std::string(5'000, 'x'));
      std::this_thread::sleep_for(50ms);
    }
  });
  const auto start = std::chrono::steady_clock::now();
  const auto got = get(server, {}, kShort);
  REQUIRE(got);
  CHECK(got->body.size() == 60'000);
  CHECK(since(start) > kShort.idle);
}

TEST_CASE("F1 of the client: nobody listening is kUnavailable at once, an unknown host too") {
  std::uint16_t port = 0;
  {
    port = ScriptedServer([](ScriptedServer::Peer&) {}).port();
  }
  const auto refused = HttpConnection::open({false, "127.0.0.1", port}, *trust(), kLong);
  CHECK(refused.error().code == Errc::kUnavailable);
  CHECK(refused.error().message.find("http://127.0.0.1:" + std::to_string(port)) != std::string::npos);
  const auto unknown = HttpConnection::open({false, "no-such-host.invalid", 80}, *trust(), kLong);
  CHECK((unknown.error().code == Errc::kUnavailable || unknown.error().code == Errc::kTimeout));
}

TEST_CASE("F1 of the client: an address that is dead, or refuses, holds up none of those behind it") {
  const ScriptedServer server(ScriptedServer::always(json_answer(200, "{}")));
  const DeafAddress deaf("127.0.0.2", server.port());
  const auto reach = [&](const std::string& addresses, const HttpDeadlines& deadlines = kLong) {
    return HttpConnection::open({false, addresses + ".test", server.port()}, *trust(), deadlines);
  };
  const auto start = std::chrono::steady_clock::now();
  for (const char* addresses :
       {"127.0.0.2,127.0.0.1", "127.0.0.3,127.0.0.2,127.0.0.1", "127.0.0.1,127.0.0.2"}) {
    auto connection = reach(addresses);
    REQUIRE(connection);
    CHECK((*connection)->exchange({}, {}, kLong)->status == 200);
  }
  CHECK(since(start) < 8s);  // To wait for each that is dead takes half of the deadline: ten seconds.
  const auto late = reach("127.0.0.3,127.0.0.2", kShort);
  CHECK(late.error().code == Errc::kTimeout);
  CHECK(late.error().message.find(" within ") != std::string::npos);
  CHECK(reach("127.0.0.3,127.0.0.4").error().code == Errc::kUnavailable);
}

TEST_CASE("F1 of the client: the end of the thread's Patience ends a wait within a second") {
  const ScriptedServer silent([](ScriptedServer::Peer& peer) { peer.wait_for_close(); });
  std::stop_source stop;
  const auto start = std::chrono::steady_clock::now();
  std::thread signal([&] {
    std::this_thread::sleep_for(200ms);
    stop.request_stop();
  });
  {
    const Patience patience(stop.get_token());
    CHECK(get(silent).error().code == Errc::kInterrupted);
    CHECK(since(start) < 3s);  // A second, and what a busy machine takes; the deadline is thirty.
    CHECK(get(silent).error().code == Errc::kInterrupted);  // Already over: not even started.
  }
  signal.join();
}

TEST_CASE("connection: a body is streamed with its exact length") {
  std::string body(2'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i >> 3);
  std::string received;
  {
    const ScriptedServer server([&](ScriptedServer::Peer& peer) {
      received = peer.request();
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    const TextSource source(body);
    HttpRequest put;
    put.method = "PUT";
    put.source = &source;
    CHECK((*open(server))->exchange(put, {}, kLong)->status == 200);
  }
  CHECK(received.find("Content-Length: 2000000\r\n") != std::string::npos);
  CHECK(received.ends_with(body));
}

TEST_CASE("connection: a server that refuses before it has the body is heard") {
  const ScriptedServer server([](ScriptedServer::Peer& peer) {
    peer.head();
    std::this_thread::sleep_for(100ms);  // By now the other side has filled what the kernel buffers.
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    std::this_thread::sleep_for(2s);  // Neither reads nor closes.
  });
  const TextSource source(std::string(50'000'000, 'x'));
  HttpRequest put;
  put.method = "PUT";
  put.source = &source;
  auto connection = *open(server);
  const auto response = connection->exchange(put, {}, kLong);
  if (!response) FAIL(response.error().message);
  CHECK(response->status == 403);
  CHECK_FALSE(connection->is_reusable());
}

TEST_CASE("connection: success before the body was sent is a contradiction") {
  const ScriptedServer server([](ScriptedServer::Peer& peer) {
    peer.head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    peer.wait_for_close();
  });
  const TextSource source(std::string(50'000'000, 'x'));
  HttpRequest put;
  put.method = "PUT";
  put.source = &source;
  CHECK((*open(server))->exchange(put, {}, kLong).error().code == Errc::kUntrustworthy);
}

TEST_CASE("connection: a source that fails or gets shorter ends the upload with its own cause") {
  const ScriptedServer server([](ScriptedServer::Peer& peer) { peer.wait_for_close(); });
  const TextSource source("short", 1'000);
  HttpRequest put;
  put.method = "PUT";
  put.source = &source;
  CHECK((*open(server))->exchange(put, {}, kLong).error().code == Errc::kLocalIo);
}

}  // namespace lakefuse::test
