#include "fs/kept_object.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/support/heap.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("kept object");

namespace {

ObjectInfo object(int n) {
  ObjectInfo info;
  info.path = "pictures/of/2026/sample-" + std::to_string(100'000 + n) + ".jpg";
  info.physical_address = "s3://bucket/lab/data/e000000glerm4sg0000g/dc4u680glerm4sg" + std::to_string(n);
  info.checksum = "5d41402abc4b2a76b9719d911017c5" + std::to_string(10 + n % 90);
  info.size_bytes = 10 + static_cast<std::uint64_t>(n);
  info.mtime_seconds = 1'795'810'080 + n;
  info.content_type = "application/octet-stream";
  return info;
}

bool are_equal(const ObjectInfo& a, const ObjectInfo& b) {
  return a.path == b.path && a.physical_address == b.physical_address && a.checksum == b.checksum &&
         a.size_bytes == b.size_bytes && a.mtime_seconds == b.mtime_seconds &&
         a.content_type == b.content_type && a.metadata == b.metadata;
}

}  // namespace

TEST_CASE("what was kept comes back, whatever it says") {
  std::vector<ObjectInfo> all{object(1), {}, object(2)};
  all[1].path = "in-the-root";
  ObjectInfo odd = object(3);
  odd.physical_address = "mem://no-slash-behind";
  odd.checksum = "0123456789ABCDEF0123456789ABCDEF";  // Other letters than those of a digest that is packed.
  odd.metadata = {{"a", ""}, {"b", std::string(300, 'x')}, {"::lakefs::client-mtime", "1795810080"}};
  all.push_back(odd);
  odd.path = "dir/";
  odd.checksum = std::string("\0\1", 2);
  odd.metadata.erase("a");
  odd.mtime_seconds = -1;
  odd.size_bytes = UINT64_MAX;
  all.push_back(odd);
  odd.metadata = {{"b", "first"}};  // A name that another had, with another value.
  all.push_back(odd);
  odd.checksum = "5d41402abc4b2a76b9719d911017c592-7";
  all.push_back(odd);
  std::vector<KeptObject> kept(all.begin(), all.end());
  for (std::size_t n = 0; n < all.size(); ++n) {
    CAPTURE(n);
    CHECK(are_equal(*kept[n], all[n]));
    CHECK(kept[n].size_bytes() == all[n].size_bytes);
    CHECK(kept[n].mtime_seconds() == all[n].mtime_seconds);
    CHECK(kept[n].has_metadata() == !all[n].metadata.empty());
  }
}

TEST_CASE("nothing is kept as nothing") {
  KeptObject none;
  CHECK_FALSE(none);
  CHECK_FALSE(KeptObject(std::optional<ObjectInfo>()));
  CHECK_FALSE(std::optional<ObjectInfo>(none));
  KeptObject one = object(1);
  CHECK(none.is_same_version(KeptObject()));
  CHECK_FALSE(none.is_same_version(one));
  CHECK_FALSE(one.is_same_version(none));
  one = std::nullopt;
  CHECK_FALSE(one.has_value());
}

TEST_CASE("it is the same version as W6 has it") {
  const KeptObject one = object(1);
  CHECK(one.is_same_version(one));
  CHECK(one.is_same_version(object(1)));
  ObjectInfo other = object(1);
  other.physical_address += "x";  // An equal record elsewhere.
  CHECK(one.is_same_version(other));
  other.content_type = "text/plain";
  CHECK_FALSE(one.is_same_version(other));
  other = object(1);
  other.checksum = object(2).checksum;
  CHECK_FALSE(one.is_same_version(other));
}

TEST_CASE("copies share it, from whatever thread, until the last is gone") {
  std::vector<std::jthread> threads;
  const KeptObject one = object(7);
  for (int n = 0; n < 4; ++n)
    threads.emplace_back([copy = one] {
      for (int turn = 0; turn < 10'000; ++turn) {
        KeptObject another = copy;
        const KeptObject moved = std::move(another);
        if (moved.size_bytes() != 17) std::abort();
      }
    });
  threads.clear();
  CHECK(are_equal(*one, object(7)));
}

TEST_CASE("a listed object takes no more than 144 bytes") {
  constexpr std::size_t kObjects = 20'000;
  std::vector<KeptObject> kept;
  kept.reserve(kObjects);
  const auto before = heap_bytes();
  if (!before) return;
  for (std::size_t n = 0; n < kObjects; ++n) kept.emplace_back(object(static_cast<int>(n)));
  const auto bytes = *heap_bytes() - *before;
  CAPTURE(bytes / kObjects);
  CHECK(bytes <= 144 * kObjects);
  CHECK(bytes >= 64 * kObjects);  // Else nothing was counted.
}

TEST_SUITE_END();

}  // namespace lakefuse::test
