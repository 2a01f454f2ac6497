// Publishing in parts: the completion of a multipart upload takes no condition, and W5 and W6 hold all the
// same.

#include <doctest/doctest.h>

#include <string>

#include "client/publisher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_store.h"
#include "tests/support/memory_bytes.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {
namespace {

PublishJob large(Expectation expected) {
  return {.path = ObjectPath::make("a").value(),
          .meta = {0, "text/plain", {{"k", "v"}}},
          .expected = std::move(expected),
          .multipart_from = 3};
}

// With a clock of its own.
struct SmallLake {
  MemoryStore store{MemoryStore::Presign::kMultipart};
  FakeClock clock;
  FaultyStore faulty{store, FaultPlan{.times = 0}, &clock};
  Publisher publisher{faulty, [this](std::chrono::milliseconds pause) { return clock.sleep(pause); }};
};

}  // namespace

TEST_CASE("parts: a body below the limit goes in one piece") {
  SmallLake lake;
  REQUIRE(lake.publisher.publish(large(Expectation::absent()), MemoryBytes("12")).has_value());
  CHECK(lake.store.calls("upload") == 1);
  CHECK(lake.store.calls("upload_parts") == 0);
}

TEST_CASE("parts: a new name is claimed after the bytes are up, and then filled") {
  SmallLake lake;
  lake.store.before_next("complete", [&] { CHECK(lake.store.contents("a") == ""); });
  lake.store.before_next("upload_parts", [&] { CHECK_FALSE(lake.store.contents("a")); });
  const auto published = lake.publisher.publish(large(Expectation::absent()), MemoryBytes("bytes"));
  REQUIRE(published.has_value());
  CHECK(lake.store.contents("a") == "bytes");
  CHECK(published->metadata.at("k") == "v");
  CHECK(lake.store.calls("upload_parts") == 1);
  CHECK(lake.store.calls("link") == 1);
  CHECK(lake.store.calls("complete") == 1);
  CHECK(lake.store.calls("abandon") == 0);
  CHECK(lake.store.calls() == 6);  // The claim: address, PUT, link; a look before the completion.
}

TEST_CASE("parts: over a version it looks right before it completes") {
  SmallLake lake;
  const ObjectInfo base = lake.store.put("a", "old");
  lake.store.forget_calls();
  REQUIRE(lake.publisher.publish(large(Expectation::of(base)), MemoryBytes("bytes")).has_value());
  CHECK(lake.store.contents("a") == "bytes");
  CHECK(lake.store.calls("stat") == 1);
  CHECK(lake.store.calls() == 3);
}

TEST_CASE("parts: whoever loses a new name is told so, and leaves neither the name nor parts behind") {
  SmallLake lake;
  lake.store.before_next("upload_parts", [&] { lake.store.put("a", "theirs"); });
  const auto published = lake.publisher.publish(large(Expectation::absent()), MemoryBytes("bytes"));
  REQUIRE_FALSE(published.has_value());
  CHECK(published.error().code == Errc::kExists);
  CHECK(lake.store.contents("a") == "theirs");
  CHECK(lake.store.calls("abandon") == 1);
}

TEST_CASE("parts: another version that came meanwhile is not replaced, and the parts are freed") {
  SmallLake lake;
  const ObjectInfo base = lake.store.put("a", "old");
  lake.store.before_next("upload_parts", [&] { lake.store.put("a", "theirs"); });
  const auto published = lake.publisher.publish(large(Expectation::of(base)), MemoryBytes("bytes"));
  REQUIRE_FALSE(published.has_value());
  CHECK(published.error().code == Errc::kConflict);
  CHECK(lake.store.contents("a") == "theirs");
  CHECK(lake.store.calls("abandon") == 1);
}

TEST_CASE("parts: a claim whose bytes are refused for good is taken back") {
  SmallLake lake;
  lake.faulty.replan({.code = Errc::kDenied, .operation = "complete", .times = 100});
  const auto published = lake.publisher.publish(large(Expectation::absent()), MemoryBytes("bytes"));
  REQUIRE_FALSE(published.has_value());
  CHECK(published.error().code == Errc::kDenied);
  CHECK_FALSE(lake.store.contents("a"));
  CHECK(lake.store.calls("abandon") == 1);
}

TEST_CASE("parts: a file that was removed when its bytes were up is not put there, and its parts are freed") {
  SmallLake lake;
  std::stop_source removed;
  PublishJob job = large(Expectation::absent());
  job.unwanted = removed.get_token();
  lake.store.before_next("upload_parts", [&] { removed.request_stop(); });
  const auto published = lake.publisher.publish(job, MemoryBytes("bytes"));
  REQUIRE_FALSE(published.has_value());
  CHECK_FALSE(lake.store.contents("a"));
  CHECK(lake.store.calls("abandon") == 1);
}

TEST_CASE("parts: an upload that was completed already, its answer lost and its entry gone, is made anew") {
  SmallLake lake;
  const ObjectInfo base = lake.store.put("a", "old");
  // Done, and undone by another client before we look.
  lake.faulty.replan(
      {.code = Errc::kUnavailable, .when = FaultPlan::When::kAfterWork, .operation = "complete"});
  const auto published = lake.publisher.publish(large(Expectation::of(base)), MemoryBytes("bytes"));
  REQUIRE(published.has_value());
  CHECK(lake.store.calls("upload_parts") == 1);  // Found by its address.
  // Consumed without an entry: what a completion leaves whose last step the server refused.
  lake.store.before_next("complete", [&] { lake.store.lose_uploads(); });
  REQUIRE(lake.publisher.publish(large(Expectation::of(*published)), MemoryBytes("other")).has_value());
  CHECK(lake.store.contents("a") == "other");
  CHECK(lake.store.calls("upload_parts") == 3);
}

}  // namespace lakefuse::test
