#pragma once

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cache/byte_range.h"
#include "cache/cached_store.h"
#include "tests/cache/support.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {

inline constexpr std::uint64_t kBlock = 4 << 20;
inline constexpr std::uint64_t kWhole = 1 << 20;  // Objects up to here come in one request.
inline constexpr std::uint64_t kGiB = 1 << 30;

inline std::string text_of_size(std::uint64_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string text;
  text.reserve(size + 16);
  while (text.size() < size) text += std::to_string(random());  // Some twenty letters at a time.
  text.resize(size);
  return text;
}

inline Result<std::string> read(ObjectStore& store, const ObjectInfo& object, std::uint64_t offset,
                                std::uint64_t size) {
  std::string text(size, '?');
  auto got = store.read(object, offset, std::as_writable_bytes(std::span(text)));
  if (!got) return got.error();
  text.resize(*got);
  return text;
}

inline std::vector<std::filesystem::path> block_files(const std::filesystem::path& cache) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(cache / "blocks"))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

// All that was read is on the disk.
inline void wait_for_disk(const CachedStore& cache) {
  while (cache.use().on_the_way > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// As read(), and what it fetched is on the disk when it returns.
inline Result<std::string> read_to_disk(CachedStore& cache, const ObjectInfo& object, std::uint64_t offset,
                                        std::size_t length) {
  auto text = read(cache, object, offset, length);
  wait_for_disk(cache);
  return text;
}

// What the cap counts.
inline std::uint64_t bytes_on_disk(const std::filesystem::path& cache) {
  std::uint64_t sum = 0;
  for (const std::filesystem::path& file : block_files(cache)) {
    struct stat facts {};
    if (::stat(file.c_str(), &facts) == 0) sum += static_cast<std::uint64_t>(facts.st_blocks) * 512;
  }
  return sum;
}

inline void set_last_used(const std::filesystem::path& file, int seconds_ago) {
  std::filesystem::last_write_time(
      file, std::filesystem::file_time_type::clock::now() - std::chrono::seconds(seconds_ago));
}

// Remembers which bytes were fetched through it.
class NotingStore : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset,
                           std::span<std::byte> out) override {
    {
      const std::lock_guard lock(mutex_);
      fetched_.push_back({offset, offset + out.size()});
    }
    return ForwardingStore::read(object, offset, out);
  }
  [[nodiscard]] std::vector<ByteRange> fetched() const {
    const std::lock_guard lock(mutex_);
    return fetched_;
  }
  [[nodiscard]] std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const ByteRange& range : fetched()) sum += range.end - range.begin;
    return sum;
  }

 protected:
  Decision decide(std::string_view) override { return {}; }
  void put_off(std::function<void()>) override {}

 private:
  mutable std::mutex mutex_;
  std::vector<ByteRange> fetched_;
};

class CacheFixture {
 public:
  [[nodiscard]] std::filesystem::path path() const { return scratch_.path() / "cache"; }
  [[nodiscard]] std::unique_ptr<CachedStore> open(ObjectStore& below, std::uint64_t cap = kGiB) const {
    return CachedStore::open(below, path(), cap).value();
  }
  [[nodiscard]] std::unique_ptr<CachedStore> open(std::uint64_t cap = kGiB) { return open(lake, cap); }
  [[nodiscard]] std::size_t fetches() const { return lake.calls("read"); }

  MemoryStore lake;

 private:
  ScratchDirectory scratch_;
};

}  // namespace lakefuse::test
