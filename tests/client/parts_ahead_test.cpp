// Parts that are at the store before the body is known: how a body is cut, and what an upload that takes them
// over still sends.

#include "client/parts_ahead.h"

#include <doctest/doctest.h>

#include <set>
#include <stop_token>

#include "client/patience.h"
#include "support_bytes.h"
#include "support_double_lake.h"

namespace lakefuse::test {
namespace {

constexpr std::size_t kPart = std::size_t{16} << 20;

// Has what it is told to have, and notes what it is asked.
class Ahead : public PartsAhead {
 public:
  explicit Ahead(PartsTarget target) : target_(std::move(target)) {}

  std::optional<PartsTarget> take() override { return target_; }
  bool is_under_way(std::size_t index) override { return under_way == index; }
  std::optional<std::string> etag(std::size_t index) override {
    if (under_way == index && when_waited_for) when_waited_for();
    const auto found = etags.find(index);
    return found == etags.end() ? std::nullopt : std::optional(found->second);
  }
  void end() override { has_ended = true; }

  std::map<std::size_t, std::string> etags;
  std::optional<std::size_t> under_way;
  std::function<void()> when_waited_for;
  bool has_ended = false;

 private:
  const PartsTarget target_;
};

class BegunSource final : public TextSource {
 public:
  BegunSource(std::string text, BeginsAs begins_as)
      : TextSource(std::move(text)), begins_as_(std::move(begins_as)) {}
  [[nodiscard]] const BeginsAs* begins_as() const override { return &begins_as_; }

