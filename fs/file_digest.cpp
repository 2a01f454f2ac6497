#include "fs/file_digest.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fs/forwarded_bytes.h"

namespace lakefuse {
namespace {

constexpr std::size_t kChunkBytes = 64 << 10;

class DigestedBytes final : public ForwardedBytes {
 public:
  DigestedBytes(std::shared_ptr<const ByteSource> bytes, RunningMd5 beginning)
      : ForwardedBytes(std::move(bytes)), beginning_(std::move(beginning)) {}

  [[nodiscard]] const RunningMd5* digested() const override { return &beginning_; }

 private:
  const RunningMd5 beginning_;
};

bool add(RunningMd5& md5, const StagedFile& bytes, std::uint64_t end) {
  std::array<std::byte, kChunkBytes> chunk;
  while (md5.size() < end) {
    const auto wanted = std::min<std::uint64_t>(chunk.size(), end - md5.size());
    const auto got = bytes.read(md5.size(), std::span(chunk).first(wanted));
    if (!got || *got == 0) return false;
    md5.add(std::span(chunk).first(*got));
  }
  return true;
}

}  // namespace

void FileDigest::wrote(ByteRange range) {
  const std::lock_guard lock(mutex_);
  if (is_given_up_ || range.begin > row_end_ || range.end <= row_end_) return;
  row_end_ = range.end;
  is_resting_ = false;
  post_locked();
}

// Whoever lets go of the digest ends it: what is posted holds nothing.
void FileDigest::post_locked() {
  if (is_posted_ || is_resting_ || is_given_up_ || row_end_ - place_locked() < kStepBytes) return;
  is_posted_ = true;
  workers_.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->digest_step();
  });
}

void FileDigest::digest_step() {
  StagedFile& bytes = file_->bytes();
  std::unique_lock lock(mutex_);
  if (is_given_up_ || is_resting_) {
    is_posted_ = false;
    return;
  }
  const std::uint64_t end = place_locked() + kStepBytes;
  auto next = md5_ ? Result<RunningMd5>(*md5_) : RunningMd5::begin();
  // All of a row was written, so nothing of it will come from the base, of which the watch is not told.
  if (!next || !watch_locked(end)) return give_up_locked();
  lock.unlock();

  const bool is_added = add(*next, bytes, end);

  lock.lock();
  is_posted_ = false;
  if (!is_added || !bytes.is_unchanged(watch_)) return give_up_locked();
  md5_ = *std::move(next);
  post_locked();
}

bool FileDigest::watch_locked(std::uint64_t end) {
  StagedFile& bytes = file_->bytes();
  if (md5_) return bytes.extend(watch_, end);
  watch_ = bytes.watch({0, end});
  return true;
}

void FileDigest::give_up_locked() {
  is_given_up_ = true;
  md5_.reset();
}

std::shared_ptr<const ByteSource> FileDigest::go_along(std::shared_ptr<const ByteSource> frozen) {
  const std::lock_guard lock(mutex_);
  is_resting_ = true;
  if (!md5_) return frozen;
  // Asked after the freeze: what is unchanged now was so then.
  if (file_->bytes().is_unchanged(watch_)) return std::make_shared<DigestedBytes>(std::move(frozen), *md5_);
  give_up_locked();
  return frozen;
}

}  // namespace lakefuse
