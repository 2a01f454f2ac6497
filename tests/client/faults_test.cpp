// F1 and F4 of the client: whatever goes wrong, a call ends in time with a cause that fits, and with no false
// bytes.

#include <pthread.h>

#include <optional>
#include <thread>

#include "client/patience.h"
#include "support_bytes.h"
#include "support_double_lake.h"
#include "support_scripted_server.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;
using Kind = Fault::Kind;

Result<ObjectInfo> put(ObjectStore& store, const std::string& key, const std::string& text) {
  auto target = store.upload_target(path(key));
  if (!target) return target.error();
  auto uploaded = store.upload(*target, TextSource(text));
  if (!uploaded) return uploaded.error();
  return store.link(path(key), *uploaded, {}, Condition::kNone);
}

}  // namespace

TEST_SUITE_BEGIN("faults");

TEST_CASE("faults: a read gets over what passes, wherever it happens") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello world");
  const Fault passing[] = {{.kind = Kind::kStatus, .status = 429},
                           {.kind = Kind::kStatus, .status = 423},
                           {.kind = Kind::kStatus, .status = 420},
                           {.kind = Kind::kStatus, .status = 503},
                           {.kind = Kind::kStatus, .status = 500},
                           {.kind = Kind::kReset},
                           {.kind = Kind::kLoseAnswer},
                           {.kind = Kind::kCutBody, .bytes = 3},
                           {.kind = Kind::kStall, .delay = 300ms},
                           {.kind = Kind::kThrottle, .bytes = 2'000}};
  for (Fault fault : passing) {
    for (const std::string operation : {"stat_object", "store_get"}) {
      fault.operation = operation;
      CAPTURE(name_of(fault.kind));
      CAPTURE(fault.status);
      CAPTURE(operation);
      const auto store = lake.store();
      const FaultId id = lake.server.add_fault(fault);
      CHECK(read_all(*store, look(*store, "a")).value() == "hello world");
      CHECK(lake.server.fired(id) == 1);
      lake.server.clear_faults();
    }
  }
}

TEST_CASE("faults: a read that never gets its bytes fails, and never with other bytes or zeros") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello world");
  const std::pair<Fault, Errc> lasting[] = {{{.kind = Kind::kStatus, .status = 503}, Errc::kUnavailable},
                                            {{.kind = Kind::kStatus, .status = 429}, Errc::kTooManyRequests},
                                            {{.kind = Kind::kStatus, .status = 501}, Errc::kUnsupported},
                                            {{.kind = Kind::kStatus, .status = 410}, Errc::kDataMissing},
                                            {{.kind = Kind::kReset}, Errc::kUnavailable},
                                            {{.kind = Kind::kCutBody, .bytes = 3}, Errc::kUnavailable},
                                            {{.kind = Kind::kLongLength, .bytes = 3}, Errc::kUntrustworthy},
                                            {{.kind = Kind::kShortLength, .bytes = 3}, Errc::kUntrustworthy},
                                            {{.kind = Kind::kNeverAnswer}, Errc::kTimeout}};
  for (const auto& each : lasting) {
    Fault fault = each.first;
    const Errc code = each.second;
    fault.operation = "store_get";
    fault.times = 0;
    CAPTURE(name_of(fault.kind));
    CAPTURE(fault.status);
    const auto store = lake.store();
    const ObjectInfo a = look(*store, "a");
    lake.server.add_fault(fault);
    const auto read = read_all(*store, a);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == code);
    CHECK(read.error().message.starts_with("store_get of a on lakefs://lake/main"));
    CHECK(read.error().message.find("Signature") == std::string::npos);
    lake.server.clear_faults();
    CHECK(read_all(*store, a).value() == "hello world");  // And nothing of it stays behind.
  }
}

