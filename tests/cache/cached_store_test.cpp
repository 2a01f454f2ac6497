#include "cache/cached_store.h"

#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <random>
#include <thread>

#include "cache/checksum.h"
#include "client/patience.h"
#include "tests/cache/child_process.h"
#include "tests/cache/support.h"
#include "tests/support/faulty_store.h"
#include "tests/support/gated_store.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("cached store");

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::uint64_t kBlock = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;

std::string text_of_size(std::uint64_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string text(size, ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random() % 26);
  return text;
}

Result<std::string> read(ObjectStore& store, const ObjectInfo& object, std::uint64_t offset,
                         std::uint64_t size) {
  std::string text(size, '?');
  auto got = store.read(object, offset, std::as_writable_bytes(std::span(text)));
  if (!got) return got.error();
  text.resize(*got);
  return text;
}

std::vector<fs::path> block_files(const fs::path& cache) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(cache / "blocks"))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

// What the cap counts.
std::uint64_t bytes_on_disk(const fs::path& cache) {
  std::uint64_t sum = 0;
  for (const fs::path& file : block_files(cache)) sum += (fs::file_size(file) + 4095) / 4096 * 4096;
  return sum;
}

void set_last_used(const fs::path& file, int seconds_ago) {
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::seconds(seconds_ago));
}

class Fixture {
 public:
  [[nodiscard]] fs::path path() const { return scratch_.path() / "cache"; }
  [[nodiscard]] std::unique_ptr<CachedStore> open(ObjectStore& below, std::uint64_t cap = kGiB) const {
    return CachedStore::open(below, path(), cap).value();
  }
  [[nodiscard]] std::unique_ptr<CachedStore> open(std::uint64_t cap = kGiB) { return open(lake, cap); }
  [[nodiscard]] std::size_t fetches() const { return lake.calls("read"); }

  MemoryStore lake;

 private:
  ScratchDirectory scratch_;
};

}  // namespace

TEST_CASE("R2: content read once is not fetched again, by this mount, the next one, or under another name") {
  Fixture f;
  const std::string text = text_of_size(3 * kBlock + 100);
  const ObjectInfo object = f.lake.put("a", text);
  {
    const auto cache = f.open();
    CHECK((read(*cache, object, 0, text.size() + 10).value() == text));
    CHECK(f.fetches() == 4);
    CHECK((read(*cache, object, 0, text.size()).value() == text));
    CHECK(f.fetches() == 4);
    CHECK(cache->use().hits == 4);
    CHECK(cache->use().misses == 4);
    CHECK(cache->use().bytes == bytes_on_disk(f.path()));
  }
  const auto cache = f.open();
  ObjectInfo elsewhere = object;
  elsewhere.path = "other/name";
  CHECK((read(*cache, elsewhere, kBlock - 7, kBlock).value() == text.substr(kBlock - 7, kBlock)));
  CHECK(f.fetches() == 4);
}

TEST_CASE("any range of any object reads as without a cache") {
  Fixture f;
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const auto cache = f.open();
  for (const std::uint64_t size :
       {std::uint64_t{1}, std::uint64_t{16383}, kBlock - 1, kBlock, kBlock + 1, 2 * kBlock + 16384}) {
    const std::string text = text_of_size(size, static_cast<unsigned>(size));
    const ObjectInfo object = f.lake.put(std::to_string(size), text);
    for (int n = 0; n < 60; ++n) {
      const std::uint64_t offset = random() % (size + 10),
                          length = random() % (n % 2 == 0 ? 2 * kBlock : 20000);
      const auto got = read(*cache, object, offset, length).value();
      REQUIRE((got == (offset < size ? text.substr(offset, length) : "")));
    }
  }
  CHECK(f.fetches() <= 1 + 1 + 1 + 1 + 2 + 3);
}

