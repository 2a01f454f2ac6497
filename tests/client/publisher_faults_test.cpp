// Every operation is run again and again, failing at its first call to the lake, its second, and so on until
// it gets through: before the work, after it, and long before it.

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <string>

#include "client/publisher.h"
#include "tests/client/publisher_words.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_store.h"
#include "tests/support/memory_bytes.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {
namespace {

using Presign = MemoryStore::Presign;
using Kind = Expectation::Kind;
using Fate = MemoryBranch::Fate;
using When = FaultPlan::When;

// One lake, made anew for each fault.
struct Trial {
  explicit Trial(Presign presign, const FaultPlan& plan) : lake(presign), faulty(lake, plan, &clock) {}

  // What was put off lands.
  void settle() { REQUIRE(clock.sleep(std::chrono::minutes(1)).has_value()); }

  MemoryStore lake;
  FakeClock clock;
  FaultyStore faulty;
  Publisher publisher{faulty, sleeper(clock)};
  Publisher undisturbed{lake, sleeper(clock)};
};

// `run` makes one trial and says whether the fault was reached.
void at_every_call(const std::function<bool(Presign, const FaultPlan&)>& run) {
  for (const Presign presign : {Presign::kOn, Presign::kOff, Presign::kMultipart})
    for (const When when : {When::kBeforeWork, When::kAfterWork, When::kLongAfter})
      for (const Errc code : {Errc::kUnavailable, Errc::kTimeout, Errc::kTooManyRequests, Errc::kInterrupted,
                              Errc::kUntrustworthy, Errc::kDenied})
        for (const std::size_t times : {1u, 2u, 3u, 100u}) {
          // The server says no only where it does nothing.
          if (code == Errc::kDenied && when != When::kBeforeWork) continue;
          for (std::size_t nth = 0;; ++nth) {
            CAPTURE(nth);
            CAPTURE(times);
            CAPTURE(to_word(code));
            CAPTURE(static_cast<int>(when));
            CAPTURE(static_cast<int>(presign));
            REQUIRE(nth < 100);
            if (!run(presign, {.nth = nth, .code = code, .when = when, .times = times})) break;
          }
        }
}

void check_publish(Kind kind, std::optional<Fate> fate) {
  at_every_call([&](Presign presign, const FaultPlan& plan) {
    Trial trial(presign, plan);
    PublishJob job{.path = path_of("a"), .meta = {}, .multipart_from = 1};
    job.expected.kind = kind;
    if (kind != Kind::kAbsent) job.expected.version = trial.lake.put("a", "old");
    job.nonce = draw_nonce();
    if (fate) trial.lake.commit_during_next_link(*fate);

    const auto published = trial.publisher.publish(job, MemoryBytes("new"));
    trial.settle();
    const auto there = trial.lake.contents("a");
    if (published) {
      CHECK(there == "new");
      CHECK(trial.lake.info("a")->physical_address == published->physical_address);
    } else {
      // Nobody else is on this branch: no lost race and no conflict is true.
      CHECK(published.error().code != Errc::kExists);
      CHECK(published.error().code != Errc::kConflict);
      const bool is_claim = presign == Presign::kMultipart && kind == Kind::kAbsent && there == "";
      CHECK((is_claim || there == "new" ||
             there == (kind == Kind::kAbsent ? std::nullopt : std::optional<std::string>("old"))));
      CHECK(trial.undisturbed.publish(job, MemoryBytes("new")).has_value());
      CHECK(trial.lake.contents("a") == "new");
    }
    trial.lake.commit();
    CHECK(trial.lake.contents("a") == "new");
    CHECK((published.has_value() || trial.faulty.reached()));
    return trial.faulty.reached();
  });
}

TEST_CASE(
    "faults: a conditional publish succeeds truly or fails honestly, and the next attempt gets through") {
  check_publish(Kind::kAbsent, std::nullopt);
}

TEST_CASE("faults: the same while a commit overtakes the link") {
  for (const Fate fate : {Fate::kCommitted, Fate::kDropped, Fate::kSeenThenDropped})
    check_publish(Kind::kAbsent, fate);
}

TEST_CASE(
    "faults: a publish over a version succeeds truly or fails honestly, and the next attempt gets through") {
  check_publish(Kind::kVersion, std::nullopt);
}

TEST_CASE(
    "faults: a publish over anything succeeds truly or fails honestly, and the next attempt gets through") {
  check_publish(Kind::kAnything, std::nullopt);
}

TEST_CASE("faults: a lost answer that comes once does not fail a publish at all") {
  const std::map<Presign, std::string> call_of{
      {Presign::kOn, "link"}, {Presign::kOff, "upload_object"}, {Presign::kMultipart, "complete"}};
  for (const Kind kind : {Kind::kAbsent, Kind::kVersion, Kind::kAnything})
    for (const Presign presign : {Presign::kOn, Presign::kOff, Presign::kMultipart})
      for (const When when : {When::kBeforeWork, When::kAfterWork, When::kLongAfter})
        for (const Errc code :
             {Errc::kUnavailable, Errc::kTimeout, Errc::kTooManyRequests, Errc::kUntrustworthy}) {
          Trial trial(presign, {.code = code, .when = when, .operation = call_of.at(presign)});
          PublishJob job{.path = path_of("a"), .meta = {}, .multipart_from = 1};
          job.expected.kind = kind;
          if (kind != Kind::kAbsent) job.expected.version = trial.lake.put("a", "old");
          CHECK(trial.publisher.publish(job, MemoryBytes("new")).has_value());
          CHECK(trial.faulty.reached());
        }
}

TEST_CASE("faults: of us and a client that comes at any moment exactly one wins a new name, and is told so") {
  for (const std::string moment :
       {"upload", "upload_parts", "link", "complete", "upload_object", "stat", "set_metadata"}) {
    at_every_call([&](Presign presign, const FaultPlan& plan) {
      Trial trial(presign, plan);
      bool they_won = false;
      trial.lake.before_next(moment, [&] {
        // As the other client would: only where nothing is.
        if (trial.lake.info("a")) return;
        they_won = true;
        trial.lake.put("a", "theirs");
      });
      const PublishJob job{
          .path = path_of("a"), .meta = {}, .expected = Expectation::absent(), .multipart_from = 1};
      const auto published = trial.publisher.publish(job, MemoryBytes("ours"));
      trial.settle();
      if (published) {
        CHECK_FALSE(they_won);
        CHECK(trial.lake.contents("a") == "ours");
      } else if (they_won) {
        CHECK(trial.lake.contents("a") == "theirs");
      } else {
        CHECK(published.error().code != Errc::kExists);
      }
      return trial.faulty.reached();
    });
  }
}

TEST_CASE("faults: a version that came after ours was opened is never replaced, whatever fails") {
  for (const std::string moment : {"upload_target", "upload", "upload_parts", "stat"}) {
    at_every_call([&](Presign presign, const FaultPlan& plan) {
      Trial trial(presign, plan);
      const ObjectInfo base = trial.lake.put("a", "old");
      bool they_came = false;
      trial.lake.before_next(moment, [&] {
        // Only before our first link: the window after the look is the server's (design W6).
        if (trial.lake.calls("link") + trial.lake.calls("complete") + trial.lake.calls("upload_object") > 0)
          return;
        they_came = true;
        trial.lake.put("a", "theirs");
      });
      const PublishJob job{
          .path = path_of("a"), .meta = {}, .expected = Expectation::of(base), .multipart_from = 1};
      const auto published = trial.publisher.publish(job, MemoryBytes("ours"));
      trial.settle();
      if (they_came) {
        CHECK_FALSE(published.has_value());
        CHECK(trial.lake.contents("a") == "theirs");
      }
      return trial.faulty.reached();
    });
  }
}

TEST_CASE("faults: set_metadata succeeds truly or fails honestly, and never touches the bytes") {
  at_every_call([&](Presign presign, const FaultPlan& plan) {
    Trial trial(presign, plan);
    const ObjectInfo current = trial.lake.put("a", "bytes", {0, "", {{"mode", "old"}}});
    const auto changed = trial.publisher.set_metadata(path_of("a"), current, {{"mode", "new"}});
    trial.settle();
    if (changed) {
      CHECK(trial.lake.info("a")->metadata.at("mode") == "new");
      CHECK(changed->metadata.at("mode") == "new");
      CHECK(changed->mtime_seconds == current.mtime_seconds);
    } else {
      CHECK(changed.error().code != Errc::kConflict);
      CHECK(changed.error().code != Errc::kNotFound);
      CHECK(trial.undisturbed.set_metadata(path_of("a"), current, {{"mode", "new"}}).has_value());
    }
    CHECK(trial.lake.contents("a") == "bytes");
    return trial.faulty.reached();
  });
}

TEST_CASE("faults: remove succeeds truly or fails honestly") {
  for (const bool has_expectation : {true, false}) {
    at_every_call([&](Presign presign, const FaultPlan& plan) {
      Trial trial(presign, plan);
      const ObjectInfo current = trial.lake.put("a", "bytes");
      const auto expected = has_expectation ? std::optional(current) : std::nullopt;
      const auto removed = trial.publisher.remove(path_of("a"), expected);
      trial.settle();
      if (removed) {
        CHECK_FALSE(trial.lake.info("a").has_value());
      } else {
        CHECK(removed.error().code != Errc::kConflict);
        CHECK(trial.undisturbed.remove(path_of("a"), expected).has_value());
      }
      return trial.faulty.reached();
    });
  }
}

TEST_CASE("faults: remove leaves a version alone that came while its answer was lost") {
  for (const When when : {When::kBeforeWork, When::kAfterWork}) {
    Trial trial(Presign::kOn, {.when = when, .operation = "remove"});
    const ObjectInfo current = trial.lake.put("a", "old");
    // Not the look before, the one after.
    trial.lake.before_next("stat",
                           [&] { trial.lake.before_next("stat", [&] { trial.lake.put("a", "theirs"); }); });
    CHECK(trial.publisher.remove(path_of("a"), current).error().code == Errc::kConflict);
    CHECK(trial.lake.contents("a") == "theirs");
  }
}

TEST_CASE("faults: copy succeeds truly or fails honestly, never touches the source, and can be tried again") {
  for (const Kind kind : {Kind::kAbsent, Kind::kVersion, Kind::kAnything}) {
    at_every_call([&](Presign presign, const FaultPlan& plan) {
      Trial trial(presign, plan);
      const ObjectInfo from = trial.lake.put("from", "bytes", {0, "", {{"k", "v"}}});
      Expectation expected{.kind = kind, .version = {}};
      if (kind != Kind::kAbsent) expected.version = trial.lake.put("to", "old");
      const Metadata wanted{{"k", "v"}, {"mtime", "1"}};
      const auto copied = trial.publisher.copy(from, path_of("to"), expected, wanted);
      trial.settle();
      if (copied) {
        CHECK(trial.lake.contents("to") == "bytes");
        CHECK(copied->metadata == wanted);
        CHECK(trial.lake.info("to")->metadata == wanted);
      } else {
        CHECK(copied.error().code != Errc::kConflict);
        CHECK(copied.error().code != Errc::kExists);
        if (kind != Kind::kAbsent)
          CHECK((trial.lake.contents("to") == "bytes" || trial.lake.contents("to") == "old"));
      }
      CHECK(trial.lake.contents("from") == "bytes");
      return trial.faulty.reached();
    });
  }
}

}  // namespace
}  // namespace lakefuse::test