TEST_CASE("faults: the same through the API, where nothing can be presigned") {
  DoubleLake lake({.presign = false});
  lake.server.put_object("lake", "main", "a", "hello world");
  const std::pair<Kind, Errc> lasting[] = {{Kind::kReset, Errc::kUnavailable},
                                           {Kind::kCutBody, Errc::kUnavailable},
                                           {Kind::kLongLength, Errc::kUntrustworthy},
                                           {Kind::kShortLength, Errc::kUntrustworthy},
                                           {Kind::kNeverAnswer, Errc::kTimeout}};
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  for (const auto& each : lasting) {
    const Kind kind = each.first;
    const Errc code = each.second;
    CAPTURE(name_of(kind));
    lake.server.add_fault({.kind = kind, .operation = "get_object", .times = 0, .bytes = 3});
    CHECK(read_all(*store, a).error().code == code);
    lake.server.clear_faults();
    lake.server.add_fault({.kind = kind, .operation = "get_object", .bytes = 3});
    if (code != Errc::kTimeout) CHECK(read_all(*store, a).value() == "hello world");
    lake.server.clear_faults();
  }
}

TEST_CASE("faults: an object whose data the store has lost is kDataMissing") {
  for (const bool presign : {true, false}) {
    DoubleLake lake({.presign = presign});
    lake.server.put_object("lake", "main", "a", "hello");
    const auto store = lake.store();
    const ObjectInfo a = look(*store, "a");
    lake.server.remove_data(a.physical_address);
    CHECK(read_all(*store, a).error().code == Errc::kDataMissing);
  }
}

TEST_CASE("faults: an entry that claims another size than the store holds is not read") {
  for (const std::uint64_t claimed : {3u, 9u}) {
    CAPTURE(claimed);
    PutOptions options;
    options.size_bytes = claimed;
    DoubleLake lake;
    lake.server.put_object("lake", "main", "a", "hello", options);
    const auto store = lake.store();
    CHECK(read_all(*store, look(*store, "a")).error().code == Errc::kUntrustworthy);
  }
}

TEST_CASE("rule 8 of the client: an imported object that changes in place is kStale, whole or in part") {
  DoubleLake lake;
  PutOptions options;
  options.physical_address = "s3://imports/a.bin";
  lake.server.put_object("lake", "main", "a", "hello world", options);
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  CHECK(a.physical_address == "s3://imports/a.bin");
  CHECK(read_all(*store, a).value() == "hello world");
  REQUIRE(comes_true([&] { return lake.server.count("store_get") == 1; }));
  CHECK(lake.server.calls("store_get").at(0).headers.at("if-match") == "\"" + a.checksum + "\"");
  lake.server.replace_data("s3://imports/a.bin", "other bytes");
  CHECK(read_all(*store, a).error().code == Errc::kStale);
}

TEST_CASE("faults: a URL that has expired is renewed, once, without the caller's knowing") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  lake.server.add_fault({.kind = Kind::kExpired, .operation = "store_get"});
  CHECK(read_all(*store, a).value() == "hello");
  CHECK(comes_true([&] { return lake.server.count("stat_object") == 2; }));
  lake.server.set_clock_offset(1h);  // All URLs that we hold are old now, and our own clock does not tell.
  CHECK(read_all(*store, a).value() == "hello");
  lake.server.clear_faults();
  lake.server.add_fault({.kind = Kind::kExpired, .operation = "store_get", .times = 0});
  CHECK(read_all(*store, a).error().code == Errc::kDenied);
}

TEST_CASE("R1 of the client: a renewed URL is never that of a newer version") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "old");
  const auto store = lake.store();
  const ObjectInfo old = look(*store, "a");
  lake.server.put_object("lake", "main", "a", "new");
  CHECK(read_all(*store, old).value() == "old");
  lake.server.add_fault({.kind = Kind::kExpired, .operation = "store_get"});
  CHECK(read_all(*store, old).error().code == Errc::kStale);
}

TEST_CASE(
    "R1 of the client: a version that another thread looks at and replaces meanwhile is read by its URL") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "old");
  const auto store = lake.store();
  const ObjectInfo old = must(store->stat(path("a"), ObjectStore::Look::kEntry));
  const auto stall =
      lake.server.add_fault({.kind = Kind::kStall, .operation = "stat_object", .delay = 300ms});
  std::jthread reader([&] { CHECK(read_all(*store, old).value() == "old"); });
  REQUIRE(comes_true([&] { return lake.server.fired(stall) == 1; }));
  REQUIRE(look(*store, "a").physical_address == old.physical_address);
  lake.server.put_object("lake", "main", "a", "new");
}

