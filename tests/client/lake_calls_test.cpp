#include "client/lake_calls.h"

#include <doctest/doctest.h>

#include <atomic>

#include "support_scripted_server.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

LakeAccess access_to(const ScriptedServer& server) {
  LakeAccess access;
  access.endpoint = server.endpoint() + "/api/v1";
  access.credentials = BasicCredentials{"AKIA", Secret("hunter2")};
  access.retries.attempts = 1;
  access.idle_timeout = 2s;
  return access;
}

LakeCalls calls_to(const LakeAccess& access) {
  return {access, *parse_url(access.endpoint), *TlsTrust::load({})};
}

Error failure(const std::string& answer) {
  const ScriptedServer server(ScriptedServer::always(answer));
  auto calls = calls_to(access_to(server));
  auto response = calls.call({.name = "stat_object", .subject = "a on lakefs://r/main", .target = "/x"});
  REQUIRE_FALSE(response);
  CHECK(response.error().message.starts_with("stat_object of a on lakefs://r/main: "));
  return response.error();
}

}  // namespace

TEST_CASE("lake calls: the credentials and our name go along") {
  std::string request;
  {
    const ScriptedServer server([&](ScriptedServer::Peer& peer) {
      request = peer.request();
      peer.send(json_answer(200, "{}"));
    });
    auto calls = calls_to(access_to(server));
    CHECK(calls.call_for_json({.name = "x", .target = "/user?path=a%2Bb"}));
  }
  CHECK(request.starts_with("GET /api/v1/user?path=a%2Bb HTTP/1.1\r\n"));
  CHECK(request.find("Authorization: Basic QUtJQTpodW50ZXIy\r\n") != std::string::npos);
  CHECK(request.find("User-Agent: lakefuse/") != std::string::npos);
}

TEST_CASE("lake calls: credentials that the server does not know are asked for again, once") {
  std::atomic<int> renewals{0}, refused{0};
  const ScriptedServer server([&](ScriptedServer::Peer& peer) {
    for (std::string request = peer.request(); !request.empty(); request = peer.request()) {
      const bool good = request.find("Bearer new") != std::string::npos;
      if (!good) ++refused;
      peer.send(good ? json_answer(200, "{}")
                     : json_answer(401, R"({"message":"error authenticating request"})"));
    }
  });
  LakeAccess access = access_to(server);
  access.credentials = BearerToken{Secret("old")};
  access.renew_credentials = [&]() -> Result<Credentials> {
    ++renewals;
    return Credentials(BearerToken{Secret("new")});
  };
  auto calls = calls_to(access);
  const LakeCall once{.name = "x", .target = "/x", .repeat = Repeat::kOnce};
  CHECK(calls.call(once));
  CHECK(calls.call(once));
  CHECK(renewals == 1);
  CHECK(refused == 1);

  access.renew_credentials = [&]() -> Result<Credentials> { return Credentials(BearerToken{Secret("old")}); };
  auto same = calls_to(access);
  CHECK(same.call(once).error().code == Errc::kUnauthenticated);
  CHECK(refused == 2);  // The same ones again are not worth a call.
}

TEST_CASE(
    "lake calls: 401 is told apart: unknown credentials, missing permission, and by a second call where "
    "unclear") {
  CHECK(failure(json_answer(401, R"({"message":"error authenticating request"})")).code ==
        Errc::kUnauthenticated);
  CHECK(failure(json_answer(401, R"({"message":"insufficient permissions: x"})")).code == Errc::kDenied);
  CHECK(failure(json_answer(401, R"({"message":"insufficient permissions"}{"message":"other"})")).code ==
        Errc::kDenied);
  for (const bool known : {true, false}) {
    const ScriptedServer server([&](ScriptedServer::Peer& peer) {
      for (std::string request = peer.request(); !request.empty(); request = peer.request()) {
        const bool asks_who = request.starts_with("GET /api/v1/user ");
        peer.send(asks_who && known ? json_answer(200, "{}")
                                    : json_answer(401, R"({"message":"computer says no"})"));
      }
    });
    auto calls = calls_to(access_to(server));
    CHECK(calls.call({.name = "x", .target = "/x"}).error().code ==
          (known ? Errc::kDenied : Errc::kUnauthenticated));
  }
}

