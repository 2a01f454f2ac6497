#include "cache/cache_usage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <numeric>
#include <thread>

#include "cache/disk.h"

namespace lakefuse {

namespace {

// The file: one word that says what it is, one that says whether all was counted, two for each
// shard: its bytes and how often they changed.
constexpr std::uint64_t kMagic = 0x3230455355464c0a;  // "\nLFUSE02".
constexpr std::uint64_t kCounted = 1;
constexpr std::size_t kHeadWords = 2;
constexpr std::size_t kShardWords = 2;
constexpr std::size_t kWords = kHeadWords + kShardWords * kShards;

using Words = std::array<std::uint64_t, kWords>;

Words read_words(int file) {
  Words words{};
  std::ignore = read_fully(file, 0, std::as_writable_bytes(std::span(words)));
  return words;
}

std::uint64_t offset_of(std::size_t shard) {
  return (kHeadWords + kShardWords * shard) * sizeof(std::uint64_t);
}

std::uint64_t not_negative(std::uint64_t word) {
  return word > INT64_MAX ? 0 : word;
}

// A process that is stopped while it has the account (SIGSTOP, a frozen container) holds up the others so
// long, and then no more until it has gone on.
constexpr std::chrono::seconds kLongestWait{1};
constexpr std::chrono::microseconds kFirstPause{20}, kLongestPause{2000};

// Between processes, for as long as it lives. Best effort: a wrong sum is set right later.
class FileLock {
 public:
  // `is_held_up`: the last one did not get it in time; says so of this one.
  FileLock(int file, bool& is_held_up) : file_(file) {
    const auto end = std::chrono::steady_clock::now() + kLongestWait;
    for (auto pause = kFirstPause; !set(F_WRLCK); pause = std::min(2 * pause, kLongestPause)) {
      const bool is_in_use = errno == EAGAIN || errno == EACCES || errno == EINTR;
      is_held_up = is_held_up || !is_in_use || std::chrono::steady_clock::now() >= end;
      if (is_held_up) return;
      std::this_thread::sleep_for(pause);
    }
    is_held_up = false;
  }
  ~FileLock() { set(F_UNLCK); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  bool set(short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return ::fcntl(file_, F_OFD_SETLK, &lock) == 0;
  }
  const int file_;
};

}  // namespace

std::string shard_name(std::size_t shard) {
  static constexpr char kDigits[] = "0123456789abcdef";
  return {kDigits[shard / 16], kDigits[shard % 16]};
}

std::size_t shard_of(std::string_view object) {
  unsigned shard = 0;
  std::from_chars(object.data(), object.data() + 2, shard, 16);
  return shard % kShards;
}

std::string file_of(const std::string& object, std::string_view ending) {
  return object.substr(0, 2) + "/" + object.substr(2) + std::string(ending);
}

Result<CacheUsage> CacheUsage::open(int cache_dir) {
  auto file = open_file(cache_dir, "usage", O_CREAT | O_RDWR);
  if (!file) return file.error();
  bool is_held_up = false;
  FileLock lock(file->get(), is_held_up);
  if (read_words(file->get())[0] != kMagic) {
    Words words{};
    words[0] = kMagic;
    if (auto wrote = write_fully(file->get(), 0, std::as_bytes(std::span(words))); !wrote)
      return wrote.error();
  }
  return CacheUsage(std::move(*file));
}

CacheUsage::Account CacheUsage::read_account(std::size_t shard) const {
  std::array<std::uint64_t, kShardWords> words{};
  std::ignore = read_fully(file_.get(), offset_of(shard), std::as_writable_bytes(std::span(words)));
  return {words[0], words[1]};
}

void CacheUsage::write_account(std::size_t shard, const Account& account) {
  const std::array<std::uint64_t, kShardWords> words{account.bytes, account.changes};
  std::ignore = write_fully(file_.get(), offset_of(shard), std::as_bytes(std::span(words)));
}

void CacheUsage::change(std::size_t shard, const std::function<std::int64_t()>& work) {
  std::lock_guard threads(mutex_);
  FileLock processes(file_.get(), is_held_up_);
  const std::int64_t bytes = work();
  if (bytes == 0) return;
  const Account before = read_account(shard);
  // Not below zero, or files that come later would go unseen.
  write_account(shard, {not_negative(before.bytes + static_cast<std::uint64_t>(bytes)), before.changes + 1});
}

CacheUsage::Account CacheUsage::account(std::size_t shard) {
  std::lock_guard threads(mutex_);
  FileLock processes(file_.get(), is_held_up_);
  return read_account(shard);
}

bool CacheUsage::correct(std::size_t shard, const Account& before, std::uint64_t bytes) {
  std::lock_guard threads(mutex_);
  FileLock processes(file_.get(), is_held_up_);
  const Account now = read_account(shard);
  if (now.changes != before.changes) return false;
  if (now.bytes != bytes) write_account(shard, {bytes, now.changes + 1});
  return true;
}

std::array<std::uint64_t, kShards> CacheUsage::shards() const {
  const Words words = read_words(file_.get());
  std::array<std::uint64_t, kShards> shards;
  for (std::size_t shard = 0; shard < kShards; ++shard)
    shards[shard] = not_negative(words[kHeadWords + kShardWords * shard]);
  return shards;
}

std::uint64_t CacheUsage::total() const {
  const auto all = shards();
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

bool CacheUsage::is_counted() const {
  return read_words(file_.get())[1] == kCounted;
}

void CacheUsage::set_counted() {
  std::ignore = write_fully(file_.get(), sizeof(std::uint64_t), std::as_bytes(std::span(&kCounted, 1)));
}

}  // namespace lakefuse