TEST_CASE("faults: redirects of data calls are not followed") {
  const ScriptedServer elsewhere(ScriptedServer::always(json_answer(200, "hello")));
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  lake.server.add_fault({.kind = Kind::kRedirect, .body = elsewhere.endpoint() + "/x"});
  CHECK(read_all(*store, a).error().code == Errc::kUntrustworthy);
  lake.server.add_fault({.kind = Kind::kRedirect,
                         .operation = "link_physical_address",
                         .status = 307,
                         .body = elsewhere.endpoint() + "/x"});
  CHECK(put(*store, "b", "x").error().code == Errc::kUntrustworthy);
  CHECK(elsewhere.connections() == 0);
}

TEST_CASE("faults: garbage for JSON is kUntrustworthy in every call that reads JSON") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const auto versions = lake.versions();
  lake.server.add_fault({.kind = Kind::kGarbage, .times = 0});
  CHECK(store->stat(path("a"), ObjectStore::Look::kEntry).error().code == Errc::kUntrustworthy);
  CHECK(store->list({}).error().code == Errc::kUntrustworthy);
  CHECK(store->upload_target(path("a")).error().code == Errc::kUntrustworthy);
  CHECK(store->copy(path("a"), path("b")).error().code == Errc::kUntrustworthy);
  CHECK(store->upload_object(path("a"), TextSource("x"), {}, Condition::kNone).error().code ==
        Errc::kUntrustworthy);
  CHECK(versions->config().error().code == Errc::kUntrustworthy);
  CHECK(versions->repository().error().code == Errc::kUntrustworthy);
  CHECK(versions->branch_head("main").error().code == Errc::kUntrustworthy);
  CHECK(versions->resolve("main").error().code == Errc::kUntrustworthy);
  CHECK(versions->uncommitted("main", "", "").error().code == Errc::kUntrustworthy);
}

TEST_CASE("rule 1 of the client: changes are sent once, whatever the answer") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const std::vector<ObjectPath> paths{path("x")};
  const std::pair<Fault, Errc> faults[] = {
      {{.kind = Kind::kStatusAfter, .status = 429}, Errc::kTooManyRequests},
      {{.kind = Kind::kStatusAfter, .status = 500}, Errc::kUnavailable},
      {{.kind = Kind::kStatusAfter, .status = 503}, Errc::kUnavailable},
      {{.kind = Kind::kLoseAnswer}, Errc::kUnavailable},
      {{.kind = Kind::kNeverAnswer}, Errc::kTimeout}};
  for (const auto& each : faults) {
    Fault fault = each.first;
    const Errc code = each.second;
    CAPTURE(name_of(fault.kind));
    CAPTURE(fault.status);
    const auto once = [&](const std::string& operation, const std::function<Errc()>& call) {
      CAPTURE(operation);
      fault.operation = operation;
      lake.server.clear_log();
      lake.server.add_fault(fault);
      CHECK(call() == code);
      if (fault.kind != Kind::kNeverAnswer)
        CHECK(comes_true([&] { return lake.server.count(operation) == 1; }));
      lake.server.clear_faults();
    };
    once("link_physical_address", [&] { return put(*store, "b", "x").error().code; });
    CHECK(comes_true([&] { return lake.server.count("store_put") == 1; }));  // Not one of those below.
    once("delete_object", [&] { return store->remove(path("x")).error().code; });
    once("delete_objects", [&] { return store->remove_all(paths).error().code; });
    once("upload_object",
         [&] { return store->upload_object(path("u"), TextSource("x"), {}, Condition::kNone).error().code; });
    once("store_put", [&] { return put(*store, "b", "x").error().code; });
    // A copy may take minutes: its deadline is longer than a test.
    if (fault.kind != Kind::kNeverAnswer)
      once("copy_object", [&] { return store->copy(path("a"), path("c")).error().code; });
  }
}

TEST_CASE("faults: set_metadata and get_physical_address get over what passes") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  lake.server.add_fault({.kind = Kind::kStatus, .status = 500, .body = R"({"message":"predicate failed"})"});
  must(store->set_metadata(path("a"), {{"k", "v"}}));
  lake.server.add_fault(
      {.kind = Kind::kStatus, .operation = "get_physical_address", .times = 2, .status = 429});
  must(store->upload_target(path("a")));
}

