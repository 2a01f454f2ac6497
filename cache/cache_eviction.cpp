#include "cache/cache_eviction.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "cache/block_format.h"
#include "cache/disk.h"
#include "cache/whole_files.h"

namespace lakefuse {

namespace {

// Enough for the oldest of them to be old: of 512, the oldest eighth is older than 80 % of all with near
// certainty.
constexpr std::size_t kSampleFiles = 512;
constexpr std::size_t kSampleShare = 8;

// More than needed goes at once, so that a cache that is full does not look at 512 files for each new block.
constexpr std::uint64_t kMostRoomAhead = 16 << 20;
constexpr std::uint64_t kAheadShare = 64;

constexpr std::uint64_t kPageBytes = 4096;

// A file that was not written for so long is not being written.
constexpr std::int64_t kWritingSeconds = 60;

constexpr std::int64_t kUseSeconds = 1;

// A file of 4 KiB stays 32 times as long as a block of 4 MiB. In proportion to the size it would be a
// thousand times, and a block that is read all the time would make room for what nobody has wanted for hours.
//
// A use in time to come was written by a clock that was wrong then, or is now: it counts as one as far back,
// or such files would push out all that are read after them.
double worth_of(const struct stat& facts, const struct timespec& now) {
  const double unused = static_cast<double>(now.tv_sec - facts.st_mtim.tv_sec) +
                        static_cast<double>(now.tv_nsec - facts.st_mtim.tv_nsec) / 1e9;
  return -std::abs(unused) * std::sqrt(static_cast<double>(charge_of(facts)));
}

// What the account says of a file: less than the disk while somebody writes chunks that it does not show yet.
std::uint64_t booked_of(int blocks, const std::string& path) {
  struct stat facts {};
  if (::fstatat(blocks, path.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  const std::uint64_t taken = charge_of(facts);
  if (WholeFiles::is_name(path) || facts.st_mtim.tv_sec + kWritingSeconds < ::time(nullptr)) return taken;
  const auto file = open_file(blocks, path, O_RDONLY);
  if (!file) return taken;
  return std::min(taken, BlockFormat::shown_bytes(file->get(), static_cast<std::uint64_t>(facts.st_size)));
}

}  // namespace

std::uint64_t charge_of(std::uint64_t file_bytes) {
  return (file_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

std::uint64_t charge_of(const struct stat& facts) {
  return static_cast<std::uint64_t>(facts.st_blocks) * 512;
}

bool was_just_used(const struct stat& facts) {
  return std::abs(::time(nullptr) - facts.st_mtim.tv_sec) < kUseSeconds;
}

void mark_used(int file) {
  const struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ::futimens(file, times);
}

void CacheEviction::make_room(std::uint64_t bytes) {
  if (usage_.total() + bytes <= cap_bytes_) return;
  std::lock_guard lock(mutex_);
  const std::uint64_t used = usage_.total();  // Another thread may have made room meanwhile.
  if (used + bytes <= cap_bytes_) return;
  evict(used + bytes - cap_bytes_ + std::min(cap_bytes_ / kAheadShare, kMostRoomAhead));
}

void CacheEviction::give_back(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  evict(bytes);
}

void CacheEviction::count_all(std::stop_token stop) {
  for (std::size_t shard = 0; shard < kShards; ++shard) {
    if (stop.stop_requested()) return;
    // Where files come and go all the time, one look is not enough; who evicts there looks again anyway.
    for (int tries = 0; tries < 3; ++tries) {
      std::lock_guard lock(mutex_);
      std::vector<Candidate> ignored;
      if (look(shard, ignored, As::kBooked)) break;
    }
  }
  usage_.set_counted();
}

void CacheEviction::evict(std::uint64_t bytes) {
  std::uint64_t freed = 0;
  while (freed < bytes) {
    auto files = sample();
    if (files.empty()) return;
    std::ranges::sort(files, {}, &Candidate::worth);
    const bool is_all = files.size() < kSampleFiles;
    const std::size_t most = is_all ? files.size() : files.size() / kSampleShare;
    for (std::size_t n = 0; n < most && freed < bytes; ++n) {
      const std::string path = shard_name(files[n].shard) + "/" + files[n].name;
      freed += files[n].charge;  // Also when another process was quicker: the disk has the space.
      remove(files[n].shard, path);
    }
    if (is_all) return;
  }
}

void CacheEviction::remove(std::size_t shard, const std::string& path) {
  usage_.change(shard, [&] {
    const std::uint64_t booked = booked_of(blocks_->get(), path);  // It may have grown.
    const bool is_gone = ::unlinkat(blocks_->get(), path.c_str(), 0) == 0;
    return is_gone ? -static_cast<std::int64_t>(booked) : std::int64_t{0};
  });
}

// The files of directories in random order, until there are enough or no more.
std::vector<CacheEviction::Candidate> CacheEviction::sample() {
  std::vector<Candidate> found;
  const std::size_t first = random_() % kShards;
  // An odd step visits each of 256 once.
  const std::size_t step = 2 * (random_() % (kShards / 2)) + 1;
  const auto shards = usage_.shards();
  for (std::size_t n = 0; n < kShards && found.size() < kSampleFiles; ++n) {
    const std::size_t shard = (first + n * step) % kShards;
    if (shards[shard] > 0) look(shard, found, As::kTaken);
  }
  return found;
}

bool CacheEviction::look(std::size_t shard, std::vector<Candidate>& found, As as) {
  const auto before = usage_.account(shard);
  const UniqueFd directory(
      ::openat(blocks_->get(), shard_name(shard).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory && errno != ENOENT) return true;  // Not to be had, now or soon.
  const auto names = directory ? list_names(directory.get()) : Result<std::vector<std::string>>();
  if (!names) return true;
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::uint64_t sum = 0;
  for (const std::string& name : *names) {
    struct stat facts {};
    if (::fstatat(directory.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const std::uint64_t charge = charge_of(facts);
    sum += as == As::kBooked ? booked_of(blocks_->get(), shard_name(shard) + "/" + name) : charge;
    found.push_back({worth_of(facts, now), charge, shard, name});
  }
  return usage_.correct(shard, before, sum);
}

}  // namespace lakefuse
