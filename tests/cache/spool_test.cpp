#include "cache/spool.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "cache/private_directory.h"
#include "tests/cache/spool_fixture.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("spool");

using State = SpoolRecord::State;
using Safety = SpoolFile::Safety;
namespace fs = std::filesystem;

TEST_CASE("W2: what a killed mount kept is there for the next one, with all that is known of it") {
  SpoolFixture f;
  SpoolRecord record = record_of("dir/a b?.txt", State::kFailed);
  record.base = object_of_size(3);
  record.expected = Expectation::of(object_of_size(3));
  record.meta = {77, "text/x", {{"m", "n"}}};
  record.append_only = true;
  record.reason = "PUT: connection reset \xff\"";
  record.cause = "unavailable";
  record.since_seconds = 1700000000;
  f.leave(record, "hello");

  const auto spool = f.open();
  const auto left = spool->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(read_all(left[0].file->bytes()) == "hello");
  const SpoolRecord& got = left[0].record;
  CHECK(got.state == State::kFailed);
  CHECK(got.path == record.path);
  REQUIRE(got.base.has_value());
  CHECK(same_version(*got.base, *record.base));
  CHECK(got.base->metadata == record.base->metadata);
  CHECK(got.base->mtime_seconds == 1234);
  CHECK(got.expected.kind == Expectation::Kind::kVersion);
  CHECK(got.expected.version.physical_address == "s3://bucket/data/1");
  CHECK(got.meta.mtime_seconds == 77);
  CHECK(got.meta.content_type == "text/x");
  CHECK(got.meta.metadata == record.meta.metadata);
  CHECK(got.append_only);
  CHECK(got.reason == record.reason);
  CHECK(got.cause == "unavailable");
  CHECK(got.since_seconds == 1700000000);
  CHECK(spool->take_left_behind().empty());
}

TEST_CASE("W3: a half-overwritten object survives a kill: bytes, and which of them are still the base's") {
  SpoolFixture f;
  ChildProcess([&](const auto& stay) {
    SpoolRecord record = record_of("a", State::kOpen);
    record.base = object_of_size(1000);
    auto spool = Spool::open(f.state(), kOwner, 0);
    auto file = (*spool)->create(record);
    StagedFile& bytes = (*file)->bytes();
    record.state = State::kSynced;
    stay(bytes.truncate(900) && bytes.truncate(1200) && bytes.write(100, bytes_of("mine")) &&
         (*file)->save(record, Safety::kDurable));
  });
  const auto spool = f.open();
  const auto left = spool->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(left[0].record.state == State::kSynced);
  const StagedFile& bytes = left[0].file->bytes();
  CHECK(bytes.size() == 1200);
  CHECK(bytes.missing(0, 2000) == ByteRange{0, 100});
  CHECK(bytes.missing(100, 2000) == ByteRange{104, 900});
  CHECK_FALSE(bytes.missing(900, 2000).has_value());
}

TEST_CASE("a file that was never closed is handed out too, and what nobody wanted is not") {
  SpoolFixture f;
  f.leave(record_of("open", State::kOpen), "half");
  {
    const auto spool = f.open();
    const auto done = spool->create(record_of("published")).value();
    REQUIRE(done->bytes().write(0, bytes_of("x")).has_value());
    done->discard();
  }
  const auto spool = f.open();
  const auto left = spool->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(left[0].record.path == "open");
  left[0].file->discard();
  CHECK(f.open()->take_left_behind().empty());
}

TEST_CASE("files come oldest first, over slots, each once") {
  SpoolFixture f;
  std::vector<std::unique_ptr<ChildProcess>> mounts;
  for (const char* name : {"1", "2", "3"}) {
    mounts.push_back(std::make_unique<ChildProcess>([&](const auto& stay) {
      auto spool = Spool::open(f.state(), kOwner, 0);
      auto file = (*spool)->create(record_of(name, State::kHeld));
      stay(file.has_value());
    }));
  }
  for (auto& mount : mounts) mount->kill();
  const auto spool = f.open();
  std::vector<std::string> order;
  for (const auto& left : spool->take_left_behind()) order.push_back(left.record.path);
  CHECK(order == std::vector<std::string>{"1", "2", "3"});
}

