#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// The cache's files are spread over so many directories by the first byte of their digest.
inline constexpr std::size_t kShards = 256;

// "00" to "ff".
[[nodiscard]] std::string shard_name(std::size_t shard);
// Where an object's files are, by its digest: their directory, and the path of the one that ends so.
[[nodiscard]] std::size_t shard_of(std::string_view object);
[[nodiscard]] std::string file_of(const std::string& object, std::string_view ending);

// How many bytes each directory of the cache holds, in a small file that all processes keep together: nobody
// has to look at a million files to know. A crash leaves it a little wrong; whoever looks at a directory
// anyway sets that right. A file and not shared memory, since a page of a mapped file cannot be had on every
// full disk, and ends the process then.
//
// Safe to call from many threads and processes at once; takes some microseconds, or as long as `work` of
// others does; where a process does not give the account free, a second, once, and then nobody waits for it.
class CacheUsage {
 public:
  // kLocalIo or kNoSpace: no file can be made there.
  static Result<CacheUsage> open(int cache_dir);

  CacheUsage(CacheUsage&& other) noexcept : file_(std::move(other.file_)) {}

  // Runs `work`, which makes or removes one file of the shard, and books the bytes that it says. No other
  // process changes the shard's account meanwhile (but where one holds it up), so that nobody who looks finds
  // the file without its bytes or the reverse.
  void change(std::size_t shard, const std::function<std::int64_t()>& work);

  // For who looks at the files themselves: what the account says before the look, and the truth after it. The
  // truth is not taken, and the answer false, when files came or went meanwhile.
  struct Account {
    std::uint64_t bytes = 0;
    std::uint64_t changes = 0;
  };
  [[nodiscard]] Account account(std::size_t shard);
  bool correct(std::size_t shard, const Account& before, std::uint64_t bytes);

  // None below zero.
  [[nodiscard]] std::array<std::uint64_t, kShards> shards() const;
  [[nodiscard]] std::uint64_t total() const;

  // False until somebody has looked at each directory since the file was made.
  [[nodiscard]] bool is_counted() const;
  void set_counted();

 private:
  explicit CacheUsage(UniqueFd file) : file_(std::move(file)) {}

  Account read_account(std::size_t shard) const;
  void write_account(std::size_t shard, const Account& account);

  UniqueFd file_;            // Constant once made.
  std::mutex mutex_;         // File locks do not hold between threads of one process. Held across `work`.
  bool is_held_up_ = false;  // Guarded by mutex_. Another process did not give the account free in time.
};

}  // namespace lakefuse
