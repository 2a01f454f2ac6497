#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// The cache's files are spread over so many directories by the first byte of their digest.
inline constexpr std::size_t kShards = 256;

// "00" to "ff".
[[nodiscard]] std::string shard_name(std::size_t shard);

// How many bytes each directory of the cache holds, in a small file that all processes add to: nobody has to
// look at a million files to know. A crash leaves it a little wrong; whoever looks at a directory anyway sets
// that right. A file and not shared memory, since a page of a mapped file cannot be had on every full disk,
// and ends the process then.
//
// Safe to call from many threads and processes at once; takes some microseconds.
class CacheUsage {
 public:
  // kLocalIo or kNoSpace: no file can be made there.
  static Result<CacheUsage> open(int cache_dir);

  CacheUsage(CacheUsage&& other) noexcept : file_(std::move(other.file_)) {}

  void add(std::size_t shard, std::int64_t bytes);

  // None below zero.
  [[nodiscard]] std::array<std::uint64_t, kShards> shards() const;
  [[nodiscard]] std::uint64_t total() const;

  // False until somebody has looked at each directory since the file was made.
  [[nodiscard]] bool is_counted() const;
  void set_counted();

 private:
  explicit CacheUsage(UniqueFd file) : file_(std::move(file)) {}

  UniqueFd file_;     // Constant once made.
  std::mutex mutex_;  // File locks do not hold between threads of one process.
};

}  // namespace lakefuse
