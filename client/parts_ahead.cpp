#include "client/parts_ahead.h"

#include <algorithm>

namespace lakefuse {
namespace {

constexpr std::uint64_t kFirstPartBytes = std::uint64_t{16} << 20;
constexpr std::size_t kOfOneSize = 1'000;
constexpr std::size_t kLastDoubling = 8;  // 4 GiB.

std::uint64_t bytes_of_parts(std::size_t step) {
  return kFirstPartBytes << std::min(step, kLastDoubling);
}

}  // namespace

std::uint64_t PartPlan::begin(std::size_t index) {
  std::uint64_t at = 0;
  for (std::size_t step = 0;; ++step, index -= kOfOneSize) {
    if (index <= kOfOneSize) return at + index * bytes_of_parts(step);
    at += kOfOneSize * bytes_of_parts(step);
  }
}

std::size_t PartPlan::index_of(std::uint64_t offset) {
  std::size_t index = 0;
  for (std::size_t step = 0;; ++step, index += kOfOneSize) {
    const std::uint64_t all = kOfOneSize * bytes_of_parts(step);
    if (offset < all) return index + static_cast<std::size_t>(offset / bytes_of_parts(step));
    offset -= all;
  }
}

}  // namespace lakefuse
