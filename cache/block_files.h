#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <thread>

#include "cache/block_format.h"
#include "cache/cache_eviction.h"
#include "cache/cache_usage.h"
#include "cache/free_space.h"
#include "cache/unique_fd.h"
#include "cache/whole_files.h"
#include "client/error.h"

namespace lakefuse {

// Blocks on disk, shared by all processes of the user:
//
//   <cache_dir>/usage                   how many bytes there are
//   <cache_dir>/blocks/ab/cdef…-<index>  one block each, named by the object's digest; its mtime is when it
//   was last used
//
// A block fills up chunk by chunk, as they are read (block_format.h). What is damaged counts as absent. Safe
// to call from many threads at once; calls take as long as the disk does and never fail.
class BlockFiles {
 public:
  // kLocalIo: the directory belongs to another user, may be written by others, or cannot be used.
  static Result<std::unique_ptr<BlockFiles>> open(const std::filesystem::path& cache_dir,
                                                  std::uint64_t cap_bytes);

  // Fills `out` from `offset` of a block of `block_bytes`, and returns how many bytes from its beginning on
  // are there.
  std::size_t load(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                   std::span<std::byte> out);

  // What of a range of the block is there, whether or not it is damaged: where the first run of so many
  // chunks begins (or one that reaches the range's end); the range's end where there is none.
  std::uint64_t first_held(const BlockId& id, std::uint64_t block_bytes, const ByteRange& range,
                           std::size_t in_a_row);
  // And the first gap before such a run. What lies before the gap is read into memory behind. Empty where
  // there is no gap.
  ByteRange first_gap(const BlockId& id, std::uint64_t block_bytes, const ByteRange& range,
                      std::size_t in_a_row);

  // Keeps whole chunks of a block, if there is room for them. kPastPages: they are many, and whoever wants
  // them has them: no copy of them is made in the kernel's memory.
  enum class Way { kThroughPages, kPastPages };
  void store(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
             std::span<const std::byte> bytes, Way way);

  // Whether all of a block is there, damaged or not.
  bool holds(const BlockId& id, std::uint64_t block_bytes);
  void remove(const BlockId& id);

  // Objects in one file each, beside their blocks. To make one of `source` is refused where the cap or the
  // disk has no room for it.
  [[nodiscard]] WholeFiles& wholes() { return wholes_; }
  bool make_whole(const std::string& object, std::uint64_t object_bytes, const WholeFiles::Source& source);

  [[nodiscard]] std::uint64_t bytes() const { return usage_.total(); }

 private:
  BlockFiles(UniqueFd blocks, CacheUsage usage, std::uint64_t cap_bytes);

  // Whether the disk and the cap have room for so much; where the disk is short of space, blocks make way
  // first.
  bool has_room(std::uint64_t charge);
  Result<> put(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
               std::span<const std::byte> bytes, Way way);
  Result<UniqueFd> open_or_make(const BlockId& id, const BlockFormat& format);

  const std::shared_ptr<const UniqueFd> blocks_;
  const std::uint64_t cap_bytes_;
  CacheUsage usage_;
  FreeSpace space_;
  CacheEviction eviction_;
  WholeFiles wholes_;
  std::atomic<std::uint64_t> being_written_ = 0;      // Charges of blocks on their way.
  std::atomic<std::int64_t> full_since_seconds_ = 0;  // Steady clock; 0: the disk took what we wrote last.
  std::jthread tidier_;                               // Last: stops before what it uses goes.
};

}  // namespace lakefuse
