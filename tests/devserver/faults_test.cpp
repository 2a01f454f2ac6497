// Every fault, as a client on the wire sees it, and what the lake holds afterwards.
#include "tests/devserver/faults.h"

#include <doctest/doctest.h>

#include <future>
#include <thread>

#include "tests/devserver/raw_client.h"

namespace lakefuse::test::devserver {
namespace {

using Kind = Fault::Kind;
using std::chrono::milliseconds;

TEST_CASE("a status fault hits the calls it was asked to, and does none of the work") {
  ServedLake lake;
  const FaultId id = lake.server.add_fault({.kind = Kind::kStatus,
                                            .operation = "stat_object",
                                            .path = "*.txt",
                                            .nth = 2,
                                            .times = 2,
                                            .status = 503,
                                            .headers = {{"Retry-After", "1"}}});
  lake.server.put_object("lake", "main", "a.txt", "hello");
  CHECK(lake.client.stat("a.txt").status == 200);
  CHECK(lake.client.stat("other").status == 404);
  const RawAnswer refused = lake.client.stat("a.txt");
  CHECK(refused.status == 503);
  CHECK(refused.headers.at("retry-after") == "1");
  CHECK(refused.text("message") == "Throughput exceeded. Slow down and retry");
  CHECK(lake.client.stat("a.txt").status == 503);
  CHECK(lake.client.stat("a.txt").status == 200);
  CHECK(lake.server.fired(id) == 2);
}

TEST_CASE("a fault with a probability is the same with the same seed") {
  const auto pattern = [] {
    Faults faults;
    faults.add({.kind = Kind::kStatus, .times = 0, .probability = 0.3, .seed = 7});
    std::string hits;
    for (int i = 0; i < 100; ++i) hits += faults.take("stat_object", "a", false) ? 'x' : '.';
    return hits;
  };
  const std::string once = pattern();
  CHECK(once == pattern());
  CHECK(std::count(once.begin(), once.end(), 'x') > 10);
  CHECK(std::count(once.begin(), once.end(), 'x') < 60);
}

TEST_CASE("a lost answer, and a status after the work: the work is done") {
  ServedLake lake;
  lake.server.add_fault({.kind = Kind::kLoseAnswer, .operation = "link_physical_address"});
  CHECK(lake.client.publish("a", "hello").status == 0);
  CHECK(lake.server.read_object("lake", "main", "a") == "hello");
  lake.server.add_fault({.kind = Kind::kStatusAfter, .operation = "link_physical_address", .status = 429});
  CHECK(lake.client.publish("b", "hello").status == 429);
  CHECK(lake.server.read_object("lake", "main", "b") == "hello");
}

TEST_CASE("resets leave nothing behind") {
  ServedLake lake;
  lake.server.add_fault({.kind = Kind::kReset, .operation = "upload_object", .bytes = 100});
  const RawAnswer answer =
      lake.client.send("POST", "/repositories/lake/branches/main/objects?path=a", {}, std::string(5000, 'x'));
  CHECK(answer.status == 0);
  CHECK(lake.server.list_keys("lake", "main").empty());
  CHECK(lake.server.wait_for("upload_object", 1));
  CHECK(lake.server.calls("upload_object").at(0).status == 0);
  CHECK(lake.server.calls("upload_object").at(0).fault == "reset");
}

TEST_CASE("bodies that are cut, that lie about their length, that are no JSON, that have another byte") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "a", "0123456789");
  const auto get_with = [&](Fault fault) {
    fault.operation = "get_object";
    lake.server.add_fault(fault);
    return lake.client.get("a");
  };
  const RawAnswer cut = get_with({.kind = Kind::kCutBody, .bytes = 4});
  CHECK(cut.headers.at("content-length") == "10");
  CHECK(cut.body == "0123");
  const RawAnswer longer = get_with({.kind = Kind::kLongLength, .bytes = 5});
  CHECK(longer.headers.at("content-length") == "15");
  CHECK(longer.body == "0123456789");
  const RawAnswer shorter = get_with({.kind = Kind::kShortLength, .bytes = 5});
  CHECK(shorter.headers.at("content-length") == "5");
  CHECK(shorter.body == "0123456789");
  const RawAnswer garbage = get_with({.kind = Kind::kGarbage});
  CHECK(garbage.status == 200);
  CHECK_FALSE(parse_json(garbage.body));
  const RawAnswer corrupt = get_with({.kind = Kind::kCorruptBody});
  CHECK(corrupt.body.size() == 10);
  CHECK(corrupt.body != "0123456789");
  CHECK(lake.client.get("a").body == "0123456789");
}

