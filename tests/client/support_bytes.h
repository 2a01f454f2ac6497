#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "client/byte_source.h"

namespace lakefuse::test {

// Bytes to upload, out of a text. Claims `claimed` bytes where that is given: a file that got shorter.
class TextSource : public ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)), size_(text_.size()) {}
  TextSource(std::string text, std::uint64_t claimed) : text_(std::move(text)), size_(claimed) {}

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= text_.size()) return std::size_t{0};
    const std::size_t length = std::min<std::size_t>(out.size(), text_.size() - offset);
    std::memcpy(out.data(), text_.data() + offset, length);
    return length;
  }

 private:
  const std::string text_;
  const std::uint64_t size_;
};

}  // namespace lakefuse::test
