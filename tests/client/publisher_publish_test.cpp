#include "client/publisher.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>

#include "client/patience.h"
#include "tests/client/publisher_words.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_store.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/gated_store.h"
#include "tests/support/memory_bytes.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {
namespace {

using Presign = MemoryStore::Presign;
using Fate = MemoryBranch::Fate;
using When = FaultPlan::When;

PublishJob job_for(const std::string& key, Expectation expected) {
  return {.path = path_of(key),
          .meta = {1'600'000'000, "text/plain", {{"k", "v"}}},
          .expected = std::move(expected)};
}

Errc code_of(const Result<ObjectInfo>& result) {
  REQUIRE_FALSE(result.has_value());
  return result.error().code;
}

TEST_CASE("publish: a new name costs three calls, an overwrite four, and one less with a target at hand") {
  MemoryStore lake;
  Publisher publisher(lake);
  const auto calls_of = [&](PublishJob job) {
    lake.forget_calls();
    CHECK(publisher.publish(job, MemoryBytes("x")).has_value());
    return lake.calls();
  };
  CHECK(calls_of(job_for("new", Expectation::absent())) == 3);
  CHECK(calls_of(job_for("new", Expectation::of(*lake.info("new")))) == 4);
  CHECK(calls_of(job_for("new", Expectation::anything())) == 3);

  auto job = job_for("other", Expectation::absent());
  job.target = lake.upload_target(job.path).value();
  CHECK(calls_of(job) == 2);
  job.expected = Expectation::of(*lake.info("other"));
  job.target = lake.upload_target(job.path).value();
  CHECK(calls_of(job) == 3);

  job = job_for("lock", Expectation::absent());
  job.look_again = true;
  CHECK(calls_of(job) == 4);
}

TEST_CASE("publish: where nothing can be presigned it takes one call, or two to look first") {
  MemoryStore lake(Presign::kOff);
  Publisher publisher(lake);
  CHECK(publisher.publish(job_for("a", Expectation::absent()), MemoryBytes("1")).has_value());
  CHECK(lake.calls() == 1);
  CHECK(publisher.publish(job_for("a", Expectation::of(*lake.info("a"))), MemoryBytes("2")).has_value());
  CHECK(lake.calls() == 3);
  CHECK(publisher.publish(job_for("a", Expectation::anything()), MemoryBytes("3")).has_value());
  CHECK(lake.calls() == 4);
  CHECK(lake.contents("a") == "3");
}

TEST_CASE("publish: the look comes right before the link, after the bytes are up") {
  MemoryStore lake;
  const ObjectInfo base = lake.put("a", "old");
  lake.before_next("upload", [&] { lake.put("a", "theirs, during the upload"); });
  CHECK(code_of(Publisher(lake).publish(job_for("a", Expectation::of(base)), MemoryBytes("new"))) ==
        Errc::kConflict);
  CHECK(lake.contents("a") == "theirs, during the upload");
  CHECK(lake.calls("link") == 0);
}

TEST_CASE("publish: the entry says what the job says, and carries a nonce of its own") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    MemoryStore lake(presign);
    Publisher publisher(lake);
    auto job = job_for("a", Expectation::absent());
    job.meta.metadata[std::string(kNonceKey)] = "of the version before";
    const ObjectInfo first = publisher.publish(job, MemoryBytes("x")).value();
    job.expected = Expectation::of(first);
    const ObjectInfo second = publisher.publish(job, MemoryBytes("x")).value();

    CHECK(second.metadata.at("k") == "v");
    CHECK(second.content_type == "text/plain");
    CHECK(second.size_bytes == 1);
    if (presign == Presign::kOn) CHECK(second.mtime_seconds == 1'600'000'000);
    const std::string key(kNonceKey);
    CHECK(first.metadata.at(key) != "of the version before");
    CHECK(first.metadata.at(key) != second.metadata.at(key));
    CHECK_FALSE(same_version(first, second));
  }
}

TEST_CASE("publish: an O_EXCL name that is there is kExists, and stays as it is") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    MemoryStore lake(presign);
    lake.put("a", "theirs");
    CHECK(code_of(Publisher(lake).publish(job_for("a", Expectation::absent()), MemoryBytes("ours"))) ==
          Errc::kExists);
    CHECK(lake.contents("a") == "theirs");
  }
}