TEST_CASE("two mounts of one branch never share a file, and a third takes over when one has died") {
  SpoolFixture f;
  const auto first = f.open();
  const auto kept = first->create(record_of("first")).value();
  {
    ChildProcess second([&](const auto& stay) {
      auto spool = Spool::open(f.state(), kOwner, 0);
      auto left = (*spool)->take_left_behind();
      auto file = (*spool)->create(record_of("second"));
      stay((*spool)->directory() != first->directory() && left.empty() && file.has_value());
    });
    CHECK(first->take_left_behind().empty());
  }
  auto left = first->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(left[0].record.path == "second");
  CHECK(left[0].file->save(left[0].record, Safety::kDurable).has_value());
  const fs::path adopted = left[0].file->data_path().parent_path().parent_path();
  CHECK(f.open()->take_left_behind().empty());  // Still ours.
  left[0].file->discard();
  left.clear();
  CHECK_FALSE(fs::exists(adopted));
  CHECK(fs::exists(kept->data_path()));
}

TEST_CASE(
    "what two mounts of an earlier build promised at the same places has places of its own, in its order") {
  SpoolFixture f;
  const auto leave = [&](const std::string& name) {
    return [&f, name](const ChildProcess::Stay& stay) {
      auto spool = Spool::open(f.state(), kOwner, 0);
      bool is_well = spool.has_value();
      for (std::uint64_t order = 1; order <= 6 && is_well; ++order) {
        const std::string path = name + std::to_string(order);
        if (order % 2 == 0) {
          is_well = (*spool)->begin_removal({.path = path, .order = order}).has_value();
          continue;
        }
        SpoolRecord record = record_of(path, State::kQueued);
        record.order = order;
        auto file = (*spool)->create(record_of(path));
        is_well =
            file && (*file)->bytes().write(0, bytes_of(path)) && (*file)->save(record, Safety::kDurable);
      }
      stay(is_well);
    };
  };
  {
    ChildProcess one(leave("a"));
    ChildProcess other(leave("b"));  // In a slot of its own.
  }
  std::map<std::uint64_t, std::string> before;
  for (int mounts = 0; mounts < 2; ++mounts) {
    const auto spool = f.open();
    std::map<std::uint64_t, std::string> promised;
    const auto left = spool->take_left_behind();
    for (const auto& one : left) CHECK(promised.emplace(one.record.order, one.record.path).second);
    for (const auto& one : spool->take_left_removals()) CHECK(promised.emplace(one.order, one.path).second);
    CHECK(promised.size() == 12);
    std::string of_a, of_b;
    for (const auto& [order, path] : promised) (path[0] == 'a' ? of_a : of_b) += path[1];
    CHECK(of_a == "123456");
    CHECK(of_b == "123456");
    if (mounts > 0) CHECK(promised == before);  // It is killed before it has done any.
    before = promised;
  }
}

TEST_CASE("of two files at one place, as a close of the same path leaves them, the younger stays the later") {
  SpoolFixture f;
  ChildProcess([&](const auto& stay) {
    auto spool = Spool::open(f.state(), kOwner, 0);
    bool is_well = spool.has_value();
    for (std::uint64_t pair = 1; pair <= 8 && is_well; ++pair)
      for (const char* age : {"old", "new"}) {
        SpoolRecord record = record_of("p" + std::to_string(pair), State::kQueued);
        record.order = pair;
        auto file = (*spool)->create(record_of(record.path));
        is_well = is_well && file && (*file)->bytes().write(0, bytes_of(age)) &&
                  (*file)->save(record, Safety::kDurable);
      }
    stay(is_well);
  });
  const auto left = f.open()->take_left_behind();
  REQUIRE(left.size() == 16);
  std::map<std::string, std::uint64_t> places;
  for (const auto& one : left) places[one.record.path + read_all(one.file->bytes())] = one.record.order;
  for (int pair = 1; pair <= 8; ++pair)
    CHECK(places["p" + std::to_string(pair) + "old"] < places["p" + std::to_string(pair) + "new"]);
}

