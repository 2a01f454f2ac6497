#include "cache/block_files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/cache/cache_fixture.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("block files");

namespace {

constexpr std::uint64_t kChunk = 4096;

// Pages of the file that the kernel has in memory, among the first so many.
std::size_t pages_in_memory(const std::filesystem::path& path, std::size_t pages) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* const at = ::mmap(nullptr, pages * kChunk, PROT_READ, MAP_SHARED, file, 0);
  REQUIRE(at != MAP_FAILED);
  std::vector<unsigned char> is_there(pages);
  REQUIRE(::mincore(at, pages * kChunk, is_there.data()) == 0);
  ::munmap(at, pages * kChunk);
  ::close(file);
  return static_cast<std::size_t>(
      std::ranges::count_if(is_there, [](unsigned char bits) { return bits & 1; }));
}

}  // namespace

TEST_CASE("a look for what a block lacks brings no holes into the kernel's memory") {
  ScratchDirectory cache;
  auto files = BlockFiles::open(cache.path(), kGiB);
  REQUIRE(files);
  const BlockId id{std::string(64, 'a'), 0};
  const std::string last(kChunk, 'x');
  (*files)->store(id, kBlock, kBlock - kChunk, std::as_bytes(std::span(last)),
                  BlockFiles::Way::kThroughPages);
  REQUIRE(block_files(cache.path()).size() == 1);
  const auto file = block_files(cache.path()).front();
  const ByteRange gap = (*files)->first_gap(id, kBlock, {0, kBlock / 2}, 1);
  CHECK(gap.begin == 0);
  CHECK(gap.end == kBlock / 2);
  CHECK(pages_in_memory(file, 256) == 0);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