TEST_CASE("lake calls: not found is believed of lakeFS only, not of a proxy's page") {
  CHECK(failure(json_answer(404, R"({"message":"not found"})")).code == Errc::kNotFound);
  CHECK(
      failure("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>")
          .code == Errc::kUntrustworthy);
  CHECK(failure("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").code == Errc::kUntrustworthy);
  CHECK(failure(json_answer(404, R"({"message":"invalid API endpoint"})")).code == Errc::kUntrustworthy);
}

TEST_CASE("lake calls: an answer that is no JSON where it should be is told with the endpoint") {
  const ScriptedServer server(ScriptedServer::always(
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"));
  auto calls = calls_to(access_to(server));
  const auto response = calls.call_for_json({.name = "get_config", .subject = "x", .target = "/config"});
  CHECK(response.error().code == Errc::kUntrustworthy);
  CHECK(response.error().message.find(server.endpoint()) != std::string::npos);
}

TEST_CASE("F3 of the client: a server that says our secrets back does not get them into an error") {
  for (const std::string& echoed : {std::string("hunter2"), std::string("QUtJQTpodW50ZXIy")}) {
    const Error error = failure(json_answer(400, R"({"message":"bad: Basic )" + echoed + R"( indeed"})"));
    CHECK(error.message.find(echoed) == std::string::npos);
    CHECK(error.message.find("indeed") != std::string::npos);
  }
  const Error url = failure(json_answer(500, R"({"message":"http://s/x?X-Amz-Signature=hush"})"));
  CHECK(url.message.find("hush") == std::string::npos);
}

TEST_CASE("F3 of the client: nor does a proxy that says its password back, or another's of the user's") {
  ScriptedServer proxy([](ScriptedServer::Peer& peer) {
    for (std::string request = peer.request(); !request.empty(); request = peer.request()) {
      const std::string body =
          "you sent " + request.substr(request.find("Proxy-Authorization")) + " pass:word far";
      peer.send("HTTP/1.1 407 Who\r\nContent-Type: text/plain\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  });
  LakeAccess access;
  access.endpoint = "http://lake.invalid:8000/api/v1";
  access.retries.attempts = 1;
  access.proxies = Proxies([&](const std::string& name) -> std::optional<std::string> {
    if (name == "HTTPS_PROXY") return "http://user:far@127.0.0.1:1";
    if (name != "HTTP_PROXY") return std::nullopt;
    return "http://user:pass%3Aword@127.0.0.1:" + std::to_string(proxy.port());
  });
  auto calls = calls_to(access);
  const auto response = calls.call({.name = "x", .target = "/x"});
  REQUIRE_FALSE(response);
  CHECK(response.error().code == Errc::kUnavailable);
  CHECK(response.error().message.find("you sent") != std::string::npos);
  for (const char* secret : {"dXNlcjpwYXNzOndvcmQ=", "pass:word", "far"}) {
    CAPTURE(secret);
    CHECK(response.error().message.find(secret) == std::string::npos);
  }
}

TEST_CASE("F3 of the client: redirects are not followed, so that credentials stay where they belong") {
  const ScriptedServer other(ScriptedServer::always(json_answer(200, "{}")));
  const Error error =
      failure("HTTP/1.1 302 Found\r\nLocation: " + other.endpoint() + "/x\r\nContent-Length: 0\r\n\r\n");
  CHECK(error.code == Errc::kUntrustworthy);
  CHECK(error.message.find("redirect") != std::string::npos);
  CHECK(other.connections() == 0);
}

TEST_CASE("lake calls: a slow call, or one with much to store, is given longer for its answer") {
  const ScriptedServer server(ScriptedServer::always(json_answer(200, "{}")));
  auto calls = calls_to(access_to(server));
  CHECK(calls.deadlines(0).answer == 2s);
  CHECK(calls.deadlines(0, true).answer == 40s);
  CHECK(calls.deadlines(std::uint64_t{5} << 30).answer > 500s);
  CHECK(calls.deadlines(std::uint64_t{5} << 30).idle == 2s);
}

}  // namespace lakefuse::test
