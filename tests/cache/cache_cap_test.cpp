#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <random>
#include <thread>

#include "cache/block_files.h"
#include "cache/disk.h"
#include "cache/private_directory.h"
#include "tests/cache/cache_fixture.h"
#include "tests/cache/child_process.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("cache cap");

namespace fs = std::filesystem;
using namespace std::chrono_literals;

TEST_CASE("the cap holds, and what was used last stays") {
  CacheFixture f;
  constexpr std::uint64_t kCap = 8 * (kWhole + 4096);
  const auto cache = f.open(kCap);
  std::vector<ObjectInfo> objects;
  for (unsigned n = 0; n < 8; ++n) {
    objects.push_back(f.lake.put(std::to_string(n), text_of_size(kWhole, n)));
    REQUIRE(read_to_disk(*cache, objects.back(), 0, 10).has_value());
    for (const fs::path& file : block_files(f.path()))
      if (fs::last_write_time(file) > fs::file_time_type::clock::now() - 50s)
        set_last_used(file, static_cast<int>(100 - n));
  }
  CHECK(f.fetches() == 8);
  REQUIRE(read_to_disk(*cache, objects[0], 0, 10).has_value());  // Oldest by birth, but just used.
  for (unsigned n = 8; n < 11; ++n) {
    REQUIRE(read_to_disk(*cache, f.lake.put(std::to_string(n), text_of_size(kWhole, n)), 0, 10).has_value());
    CHECK(bytes_on_disk(f.path()) <= kCap);
    CHECK(cache->use().bytes == bytes_on_disk(f.path()));
  }
  f.lake.forget_calls();
  REQUIRE(read_to_disk(*cache, objects[0], 0, 10).has_value());
  REQUIRE(read_to_disk(*cache, objects[7], 0, 10).has_value());
  CHECK(f.fetches() == 0);
  REQUIRE(read(*f.open(kCap), objects[1], 0, 10).has_value());  // Not what the first one has in memory.
  CHECK(f.fetches() == 1);
}

TEST_CASE("eviction keeps the busy, and the small for longer than the large") {
  CacheFixture f;
  constexpr std::uint64_t kLarge = kWhole + 4096;
  constexpr int kSmall = 20;
  const auto cache = f.open(2 * kLarge + kSmall * 4096 + (64 << 10));
  const auto put = [&](const std::string& key, std::uint64_t size, int unused) {
    const ObjectInfo object = f.lake.put(key, text_of_size(size, static_cast<unsigned>(key.size())));
    const auto before = block_files(f.path());
    REQUIRE(read_to_disk(*cache, object, 0, 10).has_value());
    for (const fs::path& file : block_files(f.path()))
      if (std::ranges::find(before, file) == before.end()) set_last_used(file, unused);
    return object;
  };
  // Asked of another mount's cache: the first one has some in memory.
  const auto is_there = [&](const ObjectInfo& object) {
    const std::size_t fetches = f.fetches();
    REQUIRE(read(*f.open(kGiB), object, 0, 10).has_value());
    return f.fetches() == fetches;
  };
  std::vector<ObjectInfo> small;
  for (int n = 0; n < kSmall; ++n) small.push_back(put("small " + std::to_string(n), 10, 300));
  const ObjectInfo busy = put("busy", kWhole, 1), idle = put("idle", kWhole, 60);
  const ObjectInfo next = put("next", kWhole, 60);
  CHECK(is_there(next));
  CHECK(is_there(busy));
  CHECK_FALSE(is_there(idle));
  for (const ObjectInfo& object : small) CHECK(is_there(object));
}

TEST_CASE("what was used when the clock was wrong does not push out what is read after that") {
  CacheFixture f;
  const auto cache = f.open(4 * kWhole + (256 << 10));
  for (unsigned n = 0; n < 4; ++n)
    REQUIRE(read_to_disk(*cache, f.lake.put(std::to_string(n), text_of_size(kWhole, n)), 0, 10).has_value());
  for (const fs::path& file : block_files(f.path())) set_last_used(file, -365 * 24 * 3600);
  const ObjectInfo first = f.lake.put("first", text_of_size(kWhole, 8));
  REQUIRE(read_to_disk(*cache, first, 0, 10).has_value());
  REQUIRE(read_to_disk(*cache, f.lake.put("second", text_of_size(kWhole, 9)), 0, 10).has_value());
  f.lake.forget_calls();
  REQUIRE(read(*f.open(kGiB), first, 0, 10).has_value());
  CHECK(f.fetches() == 0);
}

