#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "client/byte_source.h"

namespace lakefuse::test {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// As ByteSource::read(), of a text.
inline std::size_t read_text(std::string_view text, std::uint64_t offset, std::span<std::byte> out) {
  if (offset >= text.size()) return 0;
  const auto rest = bytes_of(text).subspan(offset);
  const std::size_t count = std::min(rest.size(), out.size());
  std::copy_n(rest.begin(), count, out.begin());
  return count;
}

// A ByteSource that holds its bytes. Safe for many readers at once.
class MemoryBytes : public ByteSource {
 public:
  explicit MemoryBytes(std::string text) : text_(std::move(text)) {}

  [[nodiscard]] std::uint64_t size() const override { return text_.size(); }

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    return read_text(text_, offset, out);
  }

 private:
  const std::string text_;
};

// All of a source as text; fails as the source does, or when it ends before its size.
Result<std::string> read_all(const ByteSource& source);

// The MD5 in lower-case hex, as S3 and upload_object tell it.
std::string checksum_of(std::string_view text);

}  // namespace lakefuse::test
