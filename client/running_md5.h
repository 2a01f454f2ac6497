#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "client/error.h"

struct evp_md_ctx_st;

namespace lakefuse {

using Md5 = std::array<std::byte, 16>;

// The MD5 of bytes that come one after the other, some 200 bytes of memory wherever it stands. A value type.
class RunningMd5 {
 public:
  // kUnsupported: this OpenSSL has no MD5.
  static Result<RunningMd5> begin();

  RunningMd5(const RunningMd5& other);
  RunningMd5(RunningMd5&&) noexcept = default;
  RunningMd5& operator=(RunningMd5 other) noexcept;
  ~RunningMd5() = default;

  void add(std::span<const std::byte> bytes);

  // How many bytes it is of.
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // Of what was added so far; more may follow.
  [[nodiscard]] Md5 value() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  RunningMd5();

  std::unique_ptr<evp_md_ctx_st, Free> context_;
  std::uint64_t size_ = 0;
};

}  // namespace lakefuse