TEST_CASE("publish: another version, or none, where one was expected is a conflict") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    MemoryStore lake(presign);
    Publisher publisher(lake);
    const ObjectInfo base = lake.put("a", "old");
    lake.put("a", "theirs");
    CHECK(code_of(publisher.publish(job_for("a", Expectation::of(base)), MemoryBytes("ours"))) ==
          Errc::kConflict);
    CHECK(lake.contents("a") == "theirs");
    lake.erase("a");
    CHECK(code_of(publisher.publish(job_for("a", Expectation::of(base)), MemoryBytes("ours"))) ==
          Errc::kConflict);
    CHECK_FALSE(lake.contents("a").has_value());
  }
}

TEST_CASE("publish: an older, equal record that a commit put back is the version that was expected") {
  MemoryStore lake;
  lake.put("a", "same");
  lake.commit();
  const ObjectInfo base = lake.put("a", "same");
  lake.commit();
  REQUIRE(lake.info("a")->physical_address != base.physical_address);
  CHECK(Publisher(lake).publish(job_for("a", Expectation::of(base)), MemoryBytes("new")).has_value());
  CHECK(lake.contents("a") == "new");
}

TEST_CASE("publish: a 412 that a commit caused is no EEXIST, whatever the commit did with the value") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    for (const Fate fate : {Fate::kCommitted, Fate::kDropped, Fate::kSeenThenDropped}) {
      MemoryStore lake(presign);
      FakeClock clock;
      lake.commit_during_next_link(fate);
      const auto linked =
          Publisher(lake, sleeper(clock)).publish(job_for("a", Expectation::absent()), MemoryBytes("ours"));
      REQUIRE(linked.has_value());
      CHECK(lake.contents("a") == "ours");
      CHECK(lake.info("a")->physical_address == linked->physical_address);
      lake.commit();
      CHECK(lake.committed("a")->physical_address == linked->physical_address);
    }
  }
}

TEST_CASE("publish: after a false 412 a client that came in between has won, and is not replaced") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    for (const Fate fate : {Fate::kCommitted, Fate::kDropped, Fate::kSeenThenDropped}) {
      for (const std::string before : {"stat", "set_metadata"}) {
        MemoryStore lake(presign);
        FakeClock clock;
        lake.commit_during_next_link(fate);
        ObjectInfo theirs;
        lake.before_next(before, [&] { theirs = lake.put("a", "theirs"); });
        const auto linked =
            Publisher(lake, sleeper(clock)).publish(job_for("a", Expectation::absent()), MemoryBytes("ours"));
        // Where the value is dropped nothing is re-asserted, and nobody comes in between.
        if (theirs.path.empty()) continue;
        // A ghost is the last that the first stat sees.
        CHECK(code_of(linked) == Errc::kExists);
        CHECK(lake.contents("a") == "theirs");
      }
    }
  }
}

TEST_CASE("publish: where nothing can be presigned, who came in between keeps the mark they know it by") {
  MemoryStore lake(Presign::kOff);
  FakeClock clock;
  lake.commit_during_next_link(Fate::kSeenThenDropped);
  const EntryMeta marked{0, {}, {{std::string(kNonceKey), "theirs"}}};
  clock.call_later(std::chrono::milliseconds(5), [&] { lake.put("a", "theirs", marked); });
  lake.before_next("set_metadata", [&] { lake.put("a", "theirs", marked); });
  CHECK(code_of(Publisher(lake, sleeper(clock))
                    .publish(job_for("a", Expectation::absent()), MemoryBytes("ours"))) == Errc::kExists);
  CHECK(lake.info("a")->metadata == marked.metadata);
}

