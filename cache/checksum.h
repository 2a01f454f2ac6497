#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lakefuse {

// XXH64: finds damage, not malice. About 10 GB/s on any 64-bit machine without special instructions, so that
// a check of each cached read costs less than the read.
[[nodiscard]] std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace lakefuse