TEST_CASE("faults: every status of link has its cause") {
  DoubleLake lake;
  const auto store = lake.store();
  const std::tuple<int, const char*, Errc> statuses[] = {
      {400, "link address expired", Errc::kExpired},
      {400, "invalid address signature", Errc::kExpired},
      {400, "checksum is required", Errc::kInvalid},
      {401, "insufficient permissions", Errc::kDenied},
      {403, "cannot write to protected branch", Errc::kReadOnly},
      {403, "read-only repository", Errc::kReadOnly},
      {403, "forbidden", Errc::kDenied},
      {404, "branch not found", Errc::kNotFound},
      {410, "gone", Errc::kDataMissing},
      {412, "Precondition failed", Errc::kExists},
      {420, "x", Errc::kTooManyRequests},
      {423, "x", Errc::kTooManyRequests},
      {429, "Too many attempts, try again later", Errc::kTooManyRequests},
      {500, "x", Errc::kUnavailable},
      {501, "Not Implemented", Errc::kUnsupported},
      {503, "Throughput exceeded. Slow down and retry", Errc::kUnavailable}};
  for (const auto& each : statuses) {
    const int status = std::get<0>(each);
    const std::string message = std::get<1>(each);
    const Errc code = std::get<2>(each);
    CAPTURE(status);
    CAPTURE(message);
    lake.server.add_fault({.kind = Kind::kStatus,
                           .operation = "link_physical_address",
                           .status = status,
                           .body = R"({"message":")" + message + "\"}"});
    const auto linked = put(*store, "b", "x");
    CHECK(linked.error().code == code);
    CHECK(linked.error().message.find(message) != std::string::npos);
    lake.server.clear_faults();
  }
  lake.server.add_fault({.kind = Kind::kConflict409, .operation = "link_physical_address"});
  CHECK(put(*store, "b", "x").error().code == Errc::kConflict);
  must(put(*store, "b", "x"));
}

TEST_CASE("faults: a store that keeps other bytes than were sent is not linked") {
  DoubleLake lake;
  const auto store = lake.store();
  lake.server.add_fault({.kind = Kind::kKeepsOtherBytes, .operation = "store_put"});
  CHECK(put(*store, "a", "hello").error().code == Errc::kUntrustworthy);
  CHECK(lake.server.count("link_physical_address") == 0);
}

TEST_CASE("faults: the store's refusals of an upload say whether a new address helps") {
  DoubleLake lake;
  const auto store = lake.store();
  const auto refusal = [&](int status, const std::string& code) {
    lake.server.add_fault({.kind = Kind::kStatus,
                           .operation = "store_put",
                           .status = status,
                           .body = "<Error><Code>" + code + "</Code><Message>m</Message></Error>"});
    const auto linked = put(*store, "a", "hello");
    lake.server.clear_faults();
    CHECK(linked.error().message.find(code) != std::string::npos);
    CHECK(linked.error().message.find("X-Amz") == std::string::npos);
    return linked.error().code;
  };
  CHECK(refusal(403, "AccessDenied") == Errc::kExpired);
  CHECK(refusal(412, "PreconditionFailed") == Errc::kExpired);
  CHECK(refusal(409, "ConditionalRequestConflict") == Errc::kExpired);
  CHECK(refusal(400, "ExpiredToken") == Errc::kExpired);
  CHECK(refusal(400, "BadDigest") == Errc::kUntrustworthy);
  CHECK(refusal(400, "EntityTooLarge") == Errc::kTooLarge);
  CHECK(refusal(404, "NoSuchBucket") == Errc::kUnavailable);
  CHECK(refusal(503, "SlowDown") == Errc::kUnavailable);
}

TEST_CASE("faults: a store that knows no If-None-Match is asked without it, from then on") {
  DoubleLake lake;
  const auto store = lake.store();
  lake.server.add_fault({.kind = Kind::kStatus, .operation = "store_put", .status = 501});
  must(put(*store, "a", "hello"));
  must(put(*store, "b", "hello"));
  REQUIRE(comes_true([&] { return lake.server.count("store_put") == 3; }));
  const auto puts = lake.server.calls("store_put");
  CHECK_FALSE(puts.at(2).headers.contains("if-none-match"));
}