TEST_CASE("publish: who sees another's entry that the commit drops, and whose own stays, has won") {
  // Told that the name is taken; told to try again later; told nothing.
  for (const Errc told : {Errc::kExists, Errc::kTooManyRequests, Errc::kUnavailable}) {
    MemoryStore lake;
    FakeClock clock;
    FaultyStore faulty(lake, {.code = told, .when = When::kAfterWork, .operation = "link"});
    lake.before_next("link", [&] {
      const auto target = lake.upload_target(path_of("a")).value();
      const auto uploaded = lake.upload(target, MemoryBytes("theirs")).value();
      lake.commit_during_next_link(Fate::kSeenThenDropped);
      REQUIRE_FALSE(lake.link(path_of("a"), uploaded, {}, Condition::kIfAbsent).has_value());
    });
    const auto linked =
        Publisher(faulty, sleeper(clock)).publish(job_for("a", Expectation::absent()), MemoryBytes("ours"));
    CHECK(linked.has_value());
    CHECK(lake.contents("a") == "ours");
  }
}

TEST_CASE("publish: a server that names another winner at each look is given up") {
  // As one of several behind one address, the others of which lag behind.
  class Fickle : public ForwardingStore {
   public:
    using ForwardingStore::ForwardingStore;
    Result<UploadTarget> upload_target(const ObjectPath& path) override {
      auto target = ForwardingStore::upload_target(path);
      ours = target->physical_address;
      return target;
    }
    Result<ObjectInfo> stat(const ObjectPath& path, Look look) override {
      auto found = ForwardingStore::stat(path, look);
      if (++looks % 2 == 0 && looks < 1000) found->physical_address = ours;
      return found;
    }
    std::string ours;
    int looks = 0;

   private:
    Decision decide(std::string_view) override { return {}; }
    void put_off(std::function<void()>) override {}
  };
  MemoryStore lake;
  FakeClock clock;
  lake.put("a", "theirs");
  Fickle fickle(lake);
  const auto linked =
      Publisher(fickle, sleeper(clock)).publish(job_for("a", Expectation::absent()), MemoryBytes("ours"));
  CHECK(code_of(linked) == Errc::kUnavailable);
  CHECK(fickle.looks < 50);
  CHECK(lake.contents("a") == "theirs");
}

TEST_CASE("publish: a name seen lately is looked at once more after winning it") {
  MemoryStore lake;
  FakeClock clock;
  Publisher publisher(lake, sleeper(clock));
  auto job = job_for("lock", Expectation::absent());
  job.look_again = true;

  // The delete of the last holder runs again and takes ours along: we ask anew.
  lake.before_next("stat", [&] { lake.erase("lock"); });
  auto won = publisher.publish(job, MemoryBytes(""));
  REQUIRE(won.has_value());
  CHECK(lake.info("lock")->physical_address == won->physical_address);
  CHECK(lake.calls("link") == 2);

  // The same, and another client is faster.
  lake.erase("lock");
  lake.before_next("stat", [&] {
    lake.erase("lock");
    lake.put("lock", "theirs");
  });
  CHECK(code_of(publisher.publish(job, MemoryBytes(""))) == Errc::kExists);
  CHECK(lake.contents("lock") == "theirs");
}

TEST_CASE("publish: an expired target is replaced by a new one, and none takes bytes twice") {
  for (const std::string operation : {"upload", "link"}) {
    for (const std::size_t times : {1u, 2u}) {
      MemoryStore lake;
      FaultyStore faulty(lake, {.code = Errc::kExpired, .operation = operation, .times = times});
      auto job = job_for("a", Expectation::absent());
      job.target = lake.upload_target(job.path).value();
      CHECK(Publisher(faulty).publish(job, MemoryBytes("new")).has_value());
      CHECK(lake.contents("a") == "new");
      CHECK(lake.calls("upload_target") == 1 + times);
    }
    MemoryStore lake;
    FaultyStore faulty(lake, {.code = Errc::kExpired, .operation = operation, .times = 100});
    CHECK(code_of(Publisher(faulty).publish(job_for("a", Expectation::absent()), MemoryBytes("new"))) ==
          Errc::kExpired);
    CHECK(lake.calls("upload_target") == 3);
  }
}

