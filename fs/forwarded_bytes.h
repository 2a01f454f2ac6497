#pragma once

#include <memory>
#include <utility>

#include "client/byte_source.h"

namespace lakefuse {

// Another's bytes, of which more is known. As ByteSource: one reader at a time.
class ForwardedBytes : public ByteSource {
 public:
  explicit ForwardedBytes(std::shared_ptr<const ByteSource> bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] std::uint64_t size() const override { return bytes_->size(); }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    return bytes_->read(offset, out);
  }
  [[nodiscard]] const RunningMd5* digested() const override { return bytes_->digested(); }
  [[nodiscard]] const BeginsAs* begins_as() const override { return bytes_->begins_as(); }

 private:
  const std::shared_ptr<const ByteSource> bytes_;
};

}  // namespace lakefuse
