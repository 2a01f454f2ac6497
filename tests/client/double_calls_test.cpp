// What each operation costs in calls, and what the calls carry: told by the double's log.

#include <algorithm>

#include "support_bytes.h"
#include "support_double_lake.h"

namespace lakefuse::test {
namespace {

using Counts = std::map<std::string, std::size_t>;

}  // namespace

TEST_CASE("calls: a new file is address, PUT and link; its bytes go past the server") {
  DoubleLake lake;
  const auto store = lake.store();
  const auto target = must(store->upload_target(path("a")));
  must(store->link(path("a"), must(store->upload(target, TextSource("hello"))), {}, Condition::kIfAbsent));
  CHECK(comes_true([&] {
    return lake.server.counts() ==
           Counts{{"get_physical_address", 1}, {"store_put", 1}, {"link_physical_address", 1}};
  }));
  CHECK(lake.server.read_object("lake", "main", "a") == "hello");
}

TEST_CASE("calls: a cold open and read is one stat and one GET; further reads are one GET each") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  CHECK(read_all(*store, a).value() == "hello");
  CHECK(comes_true([&] { return lake.server.counts() == Counts{{"stat_object", 1}, {"store_get", 1}}; }));
  CHECK(read_all(*store, a).value() == "hello");
  CHECK(comes_true([&] { return lake.server.counts() == Counts{{"stat_object", 1}, {"store_get", 2}}; }));
}

TEST_CASE("calls: an address that came from a listing is the one that a presigned stat says") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const ObjectInfo listed = must(store->list({})).entries.at(0).object;
  CHECK(listed.physical_address == look(*store, "a").physical_address);
  CHECK(listed.physical_address == lake.server.stat("lake", "main", "a")->physical_address);
  CHECK(read_all(*store, listed).value() == "hello");
}