TEST_CASE("publish: an old server that asks for another upload after a commit gets one") {
  MemoryStore lake;
  FaultyStore faulty(lake, {.code = Errc::kConflict, .operation = "link"});
  CHECK(Publisher(faulty).publish(job_for("a", Expectation::absent()), MemoryBytes("new")).has_value());
  CHECK(lake.contents("a") == "new");
  CHECK(lake.calls("upload") == 2);
}

TEST_CASE("publish: a store that took fewer bytes than were sent is not linked") {
  struct ShortStore : FaultyStore {
    using FaultyStore::FaultyStore;
    Result<Uploaded> upload(const UploadTarget& target, const ByteSource& body) override {
      auto uploaded = FaultyStore::upload(target, body);
      uploaded->size_bytes -= 1;
      return uploaded;
    }
  };
  MemoryStore lake;
  ShortStore store(lake, FaultPlan{.times = 0});
  CHECK(code_of(Publisher(store).publish(job_for("a", Expectation::absent()), MemoryBytes("new"))) ==
        Errc::kUntrustworthy);
  CHECK(lake.calls("link") == 0);
}

TEST_CASE("publish: a refusal is told as it came, without looking") {
  for (const Errc code :
       {Errc::kReadOnly, Errc::kDenied, Errc::kUnauthenticated, Errc::kInvalid, Errc::kNotFound}) {
    MemoryStore lake;
    FaultyStore faulty(lake, {.code = code, .operation = "link"});
    CHECK(code_of(Publisher(faulty).publish(job_for("a", Expectation::absent()), MemoryBytes("new"))) ==
          code);
    CHECK(lake.calls("stat") == 0);
  }
}

TEST_CASE("publish: a link that is done 150 ms after its answer was lost is waited for") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    const std::string operation = presign == Presign::kOn ? "link" : "upload_object";
    for (const bool is_new : {true, false}) {
      MemoryStore lake(presign);
      FakeClock clock;
      FaultyStore faulty(lake, {.when = When::kLongAfter, .operation = operation}, &clock);
      const auto expected = is_new ? Expectation::absent() : Expectation::of(lake.put("a", "old"));
      CHECK(
          Publisher(faulty, sleeper(clock)).publish(job_for("a", expected), MemoryBytes("new")).has_value());
      CHECK(lake.contents("a") == "new");
      CHECK(lake.calls(operation) == 1);
    }
  }
}

TEST_CASE("publish: while a lost link is on its way another client may win; it is not replaced") {
  MemoryStore lake;
  FakeClock clock;
  FaultyStore faulty(lake, {.when = When::kLongAfter, .operation = "link"}, &clock);
  clock.call_later(std::chrono::milliseconds(100), [&] { lake.put("a", "theirs"); });
  CHECK(code_of(Publisher(faulty, sleeper(clock))
                    .publish(job_for("a", Expectation::absent()), MemoryBytes("ours"))) == Errc::kExists);
  REQUIRE(clock.sleep(std::chrono::seconds(10)));
  CHECK(lake.contents("a") == "theirs");
}

TEST_CASE(
    "publish: a lost link over a version that somebody replaced meanwhile is a conflict, not repeated") {
  for (const When when : {When::kBeforeWork, When::kAfterWork}) {
    MemoryStore lake;
    FakeClock clock;
    const ObjectInfo base = lake.put("a", "old");
    FaultyStore faulty(lake, {.when = when, .operation = "link"}, &clock);
    // Not the look before the link, the one after it.
    lake.before_next("stat", [&] { lake.before_next("stat", [&] { lake.put("a", "theirs"); }); });
    CHECK(code_of(Publisher(faulty, sleeper(clock))
                      .publish(job_for("a", Expectation::of(base)), MemoryBytes("ours"))) == Errc::kConflict);
    CHECK(lake.contents("a") == "theirs");
  }
}

