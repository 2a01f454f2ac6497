#include "fs/released_claims.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "client/nonce.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

// A commit puts back what it undid within its own time, which is seconds for a large branch.
constexpr std::chrono::seconds kUntilFirstLook{1};
constexpr std::chrono::seconds kBetweenLooks{5};

// Locks that come and go faster than this many in a few seconds are not all looked at.
constexpr std::size_t kMost = 1000;

}  // namespace

void ReleasedClaims::add(Claim claim) {
  const std::lock_guard lock(mutex_);
  if (claims_.size() < kMost || claim.record != nullptr) claims_.push_back(std::move(claim));
}

void ReleasedClaims::forget(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::erase_if(claims_, [&](const Claim& claim) { return claim.version && claim.path == path; });
}

std::vector<ReleasedClaims::Claim> ReleasedClaims::take_due(Moment now) {
  const std::lock_guard lock(mutex_);
  const auto first = std::stable_partition(claims_.begin(), claims_.end(),
                                           [&](const Claim& claim) { return claim.due > now; });
  std::vector<Claim> due(std::make_move_iterator(first), std::make_move_iterator(claims_.end()));
  claims_.erase(first, claims_.end());
  return due;
}

void FilesystemCore::release_later(ReleasedClaims::Claim claim) {
  claim.due = std::chrono::steady_clock::now() + kUntilFirstLook;
  released_claims.add(std::move(claim));
}

void FilesystemCore::release_renamed(const ObjectInfo& old_version) {
  const std::string& path = old_version.path;
  if (rules.is_claimed(std::string_view(path).substr(path.rfind('/') + 1)))
    release_later({.path = path, .nonce = {}, .version = old_version});
}

Result<> FilesystemCore::take_away(const ReleasedClaims::Claim& claim) {
  const auto path = ObjectPath::make(claim.path);
  if (!path) return {};  // Nothing can be there.
  const auto there = lake.stat(*path, ObjectStore::Look::kEntry);
  if (!there) return there.error().code == Errc::kNotFound ? Result<>() : there.error();
  const bool is_ours =
      claim.version ? there->physical_address == claim.version->physical_address
                    : there->size_bytes == 0 && is_nonce(nonce_of(there->metadata), claim.nonce,
                                                         there->physical_address, lake.facts().can_presign);
  if (!is_ours) return {};
  if (auto gone = publisher.remove(*path, *there, Publisher::Sight::kJustNow); !gone) return gone;
  log_info("removed the claim of " + claim.path + ", which nobody holds any more");
  distrust_path(claim.path);
  return {};
}

void FilesystemCore::look_at_released_claims(Moment until) {
  for (auto& claim : released_claims.take_due(until)) {
    if (auto gone = take_away(claim); gone)
      --claim.looks_left;
    else
      log_warn("a claim may still be on the lake: " + gone.error().message);
    claim.due = std::chrono::steady_clock::now() + kBetweenLooks;
    if (claim.looks_left > 0)
      released_claims.add(std::move(claim));
    else if (claim.record != nullptr)
      claim.record->discard();
  }
}

}  // namespace lakefuse