TEST_CASE("what is known to be empty, or past the end, costs no call") {
  Fixture f;
  const auto cache = f.open();
  CHECK(read(*cache, ObjectInfo{}, 0, 100).value().empty());
  CHECK(read(*cache, f.lake.put("a", "text"), 4, 100).value().empty());
  CHECK(f.fetches() == 0);
}

TEST_CASE("rule 8: another checksum, size, address or lake is another object") {
  Fixture f;
  const ObjectInfo object = f.lake.put("a", "text");
  const auto cache = f.open();
  CHECK(read(*cache, object, 0, 4).value() == "text");
  ObjectInfo changed = object;
  changed.checksum = "another";
  CHECK(read(*cache, changed, 0, 4).has_value());
  CHECK(f.fetches() == 2);
  changed = object;
  changed.size_bytes = 3;
  CHECK(read(*cache, changed, 0, 3).has_value());
  CHECK(f.fetches() == 3);
  changed = f.lake.put("b", "text");
  CHECK(read(*cache, changed, 0, 4).has_value());
  CHECK(f.fetches() == 4);
}

TEST_CASE("a damaged, short, long or swapped block file is a miss and is mended") {
  Fixture f;
  const std::string text = text_of_size(kBlock + 5000);
  const ObjectInfo object = f.lake.put("a", text);
  const auto cache = f.open();
  REQUIRE(read(*cache, object, 0, text.size()).has_value());
  const auto files = block_files(f.path());
  REQUIRE(files.size() == 2);
  const fs::path small = fs::file_size(files[0]) < kBlock ? files[0] : files[1];
  const fs::path large = fs::file_size(files[0]) < kBlock ? files[1] : files[0];
  const auto check_mended = [&] {
    f.lake.forget_calls();
    CHECK((read(*cache, object, 0, text.size()).value() == text));
    CHECK(f.fetches() > 0);
    f.lake.forget_calls();
    CHECK((read(*cache, object, 0, text.size()).value() == text));
    CHECK(f.fetches() == 0);
  };
  const auto flip = [&](const fs::path& file, std::uint64_t at) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put('!');
  };
  SUBCASE("a byte") {
    flip(large, 500000);
    check_mended();
  }
  SUBCASE("a checksum") {
    flip(large, kBlock + 3);
    check_mended();
  }
  SUBCASE("the ending") {
    flip(small, fs::file_size(small) - 5);
    check_mended();
  }
  SUBCASE("cut") {
    fs::resize_file(large, 4096);
    check_mended();
  }
  SUBCASE("emptied") {
    fs::resize_file(small, 0);
    check_mended();
  }
  SUBCASE("longer") {
    fs::resize_file(small, fs::file_size(small) + 1);
    check_mended();
  }
  SUBCASE("swapped") {
    fs::rename(small, f.path() / "x");
    fs::rename(large, small);
    fs::rename(f.path() / "x", large);
    check_mended();
  }
  SUBCASE("a directory in its place") {
    fs::remove(small);
    fs::create_directory(small);
    CHECK((read(*cache, object, 0, text.size()).value() == text));
  }
  SUBCASE("a symlink in its place") {
    const fs::path copy = f.path() / "copy";
    fs::rename(small, copy);
    fs::create_symlink(copy, small);
    f.lake.forget_calls();
    CHECK((read(*cache, object, 0, text.size()).value() == text));
    CHECK(f.fetches() == 1);
  }
  SUBCASE("all of it removed under a running mount") {
    fs::remove_all(f.path());
    CHECK((read(*cache, object, 0, text.size()).value() == text));
  }
}

TEST_CASE("many readers of one block cost one request") {
  Fixture f;
  const std::string text = text_of_size(kBlock);
  const ObjectInfo object = f.lake.put("a", text);
  GatedStore gated(f.lake);
  gated.shut("read");
  const auto cache = f.open(gated);
  std::vector<std::jthread> readers;
  for (std::uint64_t n = 0; n < 8; ++n)
    readers.emplace_back(
        [&, n] { CHECK((read(*cache, object, n * 1000, 1000).value() == text.substr(n * 1000, 1000))); });
  REQUIRE(gated.wait_for("read"));
  std::this_thread::sleep_for(50ms);
  gated.open("read");
  readers.clear();
  CHECK(f.fetches() == 1);
}

