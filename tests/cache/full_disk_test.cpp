#include <sys/statvfs.h>

#include <fstream>

#include "cache/cached_store.h"
#include "cache/spool.h"
#include "tests/cache/cache_fixture.h"
#include "tests/cache/child_process.h"
#include "tests/cache/spool_fixture.h"
#include "tests/cache/support.h"
#include "tests/cache/tiny_disk.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("full disk");

namespace {

SpoolRecord record_of(SpoolRecord::State state) {
  SpoolRecord record;
  record.path = "a";
  record.state = state;
  return record;
}

std::string read_back(const StagedFile& file) {
  std::string text(file.size(), '?');
  REQUIRE(file.read(0, std::as_writable_bytes(std::span(text))).has_value());
  return text;
}

}  // namespace

TEST_CASE("F2: a write that does not fit fails as such, and what was there before is still there") {
  TinyDisk disk(1 << 20);
  if (!disk) return;
  const auto spool = Spool::open(disk.path() / "state", kOwner, 0).value();
  const auto file = spool->create(record_of(SpoolRecord::State::kOpen)).value();
  REQUIRE(file->bytes().write(0, bytes_of("before")).has_value());
  CHECK(cause_of(file->bytes().append(bytes_of(std::string(2 << 20, 'x')))) == Errc::kNoSpace);
  CHECK(file->bytes().size() == 6);
  CHECK(cause_of(file->bytes().write(3, bytes_of(std::string(2 << 20, 'x')))) == Errc::kNoSpace);
  CHECK(file->bytes().size() == 6);
  CHECK(read_back(file->bytes()).substr(0, 3) == "bef");
}

TEST_CASE(
    "F2: a disk that fills up in small steps fails the write that no longer fits, then takes the record") {
  TinyDisk disk(1 << 20);
  if (!disk) return;
  const auto spool = Spool::open(disk.path() / "state", kOwner, 64 << 10).value();
  const auto file = spool->create(record_of(SpoolRecord::State::kOpen)).value();
  const std::string piece(5000, 'p');
  std::string written;
  for (;;) {
    const auto appended = file->bytes().append(bytes_of(piece));
    if (!appended) {
      CHECK(appended.error().code == Errc::kNoSpace);
      break;
    }
    written += piece;
    REQUIRE(written.size() < 2 << 20);
  }
  CHECK(written.size() > 512 << 10);
  CHECK((read_back(file->bytes()) == written));
  CHECK(file->save(record_of(SpoolRecord::State::kFailed), SpoolFile::Safety::kDurable).has_value());
}

TEST_CASE(
    "a full disk fails an overwrite whose old bytes are being uploaded, and the upload is still right") {
  TinyDisk disk(1 << 20);
  if (!disk) return;
  const auto spool = Spool::open(disk.path() / "state", kOwner, 0).value();
  const auto file = spool->create(record_of(SpoolRecord::State::kOpen)).value();
  const std::string then(700 << 10, 'o');
  REQUIRE(file->bytes().write(0, bytes_of(then)).has_value());
  const auto snapshot = file->bytes().freeze().value();
  CHECK(cause_of(file->bytes().write(0, bytes_of(std::string(600 << 10, 'n')))) == Errc::kNoSpace);
  CHECK((text_of(*snapshot) == then));
  CHECK((read_back(file->bytes()) == then));
}

