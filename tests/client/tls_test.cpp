// TLS with an authority of the test's own: trusted when named, refused when not, refused for another host.

#include <openssl/ssl.h>

#include <cstdlib>

#include "client/http_connection.h"
#include "support_bytes.h"
#include "support_double_lake.h"
#include "support_scripted_server.h"
#include "support_temp_directory.h"

namespace lakefuse::test {
namespace {

// A CA, and a certificate signed by it for `names` ("IP:127.0.0.1,DNS:localhost").
class Certificates {
 public:
  explicit Certificates(const std::string& names, int days = 2) {
    const std::string extensions = file("ext");
    run("printf 'subjectAltName=" + names + "' > " + extensions);
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=lakefuse-test-ca -keyout " +
        file("ca.key") + " -out " + file("ca.pem"));
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout " +
        file("server.key") + " -out " + file("server.csr"));
    run("openssl x509 -req -in " + file("server.csr") + " -CA " + file("ca.pem") + " -CAkey " +
        file("ca.key") + " -CAcreateserial -days " + std::to_string(days) + " -extfile " + extensions +
        " -out " + file("server.pem"));
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return (directory_.path() / name).string();
  }
  [[nodiscard]] DevServerOptions options() const {
    DevServerOptions options;
    options.tls_cert = file("server.pem");
    options.tls_key = file("server.key");
    return options;
  }

 private:
  static void run(const std::string& command) {
    REQUIRE(std::system((command + " 2>/dev/null").c_str()) == 0);
  }

  TempDirectory directory_;
};

Result<ServerConfig> config_of(const LakeAccess& access) {
  auto lake = Lake::open(access);
  if (!lake) return lake.error();
  return (*lake)->versions("lake")->config();
}

}  // namespace

TEST_SUITE_BEGIN("tls");

TEST_CASE("tls: with its authority named, lake and store are reached, large bodies and all") {
  const Certificates certificates("IP:127.0.0.1,DNS:localhost");
  DoubleLake lake(certificates.options());
  lake.access.ca_file = certificates.file("ca.pem");
  const auto store = lake.store();
  const std::string large(5'000'000, 'x');
  const auto target = must(store->upload_target(path("a")));
  must(store->link(path("a"), must(store->upload(target, TextSource(large))), {}, Condition::kIfAbsent));
  const bool same = read_all(*store, look(*store, "a")).value() == large;
  CHECK(same);
  CHECK(comes_true([&] { return lake.server.count("store_get") == 1; }));
  lake.server.drop_connections();
  must(store->list({}));
}

TEST_CASE("tls: through a proxy the other end is the lake, by its own certificate") {
  const Certificates certificates("DNS:lake.invalid");
  DoubleLake lake(certificates.options());
  const std::string port = lake.server.endpoint().substr(lake.server.endpoint().rfind(':') + 1);
  std::string heard;
  ScriptedServer proxy([&](ScriptedServer::Peer& peer) {
    heard = peer.head();
    peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
    peer.connect_to(static_cast<std::uint16_t>(std::stoi(port)));
  });
  lake.access.endpoint = "https://lake.invalid:" + port;
  lake.access.proxies = Proxies([&](const std::string& name) {
    return name == "HTTPS_PROXY" ? std::optional(proxy.endpoint()) : std::nullopt;
  });
  CHECK(config_of(lake.access).error().code == Errc::kUntrustworthy);  // The proxy vouches for nobody.
  lake.access.ca_file = certificates.file("ca.pem");
  CHECK(config_of(lake.access));
  CHECK(heard == "CONNECT lake.invalid:" + port + " HTTP/1.1\r\nHost: lake.invalid:" + port + "\r\n\r\n");
}

TEST_CASE(
    "tls: a new connection takes up the session of an earlier one, and no certificate is verified anew") {
  const Certificates certificates("IP:127.0.0.1");
  DevServer server(certificates.options());
  const auto trust = must(TlsTrust::load(certificates.file("ca.pem")));
  const Origin origin = must(parse_url(server.endpoint())).origin;
  const auto call_anew = [&](const Origin& to) {
    const auto connection = must(HttpConnection::open(to, *trust, {}));
    must(connection->exchange({}, {}, {}));
    return SSL_CTX_sess_hits(trust->context());
  };
  CHECK(call_anew(origin) == 0);
  CHECK(call_anew(origin) == 1);
  CHECK(call_anew(origin) == 2);
  CHECK(call_anew(must(parse_url(server.store_endpoint())).origin) == 2);  // Each vouches for itself alone.
}

TEST_CASE("tls: by name as well as by address") {
  const Certificates certificates("DNS:localhost");
  DoubleLake lake(certificates.options());
  lake.access.ca_file = certificates.file("ca.pem");
  CHECK(config_of(lake.access).error().code == Errc::kUntrustworthy);  // By address: it names no such one.
  lake.access.endpoint.replace(lake.access.endpoint.find("127.0.0.1"), 9, "localhost");
  CHECK(config_of(lake.access));
}

TEST_CASE(
    "tls: an authority that nobody named, another host and an expired certificate are refused in words") {
  const Certificates good("IP:127.0.0.1");
  const Certificates other_host("DNS:lakefs.example.com,IP:10.0.0.1");
  const Certificates other_ca("IP:127.0.0.1");
  const auto refusal = [](const Certificates& server, const std::string& ca_file) {
    DoubleLake lake(server.options());
    lake.access.ca_file = ca_file;
    const auto config = config_of(lake.access);
    REQUIRE_FALSE(config);
    CHECK(config.error().code == Errc::kUntrustworthy);
    CHECK(config.error().message.find("https://127.0.0.1") != std::string::npos);
    CHECK(lake.server.count() == 0);  // Not a byte of a request went there.
    return config.error().message;
  };
  CHECK(refusal(good, "").find("--ca-file") != std::string::npos);
  refusal(good, other_ca.file("ca.pem"));
  CHECK(refusal(other_host, other_host.file("ca.pem")).find("mismatch") != std::string::npos);
}

TEST_CASE("tls: a CA file that cannot be read is told before anything is called") {
  const ScriptedServer server(ScriptedServer::always(json_answer(200, "{}")));
  LakeAccess access;
  access.endpoint = server.endpoint();
  access.credentials = BearerToken{Secret("x")};
  for (const std::string& file : {std::string("/gone.pem"), std::string("/etc/hostname")}) {
    access.ca_file = file;
    const auto lake = Lake::open(access);
    CHECK(lake.error().code == Errc::kLocalIo);
    CHECK(lake.error().message.find(file) != std::string::npos);
  }
  CHECK(server.connections() == 0);
}

TEST_CASE("tls: a server that speaks no TLS is refused, and one that says nothing is kTimeout") {
  const ScriptedServer plain([](ScriptedServer::Peer& peer) {
    peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    peer.wait_for_close();
  });
  const ScriptedServer silent([](ScriptedServer::Peer& peer) { peer.wait_for_close(); });
  LakeAccess access;
  access.credentials = BearerToken{Secret("x")};
  access.connect_timeout = std::chrono::milliseconds(500);
  access.endpoint = "https://127.0.0.1:" + std::to_string(plain.port());
  CHECK(config_of(access).error().code == Errc::kUntrustworthy);
  access.endpoint = "https://127.0.0.1:" + std::to_string(silent.port());
  CHECK(config_of(access).error().code == Errc::kTimeout);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
