#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/cache_usage.h"
#include "cache/unique_fd.h"

namespace lakefuse {

// What bytes in the cache count for: whole pages, as on the disk, or a million tiny files would count for
// nothing.
[[nodiscard]] std::uint64_t charge_of(std::uint64_t bytes);
// The same of a file, which may have holes.
[[nodiscard]] std::uint64_t charge_of(const struct stat& facts);

// When a file was used last is its mtime. That is said once a second at most: more often would cost an inode
// write per read and tell nothing.
[[nodiscard]] bool was_just_used(const struct stat& facts);
void mark_used(int file);

// Throws those files out of the cache that were not used for longest, small ones later: for what many of them
// take and cost, a large one comes back in one request. It looks at some directories, not at all: digests
// spread the files evenly, so what is oldest in a sample is old, and a cache small enough for one sample is
// judged exactly.
//
// Safe to call from many threads and processes at once; takes as long as looking at some hundred files.
class CacheEviction {
 public:
  CacheEviction(std::shared_ptr<const UniqueFd> blocks, CacheUsage& usage, std::uint64_t cap_bytes)
      : blocks_(std::move(blocks)), usage_(usage), cap_bytes_(cap_bytes) {}

  // Until `bytes` more would not exceed the cap, or nothing is left.
  void make_room(std::uint64_t bytes);

  // At least so many, where there are any: the disk is short of space.
  void give_back(std::uint64_t bytes);

  // One file, wherever its worth stands.
  void remove(std::size_t shard, const std::string& path);

  // Looks at each directory, and sets the usage right; ends early when told to.
  void count_all(std::stop_token stop);

 private:
  struct Candidate {
    double worth;  // Of what it takes: the least goes first.
    std::uint64_t charge;
    std::size_t shard;
    std::string name;
  };

  void evict(std::uint64_t bytes);
  std::vector<Candidate> sample();
  // A file that is being written counts for what it takes, as all others; or, for one who does not look again
  // soon, for what the account has of it by then.
  enum class As { kTaken, kBooked };
  // False: files came or went meanwhile, and the account stays as it was.
  bool look(std::size_t shard, std::vector<Candidate>& found, As as);

  const std::shared_ptr<const UniqueFd> blocks_;
  CacheUsage& usage_;
  const std::uint64_t cap_bytes_;

  std::mutex
      mutex_;  // Held while files are looked at and removed: one thread of a process at a time does it.
  std::minstd_rand random_{std::random_device{}()};  // Guarded by mutex_.
};

}  // namespace lakefuse
