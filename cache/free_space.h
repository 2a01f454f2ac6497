#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// The free space of one disk, of which a floor is left to others: to the spool by the read cache, to the
// system (and to the spool's own records) by the spool. It asks the disk only now and then: each answer is
// good for some MiB. Safe to call from many threads at once.
class FreeSpace {
 public:
  FreeSpace(std::shared_ptr<const UniqueFd> directory, std::uint64_t floor_bytes)
      : directory_(std::move(directory)), floor_bytes_(floor_bytes) {}

  // Whether so many bytes may be written: kNoSpace when the floor would be reached.
  Result<> admit(std::uint64_t bytes);

  // Above the floor, as the disk says now.
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  const std::shared_ptr<const UniqueFd> directory_;
  const std::uint64_t floor_bytes_;
  std::atomic<std::int64_t> allowance_ = 0;  // May be written before the disk is asked again.
};

}  // namespace lakefuse
