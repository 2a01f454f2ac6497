// What a fuzz target needs: libFuzzer calls LLVMFuzzerTestOneInput with any bytes, again and again. A crash,
// a sanitizer's report, a hang or a broken must() is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace lakefuse::fuzz {

inline void must(bool holds) {
  if (!holds) std::abort();
}

// Hands out the input from its front: numbers that choose, and the rest as text.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_.front();
    left_ = left_.subspan(1);
    return first;
  }
  [[nodiscard]] std::string_view rest() const {
    return {reinterpret_cast<const char*>(left_.data()), left_.size()};
  }

 private:
  std::span<const std::uint8_t> left_;
};

}  // namespace lakefuse::fuzz
