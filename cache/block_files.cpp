#include "cache/block_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <tuple>

#include "cache/disk.h"
#include "cache/guarded.h"
#include "cache/private_directory.h"

namespace lakefuse {

namespace {

// What the cache leaves free for the spool, which matters more: a twentieth of the disk, but no more than 1
// GiB.
constexpr std::uint64_t kMostFloor = 1 << 30;
constexpr std::uint64_t kFloorShare = 20;

// An object that takes more of the cap than this share is not made whole: for a while it takes that twice.
constexpr std::uint64_t kLargestShare = 4;

// A disk that was full is not tried again for so long.
constexpr std::int64_t kFullSeconds = 1;

std::uint64_t floor_of(int directory) {
  struct statvfs facts {};
  if (::fstatvfs(directory, &facts) != 0) return kMostFloor;
  return std::min(kMostFloor, std::uint64_t{facts.f_blocks} * facts.f_frsize / kFloorShare);
}

std::string path_of(const BlockId& id) {
  return file_of(id.object, "-" + std::to_string(id.index));
}

std::int64_t steady_seconds() {
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void touch(int file) {
  struct stat facts {};
  if (::fstat(file, &facts) == 0 && !was_just_used(facts)) mark_used(file);
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
      eviction_(blocks_, usage_, cap_bytes),
      wholes_(blocks_, usage_, eviction_) {
  // Behind, for both may take seconds: to count is needed once in the life of a directory, to shrink after
  // --cache-size.
  if (usage_.is_counted() && usage_.total() <= cap_bytes_) return;
  tidier_ = std::jthread([this](std::stop_token stop) {
    std::ignore = guarded([&] {  // What this leaves, the next one that writes does.
      if (!usage_.is_counted()) eviction_.count_all(stop);
      if (!stop.stop_requested()) eviction_.make_room(0);
    });
  });
}

std::size_t BlockFiles::load(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                             std::span<std::byte> out) {
  const auto file = open_file(blocks_->get(), path_of(id), O_RDONLY);
  if (!file) return 0;
  const std::size_t filled = BlockFormat(id, block_bytes).read(file->get(), offset, out);
  if (filled > 0) touch(file->get());
  return filled;
}

std::uint64_t BlockFiles::first_held(const BlockId& id, std::uint64_t block_bytes, const ByteRange& range,
                                     std::size_t in_a_row) {
  const auto file = open_file(blocks_->get(), path_of(id), O_RDONLY);
  return file ? BlockFormat(id, block_bytes).first_written(file->get(), range, in_a_row) : range.end;
}

ByteRange BlockFiles::first_gap(const BlockId& id, std::uint64_t block_bytes, const ByteRange& range,
                                std::size_t in_a_row) {
  const auto file = open_file(blocks_->get(), path_of(id), O_RDONLY);
  if (!file) return range;
  const BlockFormat format(id, block_bytes);
  const std::uint64_t begin = format.first_unwritten(file->get(), range);
  // A length of 0 would mean all of the file, and fill the page cache with its holes.
  if (begin > range.begin)
    ::posix_fadvise(file->get(), static_cast<off_t>(range.begin), static_cast<off_t>(begin - range.begin),
                    POSIX_FADV_WILLNEED);
  return {begin, format.first_written(file->get(), {begin, range.end}, in_a_row)};
}

bool BlockFiles::holds(const BlockId& id, std::uint64_t block_bytes) {
  const auto file = open_file(blocks_->get(), path_of(id), O_RDONLY);
  if (!file) return false;
  return BlockFormat(id, block_bytes).first_unwritten(file->get(), {0, block_bytes}) == block_bytes;
}

void BlockFiles::remove(const BlockId& id) {
  eviction_.remove(shard_of(id.object), path_of(id));
}

bool BlockFiles::make_whole(const std::string& object, std::uint64_t object_bytes,
                            const WholeFiles::Source& source) {
  const std::uint64_t charge = WholeFiles::charge_for(object_bytes);
  if (charge > cap_bytes_ / kLargestShare || !has_room(charge)) return false;
  eviction_.make_room(being_written_ += charge);
  const bool is_made = wholes_.make(object, object_bytes, source).has_value();
  being_written_ -= charge;
  return is_made;
}

bool BlockFiles::has_room(std::uint64_t charge) {
  if (charge > cap_bytes_) return false;
  const std::int64_t full_since = full_since_seconds_;
  if (full_since != 0 && steady_seconds() - full_since <= kFullSeconds) return false;
  if (space_.bytes() >= charge) return true;
  eviction_.give_back(charge);
  return space_.bytes() >= charge;
}

void BlockFiles::store(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                       std::span<const std::byte> bytes, Way way) {
  // The table's pages, too: most blocks are new.
  const std::uint64_t charge =
      charge_of(bytes.size()) + charge_of(block_bytes / BlockFormat::kChunkBytes * 8);
  if (!has_room(charge)) return;
  eviction_.make_room(being_written_ +=
                      charge);  // For all that write now, so that together they keep the cap.
  auto put = this->put(id, block_bytes, offset, bytes, way);
  // What another process wrote meanwhile is seen by whoever ends last.
  eviction_.make_room(being_written_ -= charge);
  full_since_seconds_ = !put && put.error().code == Errc::kNoSpace ? steady_seconds() : 0;
}

Result<> BlockFiles::put(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                         std::span<const std::byte> bytes, Way way) {
  const BlockFormat format(id, block_bytes);
  const auto file = open_or_make(id, format);
  if (!file) return file.error();
  auto wrote = way == Way::kPastPages ? write_past_pages(file->get(), offset, bytes)
                                      : write_fully(file->get(), offset, bytes);
  if (!wrote) return wrote.error();
  const auto sums = format.sums_of(offset, bytes);
  Result<std::uint64_t> more = std::uint64_t{0};
  usage_.change(shard_of(id.object), [&] {
    struct stat facts {};
    const bool is_evicted = ::fstat(file->get(), &facts) != 0 || facts.st_nlink == 0;
    if (!is_evicted) more = format.write_sums(file->get(), offset, sums);
    return static_cast<std::int64_t>(more.value_or(0));
  });
  if (!more) return more.error();
  return {};
}

// The table comes first: a file that has its length takes no more of the disk than is written into it.
Result<UniqueFd> BlockFiles::open_or_make(const BlockId& id, const BlockFormat& format) {
  const std::string path = path_of(id);
  auto file = open_file(blocks_->get(), path, O_RDWR);
  if (file) return file;
  usage_.change(shard_of(id.object), [&] {
    file = open_file(blocks_->get(), path, O_CREAT | O_EXCL | O_RDWR);
    if (!file && ::mkdirat(blocks_->get(), path.substr(0, 2).c_str(), 0700) == 0)
      file = open_file(blocks_->get(), path, O_CREAT | O_EXCL | O_RDWR);
    if (!file) return std::int64_t{0};
    auto charge = format.write_table(file->get());
    if (charge) return static_cast<std::int64_t>(*charge);
    ::unlinkat(blocks_->get(), path.c_str(), 0);
    file = charge.error();
    return std::int64_t{0};
  });
  // Another process may have made it meanwhile.
  return file || file.error().code == Errc::kNoSpace ? std::move(file)
                                                     : open_file(blocks_->get(), path, O_RDWR);
}

}  // namespace lakefuse
