#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client/publisher.h"
#include "tests/client/publisher_words.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_store.h"
#include "tests/support/memory_bytes.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {
namespace {

ObjectInfo publish(Publisher& publisher, const std::string& key, const std::string& bytes) {
  const PublishJob job{.path = path_of(key), .meta = {0, "", {{"mtime", "1"}}}};
  return publisher.publish(job, MemoryBytes(bytes)).value();
}

TEST_CASE("set_metadata: one call; the bytes, the mtime and the nonce stay") {
  MemoryStore lake;
  Publisher publisher(lake);
  const ObjectInfo before = publish(publisher, "a", "bytes");
  lake.forget_calls();
  const ObjectInfo after = publisher.set_metadata(path_of("a"), before, {{"mode", "0755"}}).value();
  CHECK(lake.calls() == 1);
  CHECK(after.metadata.at("mode") == "0755");
  CHECK_FALSE(after.metadata.contains("mtime"));
  CHECK(after.metadata.at(std::string(kNonceKey)) == before.metadata.at(std::string(kNonceKey)));
  CHECK(after.mtime_seconds == before.mtime_seconds);
  CHECK(lake.info("a")->metadata == after.metadata);
  CHECK(lake.info("a")->physical_address == before.physical_address);
}

TEST_CASE("set_metadata: an object that is gone is kNotFound") {
  MemoryStore lake;
  Publisher publisher(lake);
  const ObjectInfo before = publish(publisher, "a", "bytes");
  lake.erase("a");
  CHECK(publisher.set_metadata(path_of("a"), before, {}).error().code == Errc::kNotFound);
}

TEST_CASE("remove: one call, two with an expected version, one when it was seen just now") {
  MemoryStore lake;
  Publisher publisher(lake);
  const auto calls_of = [&](const std::optional<ObjectInfo>& expected, Publisher::Sight sight) {
    lake.forget_calls();
    CHECK(publisher.remove(path_of("a"), expected, sight).has_value());
    CHECK_FALSE(lake.info("a").has_value());
    return lake.calls();
  };
  lake.put("a", "1");
  CHECK(calls_of(std::nullopt, Publisher::Sight::kLook) == 1);
  CHECK(calls_of(lake.put("a", "2"), Publisher::Sight::kLook) == 2);
  CHECK(calls_of(lake.put("a", "3"), Publisher::Sight::kJustNow) == 1);
  const ObjectInfo before = lake.put("a", "4");
  lake.put("a", "5");  // Whatever is there.
  CHECK(calls_of(before, Publisher::Sight::kNone) == 1);
}

TEST_CASE("rule 4: remove_all: neighbours cost a page and a batch; only what was decided on goes") {
  MemoryStore lake;
  Publisher publisher(lake);
  std::vector<Removal> removals;
  for (int i = 0; i < 20; ++i) {
    const std::string path = "d/" + std::to_string(i);
    removals.push_back({.path = path_of(path), .version = lake.put(path, "1")});
  }
  lake.put("d/3", "another client's");
  lake.erase("d/4");
  const ObjectInfo ours = publish(publisher, "d/ours", "bytes");
  removals.push_back({.path = path_of("d/ours"), .version = lake.put("d/old", "1")});
  removals.push_back({.path = path_of("d/old"), .version = lake.info("d/old")});
  lake.put("d/stays", "1");
  lake.forget_calls();
  CHECK(publisher.remove_all(removals).has_value());
  CHECK(lake.calls("list") == 1);
  CHECK(lake.calls("remove_all") == 1);
  CHECK(lake.calls() == 2);
  CHECK(lake.paths() == std::vector<std::string>{"d/3", "d/ours", "d/stays"});
}

TEST_CASE("remove_all: what was linked by an answer that was lost is known by its nonce") {
  MemoryStore lake;
  Publisher publisher(lake);
  const std::string nonce = draw_nonce();
  CHECK(publisher.publish({.path = path_of("a"), .meta = {}, .nonce = nonce}, MemoryBytes("1")).has_value());
  CHECK(publisher.remove_all(std::vector<Removal>{{.path = path_of("a"), .nonce = draw_nonce()}}));
  CHECK(lake.info("a").has_value());
  CHECK(publisher.remove_all(std::vector<Removal>{{.path = path_of("a"), .nonce = nonce}}));
  CHECK_FALSE(lake.info("a").has_value());
}

TEST_CASE("remove_all: many names apart in a directory of many pages are found, each with at most one page") {
  MemoryStore lake;
  Publisher publisher(lake);
  std::vector<Removal> removals;
  for (int i = 10000; i < 13000; ++i) {
    const std::string path = "d/" + std::to_string(i);
    const auto version = lake.put(path, "1");
    if (i % 500 == 0) removals.push_back({.path = path_of(path), .version = version});
  }
  lake.forget_calls();
  CHECK(publisher.remove_all(removals).has_value());
  CHECK(lake.calls() <= removals.size() + 1);
  CHECK(lake.paths().size() == 3000 - removals.size());
}

TEST_CASE("rule 1: remove_all after a lost answer looks again, and leaves alone what came since") {
  MemoryStore lake;
  FakeClock clock;
  FaultyStore faulty(lake, {.when = FaultPlan::When::kAfterWork, .operation = "remove_all"}, &clock);
  Publisher publisher(faulty, [&](std::chrono::milliseconds pause) {
    lake.put("b", "another client's");
    return clock.sleep(pause);
  });
  const std::vector<Removal> removals{{.path = path_of("a"), .version = lake.put("a", "1")},
                                      {.path = path_of("b"), .version = lake.put("b", "2")}};
  CHECK(publisher.remove_all(removals).has_value());
  CHECK(lake.paths() == std::vector<std::string>{"b"});
}

TEST_CASE("remove: what is absent already is removed; another version is left alone") {
  MemoryStore lake;
  Publisher publisher(lake);
  CHECK(publisher.remove(path_of("a"), std::nullopt).has_value());
  const ObjectInfo old = lake.put("a", "old");
  lake.put("a", "theirs");
  CHECK(publisher.remove(path_of("a"), old).error().code == Errc::kConflict);
  CHECK(lake.contents("a") == "theirs");
  lake.erase("a");
  CHECK(publisher.remove(path_of("a"), old).has_value());
}

TEST_CASE("remove: only the claim that is still ours; one with equal bytes is another's") {
  MemoryStore lake;
  Publisher publisher(lake);
  const ObjectInfo ours = publish(publisher, "lock", "");
  lake.erase("lock");
  const ObjectInfo theirs = publish(publisher, "lock", "");
  CHECK(publisher.remove(path_of("lock"), ours).error().code == Errc::kConflict);
  CHECK(lake.info("lock")->physical_address == theirs.physical_address);
}

void put_back(MemoryStore& lake, const ObjectInfo& object) {
  REQUIRE(lake.link(path_of(object.path), {object.physical_address, object.checksum, object.size_bytes},
                    {object.mtime_seconds, object.content_type, object.metadata}, Condition::kNone)
              .has_value());
}

// As a commit puts it back that was just beginning when it was removed.
void bring_back(MemoryStore& lake, const ObjectInfo& object) {
  put_back(lake, object);
  lake.commit();
}

TEST_CASE(
    "rule 3: a version that was removed here and is there again is nobody's, one removed elsewhere is") {
  MemoryStore lake;
  const auto no_pause = [](std::chrono::milliseconds) { return Result<>(); };
  Publisher publisher(lake, no_pause);
  Publisher another(lake, no_pause);
  const PublishJob job{.path = path_of("a"), .meta = {}, .expected = Expectation::absent()};
  const ObjectInfo source = publish(publisher, "b", "source");
  for (const bool in_a_batch : {false, true}) {
    CAPTURE(in_a_batch);
    const ObjectInfo old = publish(publisher, "a", "old");
    const auto removed = [&]() -> Result<> {
      if (!in_a_batch) return publisher.remove(path_of("a"), old, Publisher::Sight::kNone);
      const auto others = publisher.remove_all(std::vector<Removal>{{path_of("a"), old}});
      return others ? Result<>() : others.error();
    }();
    REQUIRE(removed.has_value());
    REQUIRE_FALSE(lake.info("a").has_value());
    bring_back(lake, old);
    CHECK(another.publish(job, MemoryBytes("new")).error().code == Errc::kExists);
    CHECK(another.copy(source, path_of("a"), Expectation::absent(), source.metadata).error().code ==
          Errc::kExists);
    CHECK(lake.contents("a") == "old");
    CHECK(publisher.publish(job, MemoryBytes("new")).has_value());
    CHECK(lake.contents("a") == "new");
    lake.erase("a");
    bring_back(lake, old);
    CHECK(publisher.copy(source, path_of("a"), Expectation::absent(), source.metadata).has_value());
    CHECK(lake.contents("a") == "source");
    lake.erase("a");
  }
}

TEST_CASE(
    "rule 3: what another client put back after it was removed here is his, though the address is the same") {
  MemoryStore lake;
  Publisher publisher(lake, [](std::chrono::milliseconds) { return Result<>(); });
  const PublishJob job{.path = path_of("a"), .meta = {}, .expected = Expectation::absent()};
  const ObjectInfo source = publish(publisher, "b", "source");
  const ObjectInfo old = publish(publisher, "a", "old");
  REQUIRE(publisher.remove(path_of("a"), old).has_value());
  put_back(lake, old);  // By a rename there and back, where the server clones.
  CHECK(publisher.publish(job, MemoryBytes("new")).error().code == Errc::kExists);
  CHECK(publisher.copy(source, path_of("a"), Expectation::absent(), source.metadata).error().code ==
        Errc::kExists);
  CHECK(lake.contents("a") == "old");
}

TEST_CASE("rule 3: what was removed is remembered for a minute, by its address, and not without bound") {
  RemovedVersions removed;
  const auto version = [](const std::string& address) {
    ObjectInfo info;
    info.physical_address = address;
    return info;
  };
  const RemovedVersions::Moment start;
  const auto second = std::chrono::seconds(1);
  removed.add("a", version("1"), start);
  removed.add("a", version("2"), start + second);
  CHECK_FALSE(removed.has("a", version("1"), start + second));
  CHECK_FALSE(removed.has("b", version("2"), start + second));
  CHECK(removed.has("a", version("2"), start + 61 * second));
  CHECK_FALSE(removed.has("a", version("2"), start + 62 * second));
  for (int i = 0; i < 10'000; ++i) removed.add("c" + std::to_string(i), version("3"), start + second);
  CHECK_FALSE(removed.has("a", version("2"), start + second));
  CHECK(removed.has("c0", version("3"), start + second));
}

TEST_CASE("copy: a rename costs four calls") {
  MemoryStore lake;
  Publisher publisher(lake);
  const auto calls_of_rename = [&](const ObjectInfo& from, const Expectation& expected,
                                   const Metadata& metadata, Publisher::Sight sight) {
    lake.forget_calls();
    const auto copied = publisher.copy(from, path_of("to"), expected, metadata);
    REQUIRE(copied.has_value());
    CHECK(publisher.remove(path_of("from"), from, sight).has_value());
    CHECK(lake.contents("to") == "bytes");
    for (const auto& [key, value] : metadata) CHECK(lake.info("to")->metadata.at(key) == value);
    CHECK_FALSE(lake.info("from").has_value());
    return lake.calls();
  };
  using Sight = Publisher::Sight;
  const Metadata dated{{"mtime", "1"}};

  SUBCASE("of what we published, with a look before the delete") {
    CHECK(calls_of_rename(publish(publisher, "from", "bytes"), Expectation::absent(), dated, Sight::kLook) ==
          4);
  }
  SUBCASE("of what carries no mtime yet") {
    CHECK(calls_of_rename(lake.put("from", "bytes"), Expectation::absent(), dated, Sight::kJustNow) == 4);
  }
  SUBCASE("of what we published, over another object") {
    const auto from = publish(publisher, "from", "bytes");
    CHECK(calls_of_rename(from, Expectation::of(lake.put("to", "old")), dated, Sight::kJustNow) == 4);
  }
  SUBCASE("over anything") {
    CHECK(calls_of_rename(lake.put("from", "bytes"), Expectation::anything(), dated, Sight::kJustNow) == 4);
  }
}

TEST_CASE("copy: where source or target are not as expected, nothing is changed") {
  MemoryStore lake;
  Publisher publisher(lake);
  const ObjectInfo from = lake.put("from", "bytes");
  const ObjectInfo to = lake.put("to", "old");
  const auto copy_fails = [&](const Expectation& expected, Errc code) {
    const auto there = lake.contents("to");
    const auto copied = publisher.copy(from, path_of("to"), expected, {});
    REQUIRE_FALSE(copied.has_value());
    CHECK(copied.error().code == code);
    CHECK(lake.contents("to") == there);
  };
  copy_fails(Expectation::absent(), Errc::kExists);
  lake.put("to", "theirs");
  copy_fails(Expectation::of(to), Errc::kConflict);
  lake.erase("to");
  copy_fails(Expectation::of(to), Errc::kConflict);

  const ObjectInfo to_again = lake.put("to", "old again");
  lake.put("from", "theirs");
  copy_fails(Expectation::of(to_again), Errc::kConflict);
  copy_fails(Expectation::anything(), Errc::kConflict);
  lake.erase("to");
  copy_fails(Expectation::absent(), Errc::kConflict);
  CHECK(lake.contents("from") == "theirs");

  lake.erase("from");
  copy_fails(Expectation::absent(), Errc::kNotFound);
  copy_fails(Expectation::anything(), Errc::kNotFound);
}

TEST_CASE("copy: a source with equal bytes and another nonce is another version") {
  MemoryStore lake;
  Publisher publisher(lake);
  const ObjectInfo ours = publish(publisher, "from", "");
  publish(publisher, "from", "");
  CHECK(publisher.copy(ours, path_of("to"), Expectation::absent(), ours.metadata).error().code ==
        Errc::kConflict);
  CHECK_FALSE(lake.info("to").has_value());
}

}  // namespace
}  // namespace lakefuse::test
