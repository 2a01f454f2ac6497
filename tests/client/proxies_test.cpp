#include "client/proxies.h"

#include <doctest/doctest.h>

#include <map>

#include "client/http_client.h"
#include "support_scripted_server.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

using Variables = std::map<std::string, std::string>;

Proxies proxies(const Variables& variables) {
  return Proxies([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

// Who is asked for that URL: "straight", or the proxy.
std::string way(const Proxies& proxies, const std::string& url) {
  const auto proxy = proxies.towards(parse_url(url).value().origin);
  if (!proxy) return proxy.error().message;
  return *proxy ? to_string((*proxy)->origin) : "straight";
}

}  // namespace

TEST_CASE("proxies: each scheme has its variable, in capitals or not, and this machine has none") {
  const Proxies both = proxies({{"HTTP_PROXY", "http://plain:3128"}, {"https_proxy", "tls:3129/"}});
  CHECK(way(both, "http://lake.example:8000") == "http://plain:3128");
  CHECK(way(both, "https://lake.example") == "http://tls:3129");
  for (const char* here :
       {"http://localhost:8000", "http://127.0.0.1", "http://127.8.9.1", "https://[::1]:8000"})
    CHECK(way(both, here) == "straight");
  CHECK(way(proxies({}), "https://lake.example") == "straight");
  CHECK(way(proxies({{"ALL_PROXY", "http://p"}, {"HTTP_PROXY", ""}}), "http://lake.example") == "straight");
}

TEST_CASE("proxies: NO_PROXY names domains, hosts, addresses and networks, with ports or without") {
  const Proxies some = proxies({{"HTTP_PROXY", "http://p:1"},
                                {"NO_PROXY",
                                 "Example.com, .below.org,*.also.org,host:8000,10.1.2.3,"
                                 "192.168.0.0/16,fd00::/8,[2001:db8::1]:80,nonsense:x,1.2.3.0/99,,"}});
  for (const char* straight : {"http://example.com", "http://a.b.example.com", "http://a.below.org",
                               "http://a.also.org", "http://host:8000", "http://10.1.2.3:99",
                               "http://192.168.255.1", "http://[fd12::1]", "http://[2001:db8::1]"})
    CHECK(way(some, straight) == "straight");
  for (const char* by_proxy : {"http://badexample.com", "http://below.org", "http://also.org", "http://host",
                               "http://10.1.2.4", "http://192.169.0.1", "http://[fe80::1]",
                               "http://[2001:db8::1]:81", "http://1.2.3.4", "http://nonsense"})
    CHECK(way(some, by_proxy) == "http://p:1");
  CHECK(way(proxies({{"HTTP_PROXY", "http://p:1"}, {"no_proxy", "*"}}), "http://lake.example") == "straight");
}

TEST_CASE("proxies: one that cannot be used is refused by its name, and only where it would be used") {
  const Proxies bad = proxies({{"HTTP_PROXY", "socks5://user:hunter2@p"},
                               {"HTTPS_PROXY", "https://user:hunter2@p"},
                               {"NO_PROXY", "near"}});
  CHECK(way(bad, "http://far") == "HTTP_PROXY: the scheme is neither http nor https");
  CHECK(way(bad, "https://far") == "HTTPS_PROXY: only proxies at http:// are known here");
  CHECK(way(bad, "https://near") == "straight");
}

TEST_CASE("proxies: plain http is asked of the proxy by its whole URL, with the proxy's password") {
  std::string heard;
  ScriptedServer proxy([&](ScriptedServer::Peer& peer) {
    heard = peer.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    peer.wait_for_close();
  });
  HttpClient client(
      TlsTrust::load({}).value(),
      proxies({{"HTTP_PROXY", "http://user:pass%3Aword@127.0.0.1:" + std::to_string(proxy.port())}}));
  HttpRequest request;
  request.target = "/api/v1/config?a=b";
  const auto outcome = client.call({false, "lake.invalid", 8000}, request, {}, {1s, 1s, 1s}, Repeat::kSafe);
  REQUIRE(outcome.response);
  CHECK(outcome.response->body == "ok");
  CHECK(heard.starts_with(
      "GET http://lake.invalid:8000/api/v1/config?a=b HTTP/1.1\r\nHost: lake.invalid:8000\r\n"));
  CHECK(heard.find("\r\nProxy-Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n") != std::string::npos);
}

TEST_CASE("proxies: a proxy that refuses a way through is named, and nothing of ours was sent") {
  std::string heard;
  ScriptedServer proxy([&](ScriptedServer::Peer& peer) {
    heard = peer.request();
    peer.send("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n");
    peer.wait_for_close();
  });
  const std::string at = "http://127.0.0.1:" + std::to_string(proxy.port());
  HttpClient client(TlsTrust::load({}).value(), proxies({{"HTTPS_PROXY", at}}));
  HttpRequest request;
  request.headers.add("Authorization", "Basic c2VjcmV0");
  const auto outcome = client.call({true, "lake.invalid", 443}, request, {}, {1s, 1s, 1s}, Repeat::kOnce);
  REQUIRE_FALSE(outcome.response);
  CHECK_FALSE(outcome.maybe_done);
  CHECK(outcome.response.error().message ==
        "https://lake.invalid is not reached: the proxy " + at + " answers 407");
  CHECK(heard == "CONNECT lake.invalid:443 HTTP/1.1\r\nHost: lake.invalid:443\r\n\r\n");
}

}  // namespace lakefuse::test
