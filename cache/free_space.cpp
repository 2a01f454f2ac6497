#include "cache/free_space.h"

#include <sys/statvfs.h>

#include <algorithm>

namespace lakefuse {

namespace {

// Other processes write too, so an answer is used up quickly where space is short: an eighth of it at most.
// 64 MiB: a statvfs (about 1 us) is then nothing beside the writing.
constexpr std::uint64_t kMostAllowance = 64 << 20;
constexpr std::uint64_t kShare = 8;

}  // namespace

Result<> FreeSpace::admit(std::uint64_t bytes) {
  const auto wanted = static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, INT64_MAX / 2));
  if (allowance_.fetch_sub(wanted) >= wanted) return {};
  const std::uint64_t free = this->bytes();
  if (free < bytes) {
    allowance_ = 0;
    return Error{Errc::kNoSpace, "the local disk is full: " + std::to_string(free) +
                                     " bytes are left above the floor of " + std::to_string(floor_bytes_)};
  }
  allowance_ = static_cast<std::int64_t>(std::min((free - bytes) / kShare, kMostAllowance));
  return {};
}

std::uint64_t FreeSpace::bytes() const {
  struct statvfs facts {};
  if (::fstatvfs(directory_->get(), &facts) != 0) return UINT64_MAX / 2;  // The write itself will tell.
  const std::uint64_t free = std::uint64_t{facts.f_bavail} * facts.f_frsize;
  return free > floor_bytes_ ? free - floor_bytes_ : 0;
}

}  // namespace lakefuse
