#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cache/byte_range.h"
#include "cache/cache_eviction.h"
#include "cache/cache_usage.h"
#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// Objects in one file each, their bytes and nothing else, so that the kernel can read them without us:
//
//   <cache_dir>/blocks/ab/cdef…-whole   all bytes of the object
//   <cache_dir>/blocks/ab/cdef…-sums    a sum for each chunk (a block's table, behind a hole), and the seal
//
// A whole file has its name once all of it is there. The seal says on which boot of the machine its bytes
// were seen to fit their sums, and when the file had changed last by then; it fits no file that was changed
// since. Safe to call from many threads and processes at once; calls take as long as the disk does, and those
// of look_through() and make() as long as it does for the whole object.
class WholeFiles {
 public:
  WholeFiles(std::shared_ptr<const UniqueFd> blocks, CacheUsage& usage, CacheEviction& eviction)
      : blocks_(std::move(blocks)), usage_(usage), eviction_(eviction) {}

  // Of a name in a directory of the cache: whether it is one of these two.
  [[nodiscard]] static bool is_name(std::string_view name);

  // What the cap counts for both files.
  [[nodiscard]] static std::uint64_t charge_for(std::uint64_t object_bytes);

  // Whether it is there, damaged or not; then a range of it is read into memory behind.
  [[nodiscard]] bool has(const std::string& object, std::uint64_t object_bytes, const ByteRange& range) const;

  // As BlockFiles::load, of the object: a damaged chunk is not there.
  std::size_t load(const std::string& object, std::uint64_t object_bytes, std::uint64_t offset,
                   std::span<std::byte> out);

  // The bytes, for one who reads the file as it is, where the seal fits; else an empty one. Counts as used.
  UniqueFd lend(const std::string& object, std::uint64_t object_bytes);

  // Seals the file where all of its bytes fit; a damaged one goes. False: there is none (any more). Reads all
  // of it; ends early, with true, when the thread's Patience does.
  bool look_through(const std::string& object, std::uint64_t object_bytes);

  // Makes it of what `source` fills in, a mebibyte or less at a time; false from it gives up. Needs a disk
  // with O_TMPFILE, so that a crash leaves nothing.
  using Source = std::function<bool(std::uint64_t offset, std::span<std::byte> out)>;
  Result<> make(const std::string& object, std::uint64_t object_bytes, const Source& source);

 private:
  struct Files {
    UniqueFd bytes;
    UniqueFd sums;
  };
  [[nodiscard]] std::optional<Files> open(const std::string& object, std::uint64_t object_bytes) const;
  // Says that it is used; whether the seal fits.
  bool use(const Files& files, const std::string& object);
  void give_name(const UniqueFd& file, const std::string& object, const std::string& path);

  const std::shared_ptr<const UniqueFd> blocks_;
  CacheUsage& usage_;
  CacheEviction& eviction_;
};

}  // namespace lakefuse