TEST_CASE("calls: 1,000 objects are one listing, and an empty object is read without a call") {
  DoubleLake lake;
  for (int i = 0; i < 1'500; ++i) lake.server.put_object("lake", "main", "d/" + std::to_string(i), "");
  const auto store = lake.store();
  const ListPage first = must(store->list({.prefix = "d/"}));
  CHECK(first.entries.size() == 1'000);
  CHECK(must(store->list({.prefix = "d/", .after = first.next})).entries.size() == 500);
  CHECK(comes_true([&] { return lake.server.count() == 2; }));
  CHECK(read_all(*store, first.entries[0].object).value().empty());
  CHECK(comes_true([&] { return lake.server.count() == 2; }));
}

TEST_CASE("calls: one connection to each origin is enough for one caller") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  for (int i = 0; i < 5; ++i) read_all(*store, look(*store, "a")).value();
  std::map<std::string, std::vector<std::uint64_t>> connections;
  CHECK(comes_true([&] { return lake.server.count() == 10; }));
  for (const Call& call : lake.server.calls()) connections[call.operation].push_back(call.connection);
  for (const auto& each : connections) {
    const std::string& operation = each.first;
    const auto& numbers = each.second;
    CAPTURE(operation);
    CHECK(std::count(numbers.begin(), numbers.end(), numbers.front()) == 5);
  }
}

TEST_CASE("calls: connections that the server closed meanwhile cost no failure") {
  DoubleLake lake;
  const auto store = lake.store();
  for (int i = 0; i < 3; ++i) {
    const auto uploaded = must(store->upload(must(store->upload_target(path("a"))), TextSource("hello")));
    must(store->link(path("a"), uploaded, {}, Condition::kNone));
    lake.server.drop_connections();
  }
}

TEST_CASE("F3 of the client: our credentials go to the lake's origin only") {
  DoubleLake lake;
  const auto store = lake.store();
  const auto uploaded = must(store->upload(must(store->upload_target(path("a"))), TextSource("hello")));
  must(store->link(path("a"), uploaded, {}, Condition::kNone));
  read_all(*store, look(*store, "a")).value();
  CHECK(comes_true([&] { return lake.server.count() == 5; }));
  for (const Call& call : lake.server.calls()) {
    CAPTURE(call.operation);
    const bool to_store = call.operation.starts_with("store_");
    CHECK(call.headers.contains("authorization") != to_store);
    CHECK_FALSE(call.headers.contains("cookie"));
    CHECK(call.headers.at("user-agent").starts_with("lakefuse/"));
  }
}

TEST_CASE(
    "rule 5 of the client: an upload says its MD5, its exact length, and that the address must be new") {
  DoubleLake lake;
  const auto store = lake.store();
  must(store->upload(must(store->upload_target(path("a"))), TextSource("hello")));
  must(store->upload(must(store->upload_target(path("b"))), TextSource("")));
  REQUIRE(comes_true([&] { return lake.server.count("store_put") == 2; }));
  const auto puts = lake.server.calls("store_put");
  CHECK(puts.at(0).headers.at("content-md5") == "XUFAKrxLKna5cZ2REBfFkg==");
  CHECK(puts.at(0).headers.at("content-length") == "5");
  CHECK(puts.at(0).headers.at("if-none-match") == "*");
  CHECK(puts.at(1).headers.at("content-length") == "0");
  CHECK_FALSE(puts.at(1).headers.contains("transfer-encoding"));
}

TEST_CASE("rule 13 of the client: a digest that was made before goes on, and a wrong one is made anew") {
  class Digested final : public TextSource {
   public:
    Digested(const std::string& text, const std::string& beginning) : TextSource(text) {
      md5_.add(std::as_bytes(std::span(beginning)));
    }
    [[nodiscard]] const RunningMd5* digested() const override { return &md5_; }

   private:
    RunningMd5 md5_ = must(RunningMd5::begin());
  };
  const std::string of_hello = "XUFAKrxLKna5cZ2REBfFkg==";
  DevServerOptions options;
  SUBCASE("in one PUT") {}
  SUBCASE("through the server") {
    options.presign = false;
  }
  DoubleLake lake(options);
  const auto store = lake.store();
  const auto upload = [&](const std::string& name, const ByteSource& body) {
    if (!options.presign) return must(store->upload_object(path(name), body, {}, Condition::kNone)).checksum;
    return must(store->upload(must(store->upload_target(path(name))), body)).checksum;
  };
  const std::string checksum = "5d41402abc4b2a76b9719d911017c592";
  CHECK(upload("right", Digested("hello", "hel")) == checksum);
  CHECK(upload("whole", Digested("hello", "hello")) == checksum);
  CHECK(upload("wrong", Digested("hello", "hal")) == checksum);
  CHECK(upload("long", Digested("hello", "hello!")) == checksum);
  if (!options.presign) return;
  REQUIRE(comes_true([&] { return lake.server.count("store_put") == 5; }));
  const auto puts = lake.server.calls("store_put");
  CHECK(std::count_if(puts.begin(), puts.end(),
                      [&](const Call& call) { return call.headers.at("content-md5") == of_hello; }) == 4);
}

TEST_CASE("rule 5 of the client: an address takes bytes once") {
  DoubleLake lake;
  const auto store = lake.store();
  const auto target = must(store->upload_target(path("a")));
  must(store->upload(target, TextSource("hello")));
  CHECK(store->upload(target, TextSource("other")).error().code == Errc::kExpired);
}

TEST_CASE("ways in: Basic, Bearer and the three cookies; and bad ones are refused in words") {
  DoubleLake lake;
  const std::string token = lake.server.issue_token();
  std::vector<Credentials> good{
      BasicCredentials{lake.server.access_key_id(), Secret(lake.server.secret_access_key())},
      BearerToken{Secret(token)}};
  for (const char* name : {"internal_auth_session", "oidc_auth_session", "saml_auth_session"})
    good.emplace_back(SessionCookie{name, Secret(token)});
  for (const Credentials& credentials : good) {
    lake.access.credentials = credentials;
    CHECK(lake.versions()->config());
  }
  const Credentials bad[] = {BasicCredentials{lake.server.access_key_id(), Secret("wrong-secret")},
                             BearerToken{Secret("wrong-token")},
                             SessionCookie{"oidc_auth_session", Secret("wrong-cookie")}};
  for (const Credentials& credentials : bad) {
    lake.access.credentials = credentials;
    const auto config = lake.versions()->config();
    CHECK(config.error().code == Errc::kUnauthenticated);
    CHECK(config.error().message.find("401 not authorized") != std::string::npos);
    CHECK(config.error().message.find("wrong-") == std::string::npos);
  }
}

TEST_CASE("ways in: a token that runs out is renewed without a remount") {
  DoubleLake lake;
  lake.access.credentials = BearerToken{Secret(lake.server.issue_token(std::chrono::seconds(100)))};
  lake.access.renew_credentials = [&]() -> Result<Credentials> {
    return Credentials(BearerToken{Secret(lake.server.issue_token(std::chrono::hours(24)))});
  };
  const auto store = lake.store();
  must(store->list({}));
  lake.server.set_clock_offset(std::chrono::seconds(200));
  must(store->list({}));
  must(store->upload_object(path("a"), TextSource("hello"), {}, Condition::kNone));
}

}  // namespace lakefuse::test
