#include "cache/published_bytes.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/cache/cache_fixture.h"
#include "tests/support/memory_bytes.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("published bytes");

namespace {

constexpr std::size_t kSmall = 64 << 10;

std::shared_ptr<const ByteSource> source_of(std::string text) {
  return std::make_shared<const MemoryBytes>(std::move(text));
}

// As a program reads them, which wants them in the cache from then on.
std::string read_in_place(ObjectStore& store, const ObjectInfo& object) {
  std::string room(object.size_bytes, '?');
  const auto got = store.read_in_place(object, 0, std::as_writable_bytes(std::span(room)));
  REQUIRE(got.has_value());
  return text_of(got->bytes);
}

// How often such a source is read, and whether by two at once.
class WatchedSource : public MemoryBytes {
 public:
  using MemoryBytes::MemoryBytes;
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    CHECK(++readers_ == 1);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    auto got = MemoryBytes::read(offset, out);
    --readers_;
    return got;
  }

 private:
  mutable std::atomic<int> readers_ = 0;
};

}  // namespace

TEST_CASE("what was published just now is read without a call, and is in the cache once it has been read") {
  for (const std::size_t size : {std::size_t{5}, kSmall, kSmall + 1, std::size_t{kBlock + 70'001}}) {
    CAPTURE(size);
    CacheFixture f;
    const std::string text = text_of_size(size);
    const ObjectInfo object = f.lake.put("a", text);
    {
      const auto cache = f.open();
      CHECK_FALSE(cache->has_some(object));
      cache->was_made_of(object, source_of(text));
      CHECK_FALSE(cache->has_some(object));  // Who opens it looks whether it is still there.
      // Who copies it elsewhere leaves nothing behind.
      CHECK((read_to_disk(*cache, object, 0, size).value() == text));
      CHECK((read(*cache, object, size - 3, 100).value() == text.substr(size - 3)));
      CHECK(block_files(f.path()).empty());
      CHECK((read_in_place(*cache, object) == text));
      wait_for_disk(*cache);
      CHECK_FALSE(block_files(f.path()).empty());
      CHECK(cache->has_some(object));
    }
    CHECK((read(*f.open(), object, 0, size).value() == text));
    CHECK(f.fetches() == 0);
  }
}

TEST_CASE("rule 8: it is known by its address, checksum and size, and no other object is") {
  CacheFixture f;
  const ObjectInfo object = f.lake.put("a", "bytes"), other = f.lake.put("a", "other");
  const auto cache = f.open();
  cache->was_made_of(object, source_of("bytes"));
  CHECK(read(*cache, other, 0, 5).value() == "other");
  CHECK(f.fetches() == 1);
  ObjectInfo longer = other;
  longer.size_bytes = 6;
  cache->was_made_of(longer, source_of("bytes"));  // It is not.
  CHECK_FALSE(read(*cache, longer, 0, 6).has_value());
}

TEST_CASE("so much of it is held, and what was not used for longest goes first") {
  PublishedBytes held(10 * kSmall);
  std::string out(kSmall, '?');
  const auto holds = [&](const std::string& object) { return held.read(object, 0, {}); };
  const auto has = [&](int n) { return holds(std::to_string(n)); };
  SUBCASE("in memory") {
    constexpr int kHeld = 127;  // In 8 MiB, with what each takes beside its bytes.
    for (int n = 0; n < kHeld; ++n) held.keep(std::to_string(n), source_of(out));
    CHECK(held.read("0", 0, std::as_writable_bytes(std::span(out))));
    for (int n = kHeld; n < kHeld + 3; ++n) held.keep(std::to_string(n), source_of(out));
    CHECK(has(0));
    for (const int gone : {1, 2, 3}) CHECK_FALSE(has(gone));
    for (int n = 4; n < kHeld + 3; ++n) CHECK(has(n));
    CHECK_FALSE(held.give_back());
    CHECK(has(0));
  }
  SUBCASE("in files") {
    for (int n = 0; n < 3; ++n) held.keep(std::to_string(n), source_of(std::string(3 * kSmall, 'x')));
    CHECK(held.read("0", 0, std::as_writable_bytes(std::span(out))));
    held.keep("3", source_of(std::string(3 * kSmall, 'x')));
    CHECK(has(0));
    CHECK_FALSE(has(1));
    CHECK(has(2));
    held.keep("too large", source_of(std::string(11 * kSmall, 'x')));
    CHECK_FALSE(holds("too large"));
    CHECK(has(3));
    held.keep("small", source_of("x"));
    CHECK(held.give_back());
    for (const int gone : {0, 2, 3}) CHECK_FALSE(has(gone));
    CHECK(holds("small"));
    CHECK_FALSE(held.give_back());
  }
}

TEST_CASE("many read from one file that is held, one after the other") {
  PublishedBytes held(kGiB);
  const std::string text = text_of_size(1 << 20);
  held.keep("a", std::make_shared<const WatchedSource>(text));
  std::vector<std::jthread> readers;
  for (std::size_t n = 0; n < 4; ++n)
    readers.emplace_back([&, n] {
      for (std::size_t at = n * 1000; at < 20'000; at += 4000) {
        std::string out(1000, '?');
        CHECK(held.read("a", at, std::as_writable_bytes(std::span(out))));
        CHECK(out == text.substr(at, 1000));
      }
    });
}

TEST_CASE("--cache-size holds for it, too: without a cache nothing is held") {
  CacheFixture f;
  const std::string small = "bytes", large = text_of_size(kWhole);
  const ObjectInfo objects[] = {f.lake.put("a", small), f.lake.put("b", large)};
  const auto fetches_of = [&](CachedStore& cache, const ObjectInfo& object, const std::string& text) {
    f.lake.forget_calls();
    cache.was_made_of(object, source_of(text));
    CHECK((read(cache, object, 0, text.size()).value() == text));
    return f.fetches();
  };
  CHECK(fetches_of(*f.open(0), objects[0], small) == 1);
  CHECK(fetches_of(*f.open(4 * kWhole), objects[1], large) == 1);
  CHECK(fetches_of(*f.open(4 * kWhole), objects[0], small) == 0);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
