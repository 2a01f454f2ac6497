#include "cache/read_ahead.h"

#include <doctest/doctest.h>

#include <random>

namespace lakefuse::test {

TEST_SUITE_BEGIN("read ahead");

namespace {

constexpr std::uint64_t kKiB = 1 << 10;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kSize = 1 << 30;
constexpr std::uint64_t kMost = 32 * kMiB;

// How far beyond `at` pieces have been asked for, when one reader has read up to there.
std::uint64_t furthest_after(ReadAhead& ahead, std::uint64_t from, std::uint64_t to) {
  std::uint64_t furthest = 0;
  for (std::uint64_t at = from; at < to; at += 128 * kKiB)
    for (const ByteRange& piece : ahead.read("a", kSize, at, 128 * kKiB).ahead) furthest = piece.end;
  return furthest;
}

}  // namespace

TEST_CASE("a first read, and reads at random, ask for nothing more") {
  ReadAhead ahead(kMost);
  std::mt19937_64 random(3);
  for (int n = 0; n < 1000; ++n) {
    const std::uint64_t at = random() % (kSize / 4096) * 4096;
    const auto advice = ahead.read("a", kSize, at, 4096);
    CHECK(advice.ahead.empty());
    CHECK(advice.fetch_to == at + 4096);
  }
}

TEST_CASE("a row is seen at its second read; its window grows with it, and ends") {
  ReadAhead ahead(kMost);
  CHECK(ahead.read("a", kSize, 0, 128 * kKiB).ahead.empty());
  CHECK_FALSE(ahead.read("a", kSize, 128 * kKiB, 128 * kKiB).ahead.empty());
  CHECK(furthest_after(ahead, 256 * kKiB, kMiB) <= 2 * kMiB + 256 * kKiB);
  CHECK(furthest_after(ahead, kMiB, 8 * kMiB) >= 12 * kMiB);
  const std::uint64_t far = furthest_after(ahead, 8 * kMiB, 200 * kMiB);
  CHECK(far > 224 * kMiB);
  CHECK(far <= 200 * kMiB + kMost);
}

TEST_CASE("pieces follow each other without gap or overlap, each within a multiple of the longest") {
  ReadAhead ahead(kMost);
  std::uint64_t end = 0;
  for (std::uint64_t at = 0; at < 100 * kMiB; at += 128 * kKiB) {
    for (const ByteRange& piece : ahead.read("a", 100 * kMiB, at, 128 * kKiB).ahead) {
      if (end != 0) CHECK(piece.begin == end);
      CHECK(piece.begin / ReadAhead::kLongestPiece == (piece.end - 1) / ReadAhead::kLongestPiece);
      end = piece.end;
    }
  }
  CHECK(end == 100 * kMiB);
}

TEST_CASE("requests of one reader that come in another order are one row") {
  ReadAhead ahead(kMost);
  std::uint64_t furthest = 0;
  for (std::uint64_t pair = 0; pair < 8 * kMiB; pair += 256 * kKiB) {
    for (const std::uint64_t at : {pair + 128 * kKiB, pair})
      for (const ByteRange& piece : ahead.read("a", kSize, at, 128 * kKiB).ahead) furthest = piece.end;
  }
  CHECK(furthest >= 12 * kMiB);
}

TEST_CASE("readers of several objects, or places, share what may be fetched ahead") {
  ReadAhead ahead(kMost);
  std::uint64_t ahead_of_one = 0;
  for (std::uint64_t at = 0; at < 64 * kMiB; at += 128 * kKiB) {
    for (const auto& [object, base] : {std::pair("a", 0UL), std::pair("b", 0UL), std::pair("a", 512 * kMiB)})
      for (const ByteRange& piece : ahead.read(object, kSize, base + at, 128 * kKiB).ahead)
        ahead_of_one = std::max(ahead_of_one, piece.end - (base + at));
  }
  CHECK(ahead_of_one >= 8 * kMiB);
  CHECK(ahead_of_one <= kMost / 3 + ReadAhead::kLongestPiece);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