TEST_CASE(
    "publish: what an outage left on the branch is known for ours by the next attempt, even with other "
    "bytes") {
  for (const Presign presign : {Presign::kOn, Presign::kOff}) {
    for (const bool is_new : {true, false}) {
      MemoryStore lake(presign);
      FakeClock clock;
      auto job = job_for("a", is_new ? Expectation::absent() : Expectation::of(lake.put("a", "old")));
      job.nonce = draw_nonce();
      const std::size_t link = (presign == Presign::kOn ? 2u : 0u) + (is_new ? 0u : 1u);
      // The link is done, its answer lost, and then the branch cannot be asked.
      FaultyStore lossy(lake, {.nth = link, .when = When::kAfterWork}, &clock);
      FaultyStore outage(lossy, {.nth = link + 1, .times = 100}, &clock);
      CHECK(code_of(Publisher(outage, sleeper(clock)).publish(job, MemoryBytes("new"))) ==
            Errc::kUnavailable);
      REQUIRE(lake.contents("a") == "new");

      CHECK(Publisher(lake, sleeper(clock)).publish(job, MemoryBytes("newer")).has_value());
      CHECK(lake.contents("a") == "newer");

      job.nonce = draw_nonce();
      CHECK(code_of(Publisher(lake, sleeper(clock)).publish(job, MemoryBytes("another file"))) ==
            (is_new ? Errc::kExists : Errc::kConflict));
    }
  }
}

TEST_CASE("publish: our nonce on another client's entry does not make it ours") {
  MemoryStore lake;
  auto job = job_for("a", Expectation::absent());
  job.nonce = draw_nonce();
  const ObjectInfo ours = Publisher(lake).publish(job, MemoryBytes("ours")).value();
  lake.put("a", "theirs", {0, "", ours.metadata});
  CHECK(code_of(Publisher(lake).publish(job, MemoryBytes("ours"))) == Errc::kExists);
  CHECK(lake.contents("a") == "theirs");
}

TEST_CASE("publish: when a signal comes while the answer is out, it ends without another call") {
  MemoryStore lake;
  std::stop_source stop;
  FaultyStore faulty(lake, {.code = Errc::kInterrupted, .operation = "link"});
  lake.before_next("upload", [&] { stop.request_stop(); });
  Patience patience(stop.get_token());
  CHECK(code_of(Publisher(faulty).publish(job_for("a", Expectation::absent()), MemoryBytes("new"))) ==
        Errc::kInterrupted);
  CHECK(lake.calls() == 2);
}

TEST_CASE("publish: a signal ends a wait between looks") {
  MemoryStore lake;
  FaultyStore faulty(lake, {.operation = "link", .times = 100});
  std::stop_source stop;
  lake.before_next("stat", [&] { stop.request_stop(); });
  Patience patience(stop.get_token());
  CHECK(code_of(Publisher(faulty).publish(job_for("a", Expectation::absent()), MemoryBytes("new"))) ==
        Errc::kInterrupted);
}

TEST_CASE("publish: a signal ends a link that hangs") {
  MemoryStore lake;
  GatedStore gated(lake);
  gated.shut("link");
  std::stop_source stop;
  Result<ObjectInfo> published = Error{Errc::kInvalid, "not yet"};
  std::jthread closing([&] {
    Patience patience(stop.get_token());
    published = Publisher(gated).publish(job_for("a", Expectation::absent()), MemoryBytes("new"));
  });
  REQUIRE(gated.wait_for("link"));
  stop.request_stop();
  closing.join();
  CHECK(code_of(published) == Errc::kInterrupted);
  CHECK_FALSE(lake.contents("a").has_value());
}

TEST_CASE("publish: a branch that never gives a clear answer ends as a failure that can be tried again") {
  struct Stubborn : MemoryStore {
    Result<ObjectInfo> link(const ObjectPath&, const Uploaded&, const EntryMeta&, Condition) override {
      return Error{Errc::kExists, "Precondition failed"};
    }
  };
  Stubborn lake;
  FakeClock clock;
  CHECK(code_of(Publisher(lake, sleeper(clock))
                    .publish(job_for("a", Expectation::absent()), MemoryBytes("new"))) == Errc::kUnavailable);
}

}  // namespace
}  // namespace lakefuse::test