TEST_CASE("stalls, throttles, redirects and early answers") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "a", std::string(1000, 'x'));
  const auto seconds_of = [&](Fault fault) {
    lake.server.add_fault(std::move(fault));
    const auto start = std::chrono::steady_clock::now();
    CHECK(lake.client.get("a").status == 200);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  CHECK(seconds_of({.kind = Kind::kStall, .operation = "get_object", .delay = milliseconds(60)}) >= 0.06);
  CHECK(seconds_of({.kind = Kind::kStallAfter, .operation = "get_object", .delay = milliseconds(60)}) >=
        0.06);
  CHECK(seconds_of({.kind = Kind::kThrottle, .operation = "get_object", .bytes = 5000}) >= 0.15);
  lake.server.add_fault({.kind = Kind::kRedirect, .status = 307, .body = "http://127.0.0.1:1/x"});
  const RawAnswer elsewhere = lake.client.get("a");
  CHECK(elsewhere.status == 307);
  CHECK(elsewhere.headers.at("location") == "http://127.0.0.1:1/x");
  lake.server.add_fault({.kind = Kind::kStatusEarly, .operation = "upload_object", .status = 403});
  CHECK(lake.client
            .send("POST", "/repositories/lake/branches/main/objects?path=b", {}, std::string(100000, 'x'))
            .status == 403);
}

TEST_CASE("a call that is never answered ends when the server stops") {
  ServedLake lake;
  lake.server.add_fault({.kind = Kind::kNeverAnswer, .operation = "stat_object"});
  auto waiting = std::async(std::launch::async, [&] { return lake.client.stat("a").status; });
  CHECK(waiting.wait_for(milliseconds(100)) == std::future_status::timeout);
  lake.server.stop();
  CHECK(waiting.get() == 0);
  CHECK(lake.client.stat("a").status == 0);
  lake.server.start();
  CHECK(lake.client.stat("a").status == 404);
}

TEST_CASE("the false 412 in both its forms, on conditional links only") {
  ServedLake lake;
  lake.server.add_fault({.kind = Kind::kFalse412Kept, .operation = "link_physical_address"});
  CHECK(lake.client.publish("plain", "x").status == 200);
  CHECK(lake.client.publish("kept", "x", true).status == 412);
  CHECK(lake.server.read_object("lake", "main", "kept") == "x");
  lake.server.add_fault(
      {.kind = Kind::kFalse412Dropped, .operation = "link_physical_address", .delay = milliseconds(150)});
  CHECK(lake.client.publish("dropped", "x", true).status == 412);
  CHECK(lake.client.stat("dropped").status == 200);
  std::this_thread::sleep_for(milliseconds(400));
  CHECK(lake.client.stat("dropped").status == 404);
  lake.server.add_fault({.kind = Kind::kFalse412Dropped, .operation = "link_physical_address"});
  CHECK(lake.client.publish("gone", "x", true).status == 412);
  CHECK(lake.client.stat("gone").status == 404);
}

TEST_CASE("a late removal is answered as done, and the object is in the commit that came in between") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "a", "x");
  const std::string head = lake.server.head("lake", "main");
  lake.server.add_fault({.kind = Kind::kLateRemoval, .operation = "delete_object"});
  const auto remove = [&] {
    return lake.client.send("DELETE", "/repositories/lake/branches/main/objects?path=a").status;
  };
  CHECK(remove() == 204);
  CHECK(lake.server.head("lake", "main") != head);
  CHECK(lake.server.read_object("lake", "main@", "a") == "x");
  CHECK(lake.client.stat("a").status == 200);
  lake.server.add_fault({.kind = Kind::kLateRemoval, .operation = "delete_object"});
  CHECK(remove() == 204);  // A commit has it by now.
  CHECK(lake.client.stat("a").status == 404);
}

TEST_CASE("a value that is written again before its sealed token goes stays") {
  ServedLake lake;
  lake.server.add_fault(
      {.kind = Kind::kFalse412Dropped, .operation = "link_physical_address", .delay = milliseconds(150)});
  CHECK(lake.client.publish("a", "x", true).status == 412);
  CHECK(lake.client
            .send_json("PUT", "/repositories/lake/branches/main/objects/stat/user_metadata?path=a",
                       json::object{{"set", {{"nonce", "1"}}}})
            .status == 204);
  std::this_thread::sleep_for(milliseconds(400));
  CHECK(lake.client.stat("a").status == 200);
}