TEST_CASE("spools of another lake, repository or branch are never mixed up with ours") {
  SpoolFixture f;
  const SpoolOwner others[] = {{"https://other.example", "repo", "main"},
                               {"https://lake.example", "repo2", "main"},
                               {"https://lake.example", "repo", "dev"},
                               {"https://lake.example", "rep", "omain"}};
  for (const SpoolOwner& other : others)
    f.leave(record_of("theirs", State::kHeld), "x", Safety::kSoon, other);
  const auto spool = f.open();
  CHECK(spool->take_left_behind().empty());
  const auto all = read_spools(f.state()).value();
  REQUIRE(all.size() == 4);
  for (const SpoolOwner& other : others)
    CHECK(std::count_if(all.begin(), all.end(),
                        [&](const SpooledFile& file) { return file.owner == other; }) == 1);
  CHECK(f.open(others[2])->take_left_behind().size() == 1);
}

TEST_CASE("who looks from outside sees what is in use, takes nothing and stops nobody") {
  SpoolFixture f;
  CHECK(read_spools(f.state()).value().empty());
  const auto spool = f.open();
  const auto file = spool->create(record_of("busy")).value();
  REQUIRE(file->bytes().write(0, bytes_of("abc")).has_value());
  auto all = read_spools(f.state()).value();
  REQUIRE(all.size() == 1);
  CHECK(all[0].in_use);
  CHECK(all[0].owner == kOwner);
  CHECK(all[0].record.path == "busy");
  CHECK(all[0].size_bytes == 3);
  CHECK(all[0].data_path == file->data_path());
  f.leave(record_of("left", State::kHeld), "xy");
  all = read_spools(f.state()).value();
  REQUIRE(all.size() == 2);
  CHECK_FALSE(all[1].in_use);
  CHECK(spool->take_left_behind().size() == 1);
}

TEST_CASE("F2: a write that would go below the floor of free space fails and changes nothing") {
  SpoolFixture f;
  const auto spool = Spool::open(f.state(), kOwner, UINT64_MAX / 4).value();
  CHECK(spool->free_bytes() == 0);
  const auto file = spool->create(record_of("a")).value();
  CHECK(cause_of(file->bytes().write(0, bytes_of("x"))) == Errc::kNoSpace);
  CHECK(cause_of(file->bytes().append(bytes_of("x"))) == Errc::kNoSpace);
  CHECK(file->bytes().size() == 0);
  CHECK(file->save(record_of("a", State::kFailed), Safety::kDurable).has_value());
}

TEST_CASE("many threads create, save and discard at once, and only what was kept is found again") {
  SpoolFixture f;
  std::set<std::string> kept;
  {
    const auto spool = f.open();
    std::mutex mutex;
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        for (int n = 0; n < 50; ++n) {
          const std::string path = std::to_string(thread) + "/" + std::to_string(n);
          const auto file = spool->create(record_of(path)).value();
          CHECK(file->bytes().append(bytes_of(path)).has_value());
          CHECK(file->save(record_of(path, State::kHeld), Safety::kSoon).has_value());
          if (n % 2 == 0) {
            file->discard();
          } else {
            std::lock_guard lock(mutex);
            kept.insert(path);
          }
        }
      });
    for (int n = 0; n < 20; ++n) CHECK(spool->take_left_behind().empty());
  }
  const auto spool = f.open();
  for (const auto& left : spool->take_left_behind()) {
    CHECK(read_all(left.file->bytes()) == left.record.path);
    CHECK(kept.erase(left.record.path) == 1);
    CHECK(fs::exists(record_path(left)));
  }
  CHECK(kept.empty());
}

TEST_CASE("a directory in memory is told from one on disk") {
  if (fs::exists("/dev/shm")) CHECK(is_on_tmpfs("/dev/shm/not/there/yet"));
  CHECK_FALSE(is_on_tmpfs("/proc"));
}

TEST_SUITE_END();

}  // namespace lakefuse::test
