#include "cache/whole_files.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>

#include "cache/block_files.h"
#include "cache/disk.h"
#include "tests/cache/cache_fixture.h"

namespace lakefuse::test {

namespace fs = std::filesystem;

TEST_SUITE_BEGIN("whole files");

namespace {

using Lent = std::shared_ptr<const UniqueFd>;

// Asks until it is lent; null when that takes too long.
Lent lent_at_last(CachedStore& cache, const ObjectInfo& object) {
  for (int tries = 0; tries < 5000; ++tries) {
    if (auto file = cache.lend(object)) return file;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return nullptr;
}

std::string bytes_of(const Lent& file) {
  struct stat facts {};
  REQUIRE(::fstat(file->get(), &facts) == 0);
  std::string text(static_cast<std::size_t>(facts.st_size), '?');
  REQUIRE(read_fully(file->get(), 0, std::as_writable_bytes(std::span(text))).value() == text.size());
  return text;
}

// The only file of the cache that ends so.
fs::path file_ending(const fs::path& cache, const std::string& ending) {
  auto files = block_files(cache);
  std::erase_if(files, [&](const fs::path& file) { return !file.string().ends_with(ending); });
  REQUIRE(files.size() == 1);
  return files.front();
}

// A file goes a moment before its bytes are booked.
void check_account(const CachedStore& cache, const fs::path& path) {
  const auto is_right = [&] { return cache.use().bytes == bytes_on_disk(path); };
  for (int tries = 0; tries < 2000 && !is_right(); ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(cache.use().bytes == bytes_on_disk(path));
}

void write_at(const fs::path& file, std::uint64_t at, const std::string& text) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(at));
  stream << text;
}

// An object that is in the cache, and was opened again.
class WholeFixture : public CacheFixture {
 public:
  const std::string text = text_of_size(kBlock + 70'001);
  const ObjectInfo object = lake.put("a", text);

  void make() {
    const auto cache = open();
    REQUIRE(read_to_disk(*cache, object, 0, text.size()).has_value());
    REQUIRE(lent_at_last(*cache, object) != nullptr);
    wait_until_settled();
    lake.forget_calls();
    // Before Linux 6.13 a file's times move with the clock's ticks.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  // Its blocks have gone: what is left are bytes and sums.
  void wait_until_settled() const {
    for (int tries = 0; tries < 5000 && block_files(path()).size() > 2; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    REQUIRE(block_files(path()).size() == 2);
  }
};

}  // namespace

TEST_CASE("what is here and asked for again is lent as one file of its bytes, which replaces its blocks") {
  WholeFixture f;
  const auto cache = f.open();
  CHECK(cache->lend(f.object) == nullptr);  // Not here.
  REQUIRE(read_to_disk(*cache, f.object, 0, f.text.size()).has_value());
  const Lent file = lent_at_last(*cache, f.object);
  REQUIRE(file != nullptr);
  CHECK((bytes_of(file) == f.text));
  f.wait_until_settled();
  f.lake.forget_calls();
  CHECK((read(*cache, f.object, 0, f.text.size()).value() == f.text));
  CHECK((read(*cache, f.object, kBlock - 3, 4096).value() == f.text.substr(kBlock - 3, 4096)));
  CHECK(f.fetches() == 0);
}

TEST_CASE("who read it in order to have it here has it in one file as soon as he is told that it is here") {
  WholeFixture f;
  const auto cache = f.open();
  CHECK_FALSE(cache->settle(f.object, true));  // Nobody has read it.
  {
    const auto whatever_the_disk = cache->keep_all();
    constexpr std::uint64_t kAsked = 128 << 10;
    for (std::uint64_t at = 0; at < f.text.size(); at += kAsked)
      REQUIRE(read(*cache, f.object, at, kAsked).has_value());
    CHECK(cache->settle(f.object, true));
  }
  const Lent file = cache->lend(f.object);
  REQUIRE(file != nullptr);
  CHECK((bytes_of(file) == f.text));
  CHECK(block_files(f.path()).size() == 2);
  CHECK(cache->settle(f.object, true));
  CHECK(cache->settle(f.object, false));
  check_account(*cache, f.path());
}

TEST_CASE(
    "it is told so of blocks where nobody lends, where they are small, and where one file has no room") {
  WholeFixture f;
  std::uint64_t cap = kGiB;
  ObjectInfo object = f.object;
  bool in_one_file = true;
  SUBCASE("nobody lends") {
    in_one_file = false;
  }
  SUBCASE("small") {
    object = f.lake.put("small", "bytes");
  }
  SUBCASE("no room for one file") {
    cap = 3 * kBlock;
  }
  const auto cache = f.open(cap);
  REQUIRE(read(*cache, object, 0, object.size_bytes).has_value());
  CHECK(cache->settle(object, in_one_file));
  f.lake.forget_calls();
  CHECK(read(*f.open(cap), object, 0, object.size_bytes).has_value());  // As another mount does.
  CHECK(f.fetches() == 0);
  for (const fs::path& file : block_files(f.path())) CHECK_FALSE(file.string().ends_with("-whole"));
}

TEST_CASE("where the cache has no room at all, who reads in order to have it here is told") {
  WholeFixture f;
  for (const std::uint64_t cap : {std::uint64_t{0}, kWhole}) {
    const auto cache = f.open(cap);
    REQUIRE(read(*cache, f.object, 0, f.text.size()).has_value());
    CHECK_FALSE(cache->settle(f.object, false));
  }
}

TEST_CASE("another mount reads and lends it at once") {
  WholeFixture f;
  f.make();
  const auto cache = f.open();
  const Lent file = cache->lend(f.object);
  REQUIRE(file != nullptr);
  CHECK((bytes_of(file) == f.text));
  constexpr std::uint64_t kAsked = 128 << 10;
  for (std::uint64_t at = 0; at < f.text.size(); at += kAsked)
    CHECK((read(*cache, f.object, at, kAsked).value() == f.text.substr(at, kAsked)));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // Nor does what goes ahead of a row.
  CHECK(f.fetches() == 0);
}

TEST_CASE("what is not all here, or small, is not lent") {
  CacheFixture f;
  const std::string text = text_of_size(3 * kBlock);
  const ObjectInfo partly = f.lake.put("partly", text);
  const ObjectInfo small = f.lake.put("small", text.substr(0, kWhole));
  const auto cache = f.open();
  REQUIRE(read_to_disk(*cache, partly, 0, kBlock).has_value());
  REQUIRE(read_to_disk(*cache, partly, 2 * kBlock, kBlock).has_value());
  REQUIRE(read_to_disk(*cache, small, 0, kWhole).has_value());
  for (int tries = 0; tries < 20; ++tries) {
    CHECK(cache->lend(partly) == nullptr);
    CHECK(cache->lend(small) == nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(std::ranges::none_of(block_files(f.path()),
                             [](auto& file) { return WholeFiles::is_name(file.string()); }));
}

TEST_CASE("F4: whatever size a server says, to open such an object takes no memory") {
  WholeFixture f;
  const auto peak_of_memory = [] {
    rusage usage{};
    REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
  };
  const auto cache = f.open();
  REQUIRE(read_to_disk(*cache, f.object, 0, f.text.size()).has_value());
  REQUIRE(lent_at_last(*cache, f.object) != nullptr);
  const auto before = peak_of_memory();
  ObjectInfo large = f.object;
  large.size_bytes = std::uint64_t{1} << 44;
  CHECK(cache->lend(large) == nullptr);
  // One at a time: once this one can be had, that one is done with.
  const ObjectInfo next = f.lake.put("next", f.text);
  REQUIRE(read_to_disk(*cache, next, 0, f.text.size()).has_value());
  CHECK(lent_at_last(*cache, next) != nullptr);
  CHECK(peak_of_memory() - before < 100 << 10);  // KiB.
}

TEST_CASE("what was changed since it was looked through is not lent, and no reader sees it") {
  WholeFixture f;
  f.make();
  SUBCASE("a byte") {
    write_at(file_ending(f.path(), "-whole"), 100'000, "!");
  }
  SUBCASE("the last byte") {
    write_at(file_ending(f.path(), "-whole"), f.text.size() - 1, "!");
  }
  SUBCASE("cut") {
    fs::resize_file(file_ending(f.path(), "-whole"), kBlock);
  }
  SUBCASE("longer") {
    fs::resize_file(file_ending(f.path(), "-whole"), f.text.size() + 1);
  }
  SUBCASE("a sum, and the seal") {
    const fs::path sums = file_ending(f.path(), "-sums");
    write_at(sums, fs::file_size(sums) - 8, std::string(8, '!'));
    write_at(sums, 0, std::string(8, '!'));
  }
  SUBCASE("no sums") {
    fs::remove(file_ending(f.path(), "-sums"));
  }
  const auto cache = f.open();
  CHECK(cache->lend(f.object) == nullptr);
  CHECK((read_to_disk(*cache, f.object, 0, f.text.size()).value() == f.text));
  CHECK(f.fetches() > 0);
  // Read again it is as good as new.
  for (int tries = 0; tries < 100 && cache->lend(f.object) == nullptr; ++tries) {
    CHECK((read_to_disk(*cache, f.object, 0, f.text.size()).value() == f.text));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const Lent file = cache->lend(f.object);
  REQUIRE(file != nullptr);
  CHECK((bytes_of(file) == f.text));
}

TEST_CASE("after another boot of the machine it is looked through before it is lent") {
  WholeFixture f;
  f.make();
  write_at(file_ending(f.path(), "-sums"), 0, std::string(8, '\0'));  // No boot's seal.
  const auto cache = f.open();
  CHECK(cache->lend(f.object) == nullptr);
  const Lent file = lent_at_last(*cache, f.object);
  REQUIRE(file != nullptr);
  CHECK((bytes_of(file) == f.text));
  CHECK(f.fetches() == 0);
}

TEST_CASE("to use it keeps its seal, and keeps it from being thrown out") {
  ScratchDirectory cache;
  const auto files = BlockFiles::open(cache.path(), kGiB).value();
  const std::string digest(64, 'a');
  REQUIRE(::mkdir((cache.path() / "blocks/aa").c_str(), 0700) == 0);
  REQUIRE(files->make_whole(digest, kBlock, [](std::uint64_t, std::span<std::byte>) { return true; }));
  for (const char* ending : {"-whole", "-sums"}) set_last_used(file_ending(cache.path(), ending), 1000);
  REQUIRE(files->wholes().look_through(digest, kBlock));  // To set its time has broken the seal.
  SUBCASE("lent") {
    CHECK(files->wholes().lend(digest, kBlock));
  }
  SUBCASE("read") {
    std::byte one{};
    CHECK(files->wholes().load(digest, kBlock, 0, {&one, 1}) == 1);
  }
  for (const char* ending : {"-whole", "-sums"}) {
    struct stat facts {};
    REQUIRE(::stat(file_ending(cache.path(), ending).c_str(), &facts) == 0);
    CHECK(::time(nullptr) - facts.st_mtim.tv_sec < 500);
  }
  CHECK(files->wholes().lend(digest, kBlock));
}

TEST_CASE("that no descriptor is free is no damage") {
  ScratchDirectory cache;
  const auto files = BlockFiles::open(cache.path(), kGiB).value();
  const std::string digest(64, 'a');
  REQUIRE(::mkdir((cache.path() / "blocks/aa").c_str(), 0700) == 0);
  REQUIRE(files->make_whole(digest, kBlock, [](std::uint64_t, std::span<std::byte>) { return true; }));
  const int lowest_free = ::dup(STDIN_FILENO);
  REQUIRE(::close(lowest_free) == 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool is_found = files->wholes().look_through(digest, kBlock);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_FALSE(is_found);
  CHECK(files->wholes().lend(digest, kBlock));
}

TEST_CASE("it counts for the cap, is thrown out like blocks, and is not made where it would take too much") {
  CacheFixture f;
  const std::string text = text_of_size(kBlock / 2) + std::string(kBlock / 2, '\0');
  std::vector<ObjectInfo> objects;
  for (int n = 0; n < 8; ++n)
    objects.push_back(f.lake.put("f" + std::to_string(n), text + std::to_string(n)));
  SUBCASE("thrown out") {
    const std::uint64_t cap = 5 * kBlock;
    const auto cache = f.open(cap);
    for (const ObjectInfo& object : objects) {
      REQUIRE(read_to_disk(*cache, object, 0, object.size_bytes).has_value());
      if (const Lent file = lent_at_last(*cache, object)) CHECK(bytes_of(file).size() == object.size_bytes);
      CHECK(cache->use().bytes <= cap);
    }
    const auto shrunk = f.open(kWhole);
    for (int tries = 0; tries < 5000 && bytes_on_disk(f.path()) > kWhole; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(bytes_on_disk(f.path()) <= kWhole);
    check_account(*shrunk, f.path());
  }
  SUBCASE("not made") {
    const auto cache = f.open(3 * kBlock);
    REQUIRE(read_to_disk(*cache, objects[0], 0, objects[0].size_bytes).has_value());
    for (int tries = 0; tries < 20; ++tries) {
      CHECK(cache->lend(objects[0]) == nullptr);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    CHECK(block_files(f.path()).size() == 2);
  }
}

TEST_CASE("one that is given up leaves nothing") {
  ScratchDirectory cache;
  const auto files = BlockFiles::open(cache.path(), kGiB).value();
  const std::string digest(64, 'a');
  const auto part = [](std::uint64_t offset, std::span<std::byte>) { return offset < kBlock; };
  CHECK_FALSE(files->make_whole(digest, 2 * kBlock, part));
  CHECK(block_files(cache.path()).empty());
  CHECK(files->bytes() == 0);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