TEST_CASE("faults: a large upload refused early, or reset in the middle, ends at once") {
  DoubleLake lake;
  const auto store = lake.store();
  const TextSource large(std::string(20'000'000, 'x'));
  const auto start = std::chrono::steady_clock::now();
  lake.server.add_fault({.kind = Kind::kStatusEarly, .operation = "store_put", .status = 403});
  CHECK(store->upload(must(store->upload_target(path("a"))), large).error().code == Errc::kExpired);
  lake.server.add_fault({.kind = Kind::kReset, .operation = "store_put", .bytes = 5'000'000});
  CHECK(store->upload(must(store->upload_target(path("a"))), large).error().code == Errc::kUnavailable);
  CHECK(std::chrono::steady_clock::now() - start < 10s);
}

TEST_CASE("faults: an upload that moves slowly has no deadline, a store that stands still has one") {
  DoubleLake lake;
  lake.access.idle_timeout = 1s;
  const auto store = lake.store();
  lake.server.add_fault({.kind = Kind::kThrottle, .operation = "store_put", .bytes = 4'000'000});
  must(put(*store, "a", std::string(12'000'000, 'x')));  // Three seconds.
  lake.server.add_fault({.kind = Kind::kNeverAnswer, .operation = "store_put"});
  CHECK(put(*store, "a", "hello").error().code == Errc::kTimeout);
}

TEST_CASE("F1 of the client: a dead server is told within the deadline, and found again when it lives") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  lake.server.stop();
  const auto start = std::chrono::steady_clock::now();
  CHECK(read_all(*store, a).error().code == Errc::kUnavailable);
  const auto refused = store->list({});
  CHECK(refused.error().code == Errc::kUnavailable);
  CHECK(refused.error().message.find("no connection to http://127.0.0.1") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - start < 5s);
  lake.server.start();
  CHECK(read_all(*store, a).value() == "hello");
}

TEST_CASE("F1 of the client: the end of Patience ends any call within a second") {
  DoubleLake lake;
  lake.access.idle_timeout = 60s;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto store = lake.store();
  const ObjectInfo a = look(*store, "a");
  const auto target = must(store->upload_target(path("b")));
  lake.server.add_fault({.kind = Kind::kNeverAnswer, .times = 0});
  const std::function<Errc()> calls[] = {
      [&] { return store->list({}).error().code; }, [&] { return read_all(*store, a).error().code; },
      [&] { return store->upload(target, TextSource(std::string(30'000'000, 'x'))).error().code; },
      [&] { return store->copy(path("a"), path("c")).error().code; },
      [&] { return store->remove(path("a")).error().code; }};
  for (const auto& call : calls) {
    std::stop_source stop;
    std::thread signal([&] {
      std::this_thread::sleep_for(300ms);
      stop.request_stop();
    });
    const Patience patience(stop.get_token());
    const auto start = std::chrono::steady_clock::now();
    CHECK(call() == Errc::kInterrupted);
    CHECK(std::chrono::steady_clock::now() - start < 1300ms);
    signal.join();
  }
}

TEST_CASE("faults: a commit whose answer is lost is found at the head and not made twice") {
  for (const Fault& fault :
       {Fault{.kind = Kind::kLoseAnswer}, Fault{.kind = Kind::kStatusAfter, .status = 500},
        Fault{.kind = Kind::kStatusAfter, .status = 429}, Fault{.kind = Kind::kGarbage}}) {
    CAPTURE(name_of(fault.kind));
    DoubleLake lake;
    lake.server.put_object("lake", "main", "a", "hello");
    const auto versions = lake.versions();
    Fault commit = fault;
    commit.operation = "commit";
    lake.server.add_fault(commit);
    const CommitInfo made = must(versions->commit("main", "first", {{"k", "v"}}));
    CHECK(made.id == lake.server.head("lake", "main"));
    CHECK(comes_true([&] { return lake.server.count("commit") == 1; }));
  }
}