TEST_CASE("F1: an interrupted reader leaves at once, whether it fetches or waits") {
  Fixture f;
  const ObjectInfo object = f.lake.put("a", "text");
  GatedStore gated(f.lake);
  gated.shut("read");
  const auto cache = f.open(gated);
  std::stop_source stop_first, stop_second;
  const auto read_with = [&](std::stop_source& stop) {
    Patience patience(stop.get_token());
    return read(*cache, object, 0, 4);
  };
  std::jthread first([&] { CHECK(cause_of(read_with(stop_first)) == Errc::kInterrupted); });
  REQUIRE(gated.wait_for("read"));
  std::jthread second([&] { CHECK(cause_of(read_with(stop_second)) == Errc::kInterrupted); });
  std::jthread third([&] { CHECK(read(*cache, object, 0, 4).value() == "text"); });
  std::this_thread::sleep_for(20ms);
  stop_second.request_stop();
  second.join();
  stop_first.request_stop();
  first.join();
  gated.open("read");
  third.join();
}

TEST_CASE("a failed fetch is told, and nothing of it is kept") {
  Fixture f;
  const ObjectInfo object = f.lake.put("a", "text");
  FaultyStore faulty(f.lake, 0, Errc::kUnavailable);
  const auto cache = f.open(faulty);
  CHECK(cause_of(read(*cache, object, 0, 4)) == Errc::kUnavailable);
  CHECK(read(*cache, object, 0, 4).value() == "text");
}

TEST_CASE("F4: fewer bytes than the object has are an error, never zeros and never cached") {
  Fixture f;
  ObjectInfo object = f.lake.put("a", "text");
  object.size_bytes = 10;
  const auto cache = f.open();
  CHECK(cause_of(read(*cache, object, 0, 10)) == Errc::kUntrustworthy);
  CHECK(block_files(f.path()).empty());
}

TEST_CASE("the cap holds, and what was used last stays") {
  Fixture f;
  constexpr std::uint64_t kCap = 8 * (kBlock + 4096);
  const auto cache = f.open(kCap);
  std::vector<ObjectInfo> objects;
  for (unsigned n = 0; n < 8; ++n) {
    objects.push_back(f.lake.put(std::to_string(n), text_of_size(kBlock, n)));
    REQUIRE(read(*cache, objects.back(), 0, 10).has_value());
    for (const fs::path& file : block_files(f.path()))
      if (fs::last_write_time(file) > fs::file_time_type::clock::now() - 50s)
        set_last_used(file, static_cast<int>(100 - n));
  }
  CHECK(f.fetches() == 8);
  REQUIRE(read(*cache, objects[0], 0, 10).has_value());  // Oldest by birth, but just used.
  for (unsigned n = 8; n < 11; ++n) {
    REQUIRE(read(*cache, f.lake.put(std::to_string(n), text_of_size(kBlock, n)), 0, 10).has_value());
    CHECK(bytes_on_disk(f.path()) <= kCap);
    CHECK(cache->use().bytes == bytes_on_disk(f.path()));
  }
  f.lake.forget_calls();
  REQUIRE(read(*cache, objects[0], 0, 10).has_value());
  REQUIRE(read(*cache, objects[7], 0, 10).has_value());
  CHECK(f.fetches() == 0);
  REQUIRE(read(*cache, objects[1], 0, 10).has_value());
  CHECK(f.fetches() == 1);
}

TEST_CASE("tiny objects count for what they take on disk, and the cap holds for thousands of them") {
  Fixture f;
  constexpr std::uint64_t kCap = 1000 * 4096;
  const auto cache = f.open(kCap);
  for (int n = 0; n < 3000; ++n)
    REQUIRE(read(*cache, f.lake.put(std::to_string(n), "tiny"), 0, 4).has_value());
  CHECK(cache->use().bytes <= kCap);
  CHECK(bytes_on_disk(f.path()) <= kCap);
  CHECK(bytes_on_disk(f.path()) > kCap / 2);
}

