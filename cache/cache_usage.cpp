#include "cache/cache_usage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <numeric>

#include "cache/disk.h"

namespace lakefuse {

namespace {

// The file: one word that says what it is, one that says whether all was counted, one for each shard.
constexpr std::uint64_t kMagic = 0x3130455355464c0a;  // "\nLFUSE01".
constexpr std::uint64_t kCounted = 1;
constexpr std::size_t kHeadWords = 2;
constexpr std::size_t kWords = kHeadWords + kShards;

using Words = std::array<std::uint64_t, kWords>;

Words read_words(int file) {
  Words words{};
  std::ignore = read_fully(file, 0, std::as_writable_bytes(std::span(words)));
  return words;
}

std::uint64_t not_negative(std::uint64_t word) {
  return word > INT64_MAX ? 0 : word;
}

// Between processes, for as long as it lives. Best effort: a wrong sum is set right later.
class FileLock {
 public:
  explicit FileLock(int file) : file_(file) { set(F_WRLCK); }
  ~FileLock() { set(F_UNLCK); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  void set(short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    while (::fcntl(file_, F_OFD_SETLKW, &lock) != 0 && errno == EINTR) {
    }
  }
  const int file_;
};

}  // namespace

std::string shard_name(std::size_t shard) {
  static constexpr char kDigits[] = "0123456789abcdef";
  return {kDigits[shard / 16], kDigits[shard % 16]};
}

Result<CacheUsage> CacheUsage::open(int cache_dir) {
  auto file = open_file(cache_dir, "usage", O_CREAT | O_RDWR);
  if (!file) return file.error();
  FileLock lock(file->get());
  if (read_words(file->get())[0] != kMagic) {
    Words words{};
    words[0] = kMagic;
    if (auto wrote = write_fully(file->get(), 0, std::as_bytes(std::span(words))); !wrote)
      return wrote.error();
  }
  return CacheUsage(std::move(*file));
}

void CacheUsage::add(std::size_t shard, std::int64_t bytes) {
  if (bytes == 0) return;
  std::lock_guard threads(mutex_);
  FileLock processes(file_.get());
  const std::uint64_t at = (kHeadWords + shard) * sizeof(std::uint64_t);
  std::uint64_t word = 0;
  std::ignore = read_fully(file_.get(), at, std::as_writable_bytes(std::span(&word, 1)));
  word += static_cast<std::uint64_t>(bytes);
  std::ignore = write_fully(file_.get(), at, std::as_bytes(std::span(&word, 1)));
}

std::array<std::uint64_t, kShards> CacheUsage::shards() const {
  const Words words = read_words(file_.get());
  std::array<std::uint64_t, kShards> shards;
  for (std::size_t shard = 0; shard < kShards; ++shard)
    shards[shard] = not_negative(words[kHeadWords + shard]);
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
