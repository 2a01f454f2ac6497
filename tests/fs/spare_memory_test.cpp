#include "fs/spare_memory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/heap.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("spare memory");

namespace {

using namespace std::chrono_literals;

long resident_kib() {
  long size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) >> 10);
}

}  // namespace

TEST_CASE("what was freed between things that stay goes back to the kernel") {
  if (!heap_bytes()) return;                      // A sanitizer's allocator keeps what was freed.
  constexpr int kBlocks = 100'000, kStays = 128;  // Of 512 bytes: one in 64 KiB.
  std::vector<std::unique_ptr<std::byte[]>> blocks;
  const long before = resident_kib();
  for (int n = 0; n < kBlocks; ++n) blocks.push_back(std::make_unique<std::byte[]>(500));
  const long full = resident_kib();
  for (int n = 0; n < kBlocks; ++n)
    if (n % kStays != 0) blocks[static_cast<std::size_t>(n)].reset();
  REQUIRE(full - before > 40'000);
  const SpareMemory spare(10ms);
  const auto patience = std::chrono::steady_clock::now() + 10s;
  while (resident_kib() > before + 15'000 && std::chrono::steady_clock::now() < patience)
    std::this_thread::sleep_for(10ms);
  CHECK(resident_kib() <= before + 15'000);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