TEST_CASE("the 409 of old servers carries an address that works") {
  ServedLake lake;
  lake.server.add_fault({.kind = Kind::kConflict409, .operation = "link_physical_address"});
  const RawAnswer conflict = lake.client.publish("a", "hello");
  CHECK(conflict.status == 409);
  CHECK(lake.client.stat("a").status == 404);
  CHECK(lake.client.send("PUT", conflict.text("presigned_url"), {}, "hello").status == 200);
  CHECK(lake.client.link("a", conflict.text("physical_address"), "hello").status == 200);
  CHECK(lake.server.read_object("lake", "main", "a") == "hello");
}

TEST_CASE("expired: at the link, at the store, from the start, and by the clock") {
  ServedLake lake;
  lake.server.add_fault({.kind = Kind::kExpired, .operation = "link_physical_address"});
  CHECK(lake.client.publish("a", "x").text("message") == "link address expired");
  const RawAnswer place = lake.client.address("a");
  lake.server.add_fault({.kind = Kind::kExpired, .operation = "store_put"});
  CHECK(lake.client.send("PUT", place.text("presigned_url"), {}, "x").status == 403);
  CHECK(lake.client.send("PUT", place.text("presigned_url"), {}, "x").status == 200);
  lake.server.add_fault({.kind = Kind::kExpired, .operation = "get_physical_address"});
  const RawAnswer stale = lake.client.address("a");
  CHECK(lake.client.send("PUT", stale.text("presigned_url"), {}, "x").status == 403);
  CHECK(lake.client.link("a", stale.text("physical_address"), "x").text("message") == "link address expired");
  lake.server.set_clock_offset(std::chrono::minutes(20));
  CHECK(lake.client.send("PUT", place.text("presigned_url"), {}, "x").status == 403);
  CHECK(lake.client.link("a", place.text("physical_address"), "x").status == 200);
  lake.server.set_clock_offset(std::chrono::hours(25));
  CHECK(lake.client.link("a", place.text("physical_address"), "x").status == 400);
}

TEST_CASE("a store that keeps something else than it was sent") {
  ServedLake lake;
  const auto put_with = [&](Kind kind) {
    lake.server.add_fault({.kind = kind, .operation = "store_put"});
    const RawAnswer place = lake.client.address("a");
    const RawAnswer put = lake.client.send("PUT", place.text("presigned_url"), {}, "hello");
    CHECK(put.status == 200);
    CHECK(lake.client.link("a", place.text("physical_address"), "hello").status == 200);
    return trim(put.headers.at("etag"), "\"");
  };
  CHECK(put_with(Kind::kKeepsOtherBytes) != md5_hex("hello"));
  CHECK(lake.client.get("a").body != "hello");
  CHECK(put_with(Kind::kKeepsOtherBytesSecret) == md5_hex("hello"));
  CHECK(lake.client.get("a").body != "hello");
  CHECK(put_with(Kind::kKeepsNothing) == md5_hex("hello"));
  CHECK(lake.client.get("a").status == 410);
}

TEST_CASE("a gate holds calls before the work and after it") {
  ServedLake lake;
  {
    Gate gate = lake.server.hold("link_physical_address");
    auto linked = std::async(std::launch::async, [&] { return lake.client.publish("a", "x").status; });
    CHECK(gate.wait_for_arrivals(1));
    CHECK_FALSE(lake.server.stat("lake", "main", "a"));
    gate.release();
    CHECK(linked.get() == 200);
  }
  Gate gate = lake.server.hold("link_physical_address", "b*", Gate::Where::kAfterWork);
  auto linked = std::async(std::launch::async, [&] { return lake.client.publish("b1", "x").status; });
  CHECK(gate.wait_for_arrivals(1));
  CHECK(lake.server.stat("lake", "main", "b1"));
  CHECK(lake.client.publish("a", "y").status == 200);
  gate.release_one();
  CHECK(linked.get() == 200);
}

TEST_CASE("faults in words") {
  const Fault fault = parse_fault("kind=stall,operation=store_*,delay_ms=30,times=0");
  CHECK(fault.kind == Kind::kStall);
  CHECK(fault.delay == milliseconds(30));
  CHECK(fault.times == 0);
  const Fault same =
      parse_fault(R"({"kind": "stall", "operation": "store_*", "delay_ms": 30, "probability": 0.5})");
  CHECK(same.delay == milliseconds(30));
  CHECK(same.probability == 0.5);
  CHECK_THROWS_AS(parse_fault("kind=nonsense"), std::invalid_argument);
  CHECK_THROWS_AS(parse_fault("colour=red"), std::invalid_argument);
}

}  // namespace
}  // namespace lakefuse::test::devserver
