#include "cache/block_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>

#include "cache/disk.h"
#include "cache/private_directory.h"

namespace lakefuse {

namespace {

// What the cache leaves free for the spool, which matters more: a twentieth of the disk, but no more than 1
// GiB.
constexpr std::uint64_t kMostFloor = 1 << 30;
constexpr std::uint64_t kFloorShare = 20;

// A used block says so once a second at most: more often would cost an inode write per read and tell nothing.
constexpr std::int64_t kTouchSeconds = 1;

// A disk that was full is not tried again for so long.
constexpr std::int64_t kFullSeconds = 1;

std::uint64_t floor_of(int directory) {
  struct statvfs facts {};
  if (::fstatvfs(directory, &facts) != 0) return kMostFloor;
  return std::min(kMostFloor, std::uint64_t{facts.f_blocks} * facts.f_frsize / kFloorShare);
}

std::size_t shard_of(const BlockId& id) {
  unsigned shard = 0;
  std::from_chars(id.object.data(), id.object.data() + 2, shard, 16);
  return shard % kShards;
}

std::string path_of(const BlockId& id) {
  return id.object.substr(0, 2) + "/" + id.object.substr(2) + "-" + std::to_string(id.index);
}

std::int64_t seconds_of(clockid_t clock) {
  struct timespec now {};
  ::clock_gettime(clock, &now);
  return now.tv_sec;
}

void touch(int file, const struct stat& facts) {
  if (seconds_of(CLOCK_REALTIME) - facts.st_mtim.tv_sec < kTouchSeconds) return;
  const struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ::futimens(file, times);
}

}  // namespace

Result<std::unique_ptr<BlockFiles>> BlockFiles::open(const std::filesystem::path& cache_dir,
                                                     std::uint64_t cap_bytes) {
  auto directory = open_private_directory(cache_dir);
  if (!directory) return directory.error();
  auto blocks = open_private_directory(directory->get(), "blocks");
  if (!blocks) return blocks.error().in(cache_dir.string());
  auto usage = CacheUsage::open(directory->get());
  if (!usage) return usage.error().in(cache_dir.string());
  return std::unique_ptr<BlockFiles>(new BlockFiles(std::move(*blocks), std::move(*usage), cap_bytes));
}

BlockFiles::BlockFiles(UniqueFd blocks, CacheUsage usage, std::uint64_t cap_bytes)
    : blocks_(std::make_shared<const UniqueFd>(std::move(blocks))),
      cap_bytes_(cap_bytes),
      usage_(std::move(usage)),
      space_(blocks_, floor_of(blocks_->get())),
      eviction_(blocks_, usage_, cap_bytes) {
  // Behind, for both may take seconds: to count is needed once in the life of a directory, to shrink after
  // --cache-size.
  if (usage_.is_counted() && usage_.total() <= cap_bytes_) return;
  tidier_ = std::jthread([this](std::stop_token stop) {
    if (!usage_.is_counted()) eviction_.count_all(stop);
    if (!stop.stop_requested()) eviction_.make_room(0);
  });
}

bool BlockFiles::load(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                      std::span<std::byte> out) {
  auto file = open_file(blocks_->get(), path_of(id), O_RDONLY);
  if (!file) return false;
  struct stat facts {};
  if (::fstat(file->get(), &facts) != 0) return false;
  if (read_block(file->get(), id, block_bytes, offset, out)) {
    touch(file->get(), facts);
    return true;
  }
  remove(id, block_bytes);
  return false;
}

// Books what put() booked, whatever the damage did to the file's length.
void BlockFiles::remove(const BlockId& id, std::uint64_t block_bytes) {
  usage_.change(shard_of(id), [&] {
    if (::unlinkat(blocks_->get(), path_of(id).c_str(), 0) != 0) return std::int64_t{0};
    return -static_cast<std::int64_t>(charge_of(block_file_bytes(block_bytes)));
  });
}

bool BlockFiles::has_room(std::uint64_t block_bytes) {
  const std::uint64_t charge = charge_of(block_file_bytes(block_bytes));
  if (charge > cap_bytes_) return false;
  const std::int64_t full_since = full_since_seconds_;
  if (full_since != 0 && seconds_of(CLOCK_MONOTONIC) - full_since <= kFullSeconds) return false;
  if (space_.bytes() >= charge) return true;
  eviction_.give_back(charge);
  return space_.bytes() >= charge;
}

void BlockFiles::store(const BlockId& id, std::span<const std::byte> bytes) {
  const std::uint64_t charge = charge_of(block_file_bytes(bytes.size()));
  if (!has_room(bytes.size())) return;
  eviction_.make_room(being_written_ +=
                      charge);  // For all that write now, so that together they keep the cap.
  auto put = this->put(id, bytes);
  being_written_ -= charge;
  full_since_seconds_ = !put && put.error().code == Errc::kNoSpace ? seconds_of(CLOCK_MONOTONIC) : 0;
}

Result<> BlockFiles::put(const BlockId& id, std::span<const std::byte> bytes) {
  const std::string directory = id.object.substr(0, 2);
  const std::string half_made = directory + "/" + random_name() + std::string(kHalfMade);
  auto file = open_file(blocks_->get(), half_made, O_CREAT | O_EXCL | O_WRONLY);
  if (!file) {
    if (::mkdirat(blocks_->get(), directory.c_str(), 0700) != 0 && errno != EEXIST)
      return disk_error("cannot make a directory in the cache", errno);
    file = open_file(blocks_->get(), half_made, O_CREAT | O_EXCL | O_WRONLY);
  }
  if (!file) return file.error();
  auto wrote = write_fully(file->get(), 0, bytes);
  if (wrote) wrote = write_fully(file->get(), bytes.size(), block_trailer(id, bytes));
  if (wrote) wrote = name_block(id, half_made, bytes.size());
  if (!wrote) ::unlinkat(blocks_->get(), half_made.c_str(), 0);
  return wrote;
}

// NOREPLACE: of two processes with the same block only one may book it. File systems that cannot say so may
// book it twice, until somebody looks.
Result<> BlockFiles::name_block(const BlockId& id, const std::string& half_made, std::uint64_t block_bytes) {
  const std::string path = path_of(id);
  int failed = 0;
  usage_.change(shard_of(id), [&] {
    const int blocks = blocks_->get();
    int renamed = ::renameat2(blocks, half_made.c_str(), blocks, path.c_str(), RENAME_NOREPLACE);
    if (renamed != 0 && errno == EINVAL)
      renamed = ::renameat(blocks, half_made.c_str(), blocks, path.c_str());
    if (renamed != 0) failed = errno;
    return renamed == 0 ? static_cast<std::int64_t>(charge_of(block_file_bytes(block_bytes))) : 0;
  });
  if (failed != 0) return disk_error("cannot name a block", failed);
  return {};
}

}  // namespace lakefuse