TEST_CASE("faults: a commit that did not happen is not taken for another one") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  const auto versions = lake.versions();
  must(versions->commit("main", "same message", {}));
  lake.server.put_object("lake", "main", "a", "again");
  lake.server.add_fault({.kind = Kind::kStatus, .operation = "commit", .status = 503});
  CHECK(versions->commit("main", "same message", {}).error().code == Errc::kUnavailable);
  lake.server.add_fault({.kind = Kind::kStatus,
                         .operation = "commit",
                         .status = 412,
                         .body = R"({"message":"pre-commit hook aborted, run id 'x': no"})"});
  const auto refused = versions->commit("main", "x", {});
  CHECK(refused.error().code == Errc::kDenied);
  CHECK(refused.error().message.find("hook aborted") != std::string::npos);
}

TEST_CASE("faults: a commit that another one kept from starting is tried again") {
  DoubleLake lake;
  lake.server.put_object("lake", "main", "a", "hello");
  lake.server.add_fault({.kind = Kind::kStatus,
                         .operation = "commit",
                         .status = 500,
                         .body = R"({"message":"predicate failed"})"});
  must(lake.versions()->commit("main", "first", {}));
  CHECK(comes_true([&] { return lake.server.count("commit") == 2; }));
}

TEST_SUITE_END();

TEST_CASE("faults: a part is sent again after what passes, to a fresh URL where its own is too old") {
  DoubleLake lake;
  const std::string bytes(std::size_t{17} << 20, 'p');
  const Fault passing[] = {{.kind = Kind::kStatus, .operation = "store_put_part", .status = 503},
                           {.kind = Kind::kLoseAnswer, .operation = "store_put_part"},
                           {.kind = Kind::kReset, .operation = "store_put_part"},
                           {.kind = Kind::kStatus, .operation = "store_put_part", .status = 403}};
  for (const Fault& fault : passing) {
    CAPTURE(name_of(fault.kind));
    CAPTURE(fault.status);
    const auto store = lake.store();
    const FaultId id = lake.server.add_fault(fault);
    auto uploaded = store->upload_parts(path("big"), TextSource(bytes), nullptr);
    REQUIRE_MESSAGE(uploaded.has_value(), uploaded.error().message);
    CHECK(lake.server.fired(id) == 1);
    REQUIRE(store->complete(path("big"), *uploaded, {}).has_value());
    CHECK(read_all(*store, look(*store, "big")).value() == bytes);
    lake.server.clear_faults();
  }
}

TEST_CASE("faults: an upload in parts that fails names the part, ends the others and frees what is there") {
  DoubleLake lake;
  const auto store = lake.store();
  lake.server.add_fault({.kind = Kind::kStatus, .operation = "store_put_part", .times = 0, .status = 400});
  const auto uploaded =
      store->upload_parts(path("big"), TextSource(std::string(std::size_t{33} << 20, 'p')), nullptr);
  REQUIRE_FALSE(uploaded.has_value());
  INFO(uploaded.error().message);
  CHECK(uploaded.error().message.find("store_put of part ") != std::string::npos);
  CHECK(lake.server.wait_for("abort_presign_multipart_upload", 1));
}

TEST_CASE("faults: where no thread can be started the parts go up one after the other") {
  DoubleLake lake;
  const auto store = lake.store();
  const std::string bytes(std::size_t{33} << 20, 'p');
  REQUIRE(store->upload_parts(path("first"), TextSource(bytes), nullptr));  // Keeps connections.
  pthread_attr_t usual, too_large;
  REQUIRE(::pthread_getattr_default_np(&usual) == 0);
  REQUIRE(::pthread_getattr_default_np(&too_large) == 0);
  REQUIRE(::pthread_attr_setstacksize(&too_large, std::size_t{1} << 46) == 0);
  REQUIRE(::pthread_setattr_default_np(&too_large) == 0);
  std::optional<Uploaded> uploaded;
  CHECK_NOTHROW(uploaded = must(store->upload_parts(path("big"), TextSource(bytes), nullptr)));
  CHECK(::pthread_setattr_default_np(&usual) == 0);
  ::pthread_attr_destroy(&usual);
  ::pthread_attr_destroy(&too_large);
  REQUIRE(uploaded);
  REQUIRE(store->complete(path("big"), *uploaded, {}).has_value());
  CHECK((read_all(*store, look(*store, "big")).value() == bytes));
}

}  // namespace lakefuse::test