TEST_CASE("F1: a mount that is stopped while it has the account holds up no other one for long") {
  CacheFixture f;
  std::ignore = f.open();
  ChildProcess stopped([&](const auto& stay) {
    const int usage = ::open((f.path() / "usage").c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    stay(::fcntl(usage, F_OFD_SETLK, &lock) == 0);
  });
  std::jthread rescue([&](const std::stop_token& is_done) {
    for (int n = 0; n < 200 && !is_done.stop_requested(); ++n) std::this_thread::sleep_for(100ms);
    if (!is_done.stop_requested()) stopped.kill();
  });
  const auto begun = std::chrono::steady_clock::now();
  const ObjectInfo object = f.lake.put("a", text_of_size(8 * kWhole));
  {
    const auto cache = f.open();
    for (int n = 0; n < 8; ++n)
      CHECK(read_to_disk(*cache, f.lake.put(std::to_string(n), text_of_size(kWhole)), 0, 10).has_value());
  }
  CHECK(std::chrono::steady_clock::now() - begun < 10s);
}

TEST_CASE("who counts a file that is being written does not count its bytes twice") {
  ScratchDirectory scratch;
  const auto directory = std::make_shared<const UniqueFd>(open_private_directory(scratch.path()).value());
  auto usage = CacheUsage::open(directory->get()).value();
  CacheEviction eviction(directory, usage, kGiB);
  const BlockId id{std::string(64, 'a'), 0};
  const BlockFormat format(id, kBlock);
  REQUIRE(fs::create_directory(scratch.path() / "aa"));
  const std::string path = file_of(id.object, "-0"), bytes = text_of_size(kBlock);
  const auto file = open_file(directory->get(), path, O_CREAT | O_RDWR).value();
  usage.change(0xaa, [&] { return static_cast<std::int64_t>(format.write_table(file.get()).value()); });
  REQUIRE(write_fully(file.get(), 0, std::as_bytes(std::span(bytes))).has_value());
  eviction.count_all({});  // By a mount that begins just now.
  usage.change(0xaa, [&] {
    const auto sums = format.sums_of(0, std::as_bytes(std::span(bytes)));
    return static_cast<std::int64_t>(format.write_sums(file.get(), 0, sums).value());
  });
  struct stat facts {};
  REQUIRE(::fstat(file.get(), &facts) == 0);
  CHECK(usage.total() == charge_of(facts));
}

TEST_CASE("tiny objects count for what they take on disk, and the cap holds for thousands of them") {
  CacheFixture f;
  constexpr std::uint64_t kCap = 1000 * 4096;
  const auto cache = f.open(kCap);
  for (int n = 0; n < 3000; ++n)
    REQUIRE(read_to_disk(*cache, f.lake.put(std::to_string(n), "tiny"), 0, 4).has_value());
  CHECK(cache->use().bytes <= kCap);
  CHECK(bytes_on_disk(f.path()) <= kCap);
  CHECK(bytes_on_disk(f.path()) > kCap / 2);
}

TEST_CASE("a block that is larger than the cache is read past it") {
  CacheFixture f;
  const auto cache = f.open(1000);
  const ObjectInfo object = f.lake.put("a", text_of_size(kWhole));
  CHECK(read_to_disk(*cache, object, 0, 10).has_value());
  CHECK(block_files(f.path()).empty());
}

TEST_CASE("a cache that has become too large for --cache-size shrinks at the next mount") {
  CacheFixture f;
  const ObjectInfo object = f.lake.put("a", text_of_size(6 * kWhole));
  REQUIRE(read(*f.open(), object, 0, 6 * kWhole).has_value());
  const auto cache = f.open(2 * kWhole);
  for (int n = 0; n < 500 && bytes_on_disk(f.path()) > 2 * kWhole; ++n) std::this_thread::sleep_for(10ms);
  CHECK(bytes_on_disk(f.path()) <= 2 * kWhole);
}

TEST_CASE("without a cap nothing is kept, and nothing is made") {
  CacheFixture f;
  const auto cache = f.open(0);
  const ObjectInfo object = f.lake.put("a", "text");
  CHECK(read_to_disk(*cache, object, 0, 4).value() == "text");
  CHECK(read_to_disk(*cache, object, 0, 4).value() == "text");
  CHECK(f.fetches() == 2);
  CHECK_FALSE(fs::exists(f.path()));
}

TEST_CASE("a cache whose books are lost or wrong counts again") {
  CacheFixture f;
  const ObjectInfo object = f.lake.put("a", text_of_size(4 * kWhole));
  REQUIRE(read(*f.open(), object, 0, 4 * kWhole).has_value());
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

TEST_CASE("a mount that begins believes the books, however many files there are: it looks through none") {
  CacheFixture f;
  REQUIRE(read_to_disk(*f.open(), f.lake.put("a", text_of_size(kWhole)), 0, 10).has_value());
  const auto booked = f.open()->use().bytes;
  CHECK(booked == bytes_on_disk(f.path()));
  fs::create_directories(f.path() / "blocks" / "ab");
  std::ofstream(f.path() / "blocks" / "ab" / "unknown to the books") << text_of_size(kWhole);
  const auto cache = f.open();
  std::this_thread::sleep_for(50ms);  // It would be counted behind.
  CHECK(cache->use().bytes == booked);
}

TEST_CASE("books that say too much do not keep the cache from working") {
  CacheFixture f;
  constexpr std::uint64_t kCap = 4 * kWhole;
  const ObjectInfo object = f.lake.put("a", text_of_size(kWhole));
  const auto cache = f.open(kCap);
  REQUIRE(read_to_disk(*cache, object, 0, 10).has_value());
  fs::remove_all(f.path() / "blocks" / block_files(f.path())[0].parent_path().filename());
  for (unsigned n = 0; n < 10; ++n)
    REQUIRE(read_to_disk(*cache, f.lake.put(std::to_string(n), text_of_size(kWhole, n)), 0, 10).has_value());
  CHECK(cache->use().bytes == bytes_on_disk(f.path()));
  CHECK(bytes_on_disk(f.path()) >= 2 * kWhole);
}

TEST_CASE("several processes share one cache: right bytes, one cap, one account") {
  CacheFixture f;
  constexpr std::uint64_t kCap = 10 * kWhole;
  std::vector<ObjectInfo> objects;
  std::vector<std::string> texts;
  for (unsigned n = 0; n < 20; ++n) {
    texts.push_back(text_of_size(n % 2 == 0 ? kWhole - n : 5000 + n, n));
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
        all_right = all_right && bytes_on_disk(f.path()) <= kCap + 4 * (kWhole + 4096);
      }
      stay(all_right);
    }));
  mounts.clear();
  const auto cache = f.open(kCap);
  for (const fs::path& file : block_files(f.path())) CHECK(file.extension() != ".new");
  CHECK(cache->use().bytes >= bytes_on_disk(f.path()));
  CHECK(bytes_on_disk(f.path()) <= kCap);
}