TEST_CASE("a full disk keeps no promise alive: what is published is taken back, whatever else is recorded") {
  TinyDisk disk(2 << 20);
  if (!disk) return;
  constexpr int kPromises = 200;  // Their ends take more than what is left of a page.
  const auto record = [](const std::string& path, SpoolRecord::State state) {
    SpoolRecord record = record_of(state);
    record.path = path;
    return record;
  };
  using Safety = SpoolFile::Safety;
  using State = SpoolRecord::State;
  bool is_of_next_mount = false;
  SUBCASE("by the mount that made it") {}
  SUBCASE("by the next one") {
    is_of_next_mount = true;
  }
  const auto fill = [&](const std::shared_ptr<SpoolFile>& other) {
    std::ofstream filler(disk.path() / "filler", std::ios::app);
    for (const std::string some(1 << 10, 'f'); filler << some << std::flush;) {
    }
    for (int n = 0; n < 100'000; ++n)
      if (!other->save(record("other", State::kOpen), Safety::kSoon)) return true;
    return false;
  };
  ChildProcess([&](const auto& stay) {
    const auto spool = Spool::open(disk.path() / "state", kOwner, 0).value();
    std::vector<std::shared_ptr<SpoolFile>> files;
    bool is_well = true;
    for (int n = 0; n < kPromises && is_well; ++n) {
      files.push_back(spool->create(record(std::to_string(n), State::kOpen)).value());
      is_well = files.back()->save(record(std::to_string(n), State::kQueued), Safety::kDurable).has_value();
    }
    if (is_of_next_mount) stay(is_well);
    is_well &= fill(spool->create(record("other", State::kOpen)).value());
    for (std::size_t n = 1; n < files.size(); ++n) files[n]->discard();
    stay(is_well);
  });
  if (is_of_next_mount)
    ChildProcess([&](const auto& stay) {
      const auto spool = Spool::open(disk.path() / "state", kOwner, 0).value();
      const auto left = spool->take_left_behind();
      const bool is_well =
          left.size() == kPromises && fill(spool->create(record("other", State::kOpen)).value());
      for (std::size_t n = 1; n < left.size(); ++n) left[n].file->discard();
      stay(is_well);
    });
  std::filesystem::remove(disk.path() / "filler");
  std::vector<std::string> back;
  for (const LeftBehind& one : Spool::open(disk.path() / "state", kOwner, 0).value()->take_left_behind())
    if (one.record.state == State::kQueued) back.push_back(one.record.path);
  CHECK(back == std::vector<std::string>{"0"});  // Not to be taken back: it keeps the journal.
}

TEST_CASE("a full disk means reading what it cannot hold uncached") {
  TinyDisk disk(512 << 10);
  if (!disk) return;
  MemoryStore lake;
  const std::string text(3 << 20, 'b');
  const ObjectInfo object = lake.put("big", text);
  const ObjectInfo small = lake.put("small", text.substr(0, 1 << 20));
  const auto cache = CachedStore::open(lake, disk.path() / "cache", 1 << 30).value();
  std::string out(5000, '?');
  for (std::uint64_t n = 0; n < 300; ++n) {
    const std::uint64_t at = n * 7919 * 4096 % (text.size() - out.size());
    CHECK(cache->read(object, at, std::as_writable_bytes(std::span(out))).value() == out.size());
    CHECK((out == std::string(5000, 'b')));
    CHECK(cache->read(small, at % 1000000, std::as_writable_bytes(std::span(out))).value() == out.size());
    CHECK((out == std::string(5000, 'b')));
  }
  CHECK(cache->use().bytes <= 512 << 10);
}

TEST_CASE("a cache gives space back when others fill the disk") {
  TinyDisk disk(8 << 20);
  if (!disk) return;
  MemoryStore lake;
  const auto cache = CachedStore::open(lake, disk.path() / "cache", 1 << 30).value();
  for (int n = 0; n < 12; ++n) {
    const std::string text(1 << 20, static_cast<char>('a' + n));
    const ObjectInfo object = lake.put(std::to_string(n), text);
    std::string out(text.size(), '?');
    REQUIRE(cache->read(object, 0, std::as_writable_bytes(std::span(out))).has_value());
    CHECK((out == text));
    wait_for_disk(*cache);
  }
  struct statvfs facts {};
  REQUIRE(::statvfs(disk.path().c_str(), &facts) == 0);
  CHECK(facts.f_bavail * facts.f_frsize >= (8 << 20) / 20);
  CHECK(cache->use().bytes >= 4 << 20);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
