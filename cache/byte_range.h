#pragma once

#include <cstdint>

namespace lakefuse {

// A half-open range of bytes.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool operator==(const ByteRange&) const = default;
};

}  // namespace lakefuse