TEST_CASE("when all who write into one cache are done, it is below its cap") {
  constexpr std::uint64_t kCap = 8 * kWhole;
  const std::string bytes = text_of_size(kWhole);
  for (unsigned round = 0; round < 20; ++round) {
    ScratchDirectory cache;
    {
      std::vector<std::unique_ptr<BlockFiles>> mounts;
      std::vector<std::jthread> writers;
      for (unsigned mount = 0; mount < 2; ++mount) {
        mounts.push_back(BlockFiles::open(cache.path(), kCap).value());
        for (unsigned thread = 0; thread < 3; ++thread)
          writers.emplace_back([&, &files = *mounts.back(), seed = round * 6 + mount * 3 + thread] {
            std::mt19937 random(seed);
            for (int step = 0; step < 20; ++step) {
              const BlockId id{std::string(64, "abcd"[random() % 4]), 0};
              files.store(id, kBlock, random() % 4 * kWhole, std::as_bytes(std::span(bytes)),
                          BlockFiles::Way::kThroughPages);
            }
          });
      }
      writers.clear();
      CHECK(mounts.front()->bytes() >= bytes_on_disk(cache.path()));
    }
    CHECK(bytes_on_disk(cache.path()) <= kCap);
  }
}

TEST_CASE("many threads read, evict and damage at once: right bytes, and the cap holds") {
  CacheFixture f;
  constexpr std::uint64_t kCap = 6 * kWhole;
  const auto cache = f.open(kCap);
  std::vector<ObjectInfo> objects;
  std::vector<std::string> texts;
  for (unsigned n = 0; n < 10; ++n) {
    texts.push_back(text_of_size(kWhole + 1000, n));
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

TEST_SUITE_END();

}  // namespace lakefuse::test
