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
#include "client/error.h"

namespace lakefuse {

// Blocks on disk, shared by all processes of the user:
//
//   <cache_dir>/usage                   how many bytes there are
//   <cache_dir>/blocks/ab/cdef…-<index>  one block each, named by the object's digest; its mtime is when it
//   was last used
//
// A file appears whole or not at all, and is never changed afterwards. What is damaged is removed and counts
// as absent. Safe to call from many threads at once; calls take as long as the disk does and never fail.
class BlockFiles {
 public:
  // kLocalIo: the directory belongs to another user, may be written by others, or cannot be used.
  static Result<std::unique_ptr<BlockFiles>> open(const std::filesystem::path& cache_dir,
                                                  std::uint64_t cap_bytes);

  // Fills `out` from `offset` of a block of `block_bytes`; false where it is not there.
  bool load(const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset, std::span<std::byte> out);

  // Keeps a block, if there is room for it.
  void store(const BlockId& id, std::span<const std::byte> bytes);

  // Whether it makes sense to fetch `block_bytes` in order to store them. Where the disk is short of space,
  // blocks make way first.
  bool has_room(std::uint64_t block_bytes);

  [[nodiscard]] std::uint64_t bytes() const { return usage_.total(); }

 private:
  BlockFiles(UniqueFd blocks, CacheUsage usage, std::uint64_t cap_bytes);

  Result<> put(const BlockId& id, std::span<const std::byte> bytes);
  Result<> name_block(const BlockId& id, const std::string& half_made, std::uint64_t block_bytes);
  void remove(const BlockId& id, std::uint64_t block_bytes);

  const std::shared_ptr<const UniqueFd> blocks_;
  const std::uint64_t cap_bytes_;
  CacheUsage usage_;
  FreeSpace space_;
  CacheEviction eviction_;
  std::atomic<std::uint64_t> being_written_ = 0;      // Charges of blocks on their way.
  std::atomic<std::int64_t> full_since_seconds_ = 0;  // Steady clock; 0: the disk took what we wrote last.
  std::jthread tidier_;                               // Last: stops before what it uses goes.
};

}  // namespace lakefuse