 private:
  const BeginsAs begins_as_;
};

// The numbers of the parts that the store was sent.
std::multiset<int> parts_put(DevServer& server) {
  std::multiset<int> numbers;
  for (const Call& call : server.calls("store_put_part"))
    numbers.insert(std::stoi(call.target.substr(call.target.find("partNumber=") + 11)));
  return numbers;
}

}  // namespace

TEST_CASE("parts ahead: a plan without gaps, of parts that S3 takes, up to the largest object") {
  for (std::size_t index = 0; index < PartPlan::kMostParts; ++index) {
    CAPTURE(index);
    const std::uint64_t begin = PartPlan::begin(index), end = PartPlan::end(index);
    REQUIRE(end - begin >= std::uint64_t{5} << 20);
    REQUIRE(end - begin <= std::uint64_t{5} << 30);
    REQUIRE(PartPlan::index_of(begin) == index);
    REQUIRE(PartPlan::index_of(end - 1) == index);
    REQUIRE(PartPlan::count(end) == index + 1);
    REQUIRE(PartPlan::count(end + 1) == index + 2);
  }
  CHECK(PartPlan::begin(0) == 0);
  CHECK(PartPlan::count(0) == 0);
  StoreFacts facts;
  facts.can_presign_multipart = true;
  CHECK(PartPlan::count(facts.largest_object()) <= PartPlan::kMostParts);
}

TEST_CASE("parts ahead: an upload sends what is not there yet, and waits last for what is under way") {
  DoubleLake lake;
  const auto store = lake.store();
  const std::string bytes = std::string(kPart, 'a') + std::string(kPart, 'b') + std::string(kPart, 'c') + "d";
  Ahead ahead(must(store->begin_parts(path("big"))));
  const auto put = [&](std::size_t index) {
    return must(store->upload_part(path("big"), *ahead.take(), index,
                                   TextSource(bytes.substr(index * kPart, kPart))));
  };
  ahead.etags[1] = put(1);
  CHECK(lake.server.wait_for("store_put_part", 1));
  lake.server.clear_log();
  ahead.under_way = 0;
  ahead.when_waited_for = [&] {
    CHECK(lake.server.wait_for("store_put_part", 2));
    CHECK(parts_put(lake.server) == std::multiset{3, 4});
    ahead.etags[0] = put(0);
  };
  const auto uploaded = must(store->upload_parts(path("big"), TextSource(bytes), &ahead));
  CHECK(ahead.has_ended);
  CHECK(uploaded.physical_address == ahead.take()->physical_address);
  CHECK(lake.server.count("create_presign_multipart_upload") == 0);
  must(store->complete(path("big"), uploaded, {}));
  CHECK((read_all(*store, look(*store, "big")).value() == bytes));
}

TEST_CASE("parts ahead: a part beyond the first URLs, or whose URL is too old, asks for one of its own") {
  DoubleLake lake;
  const auto store = lake.store();
  PartsTarget target = must(store->begin_parts(path("big")));
  const std::size_t beyond = target.part_urls.size();
  must(store->upload_part(path("big"), target, beyond, TextSource("last")));
  CHECK(comes_true([&] { return lake.server.count("upload_part") == 1; }));
  lake.server.add_fault({.kind = Fault::Kind::kExpired, .operation = "store_put_part"});
  must(store->upload_part(path("big"), target, 0, TextSource("first")));
  CHECK(comes_true([&] { return lake.server.count("upload_part") == 2; }));
}

TEST_CASE("parts: what the body begins as is copied inside the store, and only the rest is sent") {
  DevServerOptions options;
  const std::string bytes = std::string(kPart, 'a') + std::string(kPart, 'b') + "end";
  std::string there = bytes;
  std::optional<Fault> fault;
  std::size_t copies = 2;
  SUBCASE("as it does") {}
  SUBCASE("another version is there by now") {
    there = std::string(kPart, 'A') + std::string(kPart, 'B') + "end";
    copies = 0;
  }
  SUBCASE("a shorter one is") {
    there = "short";
    copies = 0;
  }
  SUBCASE("nothing is") {
    there.clear();
    copies = 0;
  }
  SUBCASE("a server that cannot") {
    options.version = "1.54.0";
    copies = 0;
  }
  SUBCASE("a server that fails") {
    fault = Fault{.kind = Fault::Kind::kStatus, .operation = "upload_part_copy", .times = 0, .status = 501};
    copies = 0;
  }
  DoubleLake lake(options);
  if (fault) lake.server.add_fault(*fault);
  const auto store = lake.store();
  if (!there.empty()) lake.server.put_object("lake", "main", "base", there);
  const BegunSource body(bytes + "and more", {"base", bytes.size()});
  const auto uploaded = must(store->upload_parts(path("big"), body, nullptr));
  must(store->complete(path("big"), uploaded, {}));
  CHECK((read_all(*store, look(*store, "big")).value() == bytes + "and more"));
  CHECK(parts_put(lake.server) == (copies == 2 ? std::multiset{3} : std::multiset{1, 2, 3}));
  if (options.version == "1.54.0") CHECK(lake.server.count("upload_part_copy") == 0);
  CHECK(lake.server.count("upload_part_copy") <= 2);
}

TEST_CASE("parts ahead: only where a part's URL can be asked for later") {
  for (const auto& [version, can] : {std::pair("1.54.0", false), std::pair("1.55.0", true)}) {
    DoubleLake lake({.version = version});
    CAPTURE(version);
    CHECK(lake.store()->facts().can_presign_parts_later == can);
  }
  DoubleLake lake({.multipart = false});
  CHECK_FALSE(lake.store()->facts().can_presign_parts_later);
  CHECK(lake.store()->begin_parts(path("big")).error().code == Errc::kUnsupported);
}

TEST_CASE("parts ahead: an upload that somebody ends is freed, within a moment") {
  DoubleLake lake;
  const auto store = lake.store();
  const Gate gate = lake.server.hold("store_put_part");
  std::stop_source impatience;
  std::jthread other([&] {
    CHECK(gate.wait_for_arrivals(1));
    lake.server.drop_connections();  // Nothing is left that a word could slip out by.
    CHECK(gate.wait_for_arrivals(2));
    impatience.request_stop();
  });
  const Patience patience(impatience.get_token());
  const auto uploaded = store->upload_parts(path("big"), TextSource(std::string(kPart, 'a')), nullptr);
  REQUIRE_FALSE(uploaded.has_value());
  CHECK(uploaded.error().code == Errc::kInterrupted);
  CHECK(lake.server.wait_for("abort_presign_multipart_upload", 1));
}

}  // namespace lakefuse::test