TEST_CASE("a block that is larger than the cache is read past it") {
  Fixture f;
  const auto cache = f.open(1000);
  const ObjectInfo object = f.lake.put("a", text_of_size(kBlock));
  CHECK(read(*cache, object, 0, 10).has_value());
  CHECK(block_files(f.path()).empty());
}

TEST_CASE("without a cap nothing is kept, and nothing is made") {
  Fixture f;
  const auto cache = f.open(0);
  const ObjectInfo object = f.lake.put("a", "text");
  CHECK(read(*cache, object, 0, 4).value() == "text");
  CHECK(read(*cache, object, 0, 4).value() == "text");
  CHECK(f.fetches() == 2);
  CHECK_FALSE(fs::exists(f.path()));
}

TEST_CASE("a cache whose books are lost or wrong counts again") {
  Fixture f;
  const ObjectInfo object = f.lake.put("a", text_of_size(4 * kBlock));
  REQUIRE(read(*f.open(), object, 0, 4 * kBlock).has_value());
  const auto truth = bytes_on_disk(f.path());
  const auto wait_for_truth = [&](const CachedStore& cache) {
    for (int n = 0; n < 500 && cache.use().bytes != truth; ++n) std::this_thread::sleep_for(10ms);
    CHECK(cache.use().bytes == truth);
  };
  SUBCASE("lost") {
    fs::remove(f.path() / "usage");
  }
  SUBCASE("garbage") {
    std::ofstream(f.path() / "usage", std::ios::trunc) << "garbage";
  }
  SUBCASE("cut") {
    fs::resize_file(f.path() / "usage", 3);
  }
  wait_for_truth(*f.open());
}

TEST_CASE("books that say too much do not keep the cache from working") {
  Fixture f;
  constexpr std::uint64_t kCap = 4 * kBlock;
  const ObjectInfo object = f.lake.put("a", text_of_size(kBlock));
  const auto cache = f.open(kCap);
  REQUIRE(read(*cache, object, 0, 10).has_value());
  fs::remove_all(f.path() / "blocks" / block_files(f.path())[0].parent_path().filename());
  for (unsigned n = 0; n < 10; ++n)
    REQUIRE(read(*cache, f.lake.put(std::to_string(n), text_of_size(kBlock, n)), 0, 10).has_value());
  CHECK(cache->use().bytes == bytes_on_disk(f.path()));
  CHECK(bytes_on_disk(f.path()) >= 2 * kBlock);
}

TEST_CASE("several processes share one cache: right bytes, one cap, one account") {
  Fixture f;
  constexpr std::uint64_t kCap = 10 * kBlock;
  std::vector<ObjectInfo> objects;
  std::vector<std::string> texts;
  for (unsigned n = 0; n < 20; ++n) {
    texts.push_back(text_of_size(n % 2 == 0 ? kBlock + n : 5000 + n, n));
    objects.push_back(f.lake.put(std::to_string(n), texts.back()));
  }
  std::vector<std::unique_ptr<ChildProcess>> mounts;
  for (unsigned mount = 0; mount < 3; ++mount)
    mounts.push_back(std::make_unique<ChildProcess>([&](const auto& stay) {
      const auto cache = f.open(kCap);
      std::mt19937 random(mount);
      bool all_right = true;
      for (int step = 0; step < 300; ++step) {
        const std::size_t n = random() % objects.size();
        const std::size_t offset = random() % texts[n].size();
        all_right =
            all_right && read(*cache, objects[n], offset, 3000).value() == texts[n].substr(offset, 3000);
        // Others may have a block on its way each.
        all_right = all_right && bytes_on_disk(f.path()) <= kCap + 4 * (kBlock + 4096);
      }
      stay(all_right);
    }));
  mounts.clear();
  const auto cache = f.open(kCap);
  for (const fs::path& file : block_files(f.path())) CHECK(file.extension() != ".new");
  CHECK(cache->use().bytes == bytes_on_disk(f.path()));
  CHECK(bytes_on_disk(f.path()) <= kCap + 4 * kBlock);
}

