#include "fs/spare_memory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "tests/support/heap.h"

namespace lakefuse::test {

using namespace std::chrono_literals;

TEST_SUITE_BEGIN("spare memory");

TEST_CASE("what was freed between things that stay goes back to the kernel") {
  if (!heap_bytes()) return;                      // A sanitizer's allocator keeps what was freed.
  constexpr int kBlocks = 100'000, kStays = 128;  // Of 512 bytes: one in 64 KiB.
  std::vector<std::unique_ptr<std::byte[]>> blocks;
  for (int n = 0; n < kBlocks; ++n) blocks.push_back(std::make_unique<std::byte[]>(500));
  const long full = resident_kib(::getpid());
  for (int n = 0; n < kBlocks; ++n)
    if (n % kStays != 0) blocks[static_cast<std::size_t>(n)].reset();
  const SpareMemory spare(10ms);
  const auto given_back = [&] { return full - resident_kib(::getpid()); };
  const auto patience = std::chrono::steady_clock::now() + 10s;
  while (given_back() < 40'000 && std::chrono::steady_clock::now() < patience)
    std::this_thread::sleep_for(10ms);
  CHECK(given_back() >= 40'000);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