TEST_CASE("many threads read, evict and damage at once: right bytes, and the cap holds") {
  Fixture f;
  constexpr std::uint64_t kCap = 6 * kBlock;
  const auto cache = f.open(kCap);
  std::vector<ObjectInfo> objects;
  std::vector<std::string> texts;
  for (unsigned n = 0; n < 10; ++n) {
    texts.push_back(text_of_size(kBlock + 1000, n));
    objects.push_back(f.lake.put(std::to_string(n), texts.back()));
  }
  std::atomic<bool> stop = false;
  std::vector<std::jthread> readers;
  for (unsigned thread = 0; thread < 4; ++thread)
    readers.emplace_back([&, thread] {
      std::mt19937 random(thread);
      for (int step = 0; step < 150; ++step) {
        const std::size_t n = random() % objects.size(), offset = random() % texts[n].size();
        CHECK((read(*cache, objects[n], offset, 40000).value() == texts[n].substr(offset, 40000)));
      }
    });
  std::jthread vandal([&] {
    while (!stop) {
      std::error_code ignored;
      for (auto entry = fs::recursive_directory_iterator(f.path() / "blocks", ignored);
           entry != fs::recursive_directory_iterator(); entry.increment(ignored)) {
        if (ignored) break;
        if (entry->is_regular_file(ignored) && !entry->path().string().ends_with(".new"))
          fs::resize_file(entry->path(), 100, ignored);
        std::this_thread::sleep_for(5ms);
      }
    }
  });
  readers.clear();
  stop = true;
  vandal.join();
  CHECK(bytes_on_disk(f.path()) <= kCap);
}

TEST_CASE("F3: nobody else can read the cache, and names in it tell nothing") {
  Fixture f;
  const ObjectInfo object = f.lake.put("secret/name", "text");
  const auto cache = f.open();
  REQUIRE(read(*cache, object, 0, 4).has_value());
  CHECK(fs::status(f.path()).permissions() == fs::perms::owner_all);
  for (const auto& entry : fs::recursive_directory_iterator(f.path())) {
    struct stat facts {};
    REQUIRE(::lstat(entry.path().c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == (entry.is_directory() ? 0700U : 0600U));
    CHECK(entry.path().string().find("secret") == std::string::npos);
    CHECK(entry.path().string().find("ns") == std::string::npos);
  }
}

TEST_CASE("a cache directory that others can write, or that belongs to them, is refused with a sentence") {
  ScratchDirectory scratch;
  MemoryStore lake;
  fs::permissions(scratch.path(), fs::perms::owner_all | fs::perms::group_write);
  const auto refused = CachedStore::open(lake, scratch.path(), kGiB);
  CHECK(cause_of(refused) == Errc::kLocalIo);
  CHECK(refused.error().message.find("may be written by others") != std::string::npos);
  fs::permissions(scratch.path(), fs::perms::owner_all);
  if (::geteuid() != 0) return;
  REQUIRE(::chown(scratch.path().c_str(), 65534, 65534) == 0);
  CHECK(cause_of(CachedStore::open(lake, scratch.path(), kGiB)) == Errc::kLocalIo);
}

TEST_CASE("checksums are those of XXH64") {
  CHECK(checksum({}) == 0xEF46DB3751D8E999);
  CHECK(checksum(bytes_of("a")) == 0xD24EC4F1A98C6E5B);
  CHECK(checksum(bytes_of("abc")) == 0x44BC2CF5AD770999);
  CHECK(checksum(bytes_of("xxhash is a fast non-cryptographic hash")) != 0);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
