#include "cache/cached_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "cache/checksum.h"
#include "cache/unique_fd.h"
#include "client/patience.h"
#include "tests/cache/cache_fixture.h"
#include "tests/support/faulty_store.h"
#include "tests/support/gated_store.h"
#include "tests/support/heap.h"

namespace lakefuse::test {

namespace {

std::uint64_t pages_in_memory(const std::filesystem::path& file) {
  const UniqueFd opened(::open(file.c_str(), O_RDONLY));
  const std::uint64_t size = std::filesystem::file_size(file);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, opened.get(), 0);
  REQUIRE(mapped != MAP_FAILED);
  std::vector<unsigned char> pages((size + 4095) / 4096);
  CHECK(::mincore(mapped, size, pages.data()) == 0);
  ::munmap(mapped, size);
  return static_cast<std::uint64_t>(
      std::ranges::count_if(pages, [](unsigned char page) { return page & 1; }));
}

bool takes_direct_writes(const std::filesystem::path& directory) {
  return static_cast<bool>(
      UniqueFd(::open((directory / "direct").c_str(), O_CREAT | O_RDWR | O_DIRECT, 0600)));
}

// What this thread reads comes; of all that others fetch for it the deadline passes.
class SlowAhead : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

 protected:
  Decision decide(std::string_view) override {
    if (std::this_thread::get_id() != reader_)
      return {.work = Decision::Work::kNotDone, .answer = Error{Errc::kTimeout, "moved no byte"}};
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // So that others are ahead indeed.
    return {};
  }
  void put_off(std::function<void()>) override {}

 private:
  const std::thread::id reader_ = std::this_thread::get_id();
};

}  // namespace

TEST_SUITE_BEGIN("cached store");

namespace fs = std::filesystem;
using namespace std::chrono_literals;

TEST_CASE("R2: content read once is not fetched again, by this mount, the next one, or under another name") {
  CacheFixture f;
  const std::string text = text_of_size(3 * kBlock + 100);
  const ObjectInfo object = f.lake.put("a", text);
  {
    const auto cache = f.open();
    CHECK((read(*cache, object, 0, text.size() + 10).value() == text));
    CHECK(f.fetches() == 4);
    wait_for_disk(*cache);
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
  CacheFixture f;
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const auto cache = f.open();
  for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{4093}, std::uint64_t{16384}, kWhole,
                                   kWhole + 1, kBlock - 1, kBlock, 2 * kBlock + 16384}) {
    const std::string text = text_of_size(size, static_cast<unsigned>(size));
    const ObjectInfo object = f.lake.put(std::to_string(size), text);
    for (int n = 0; n < 60; ++n) {
      const std::uint64_t offset = random() % (size + 10),
                          length = random() % (n % 2 == 0 ? 2 * kBlock : 20000);
      const auto got = read(*cache, object, offset, length).value();
      REQUIRE((got == (offset < size ? text.substr(offset, length) : "")));
    }
  }
}

TEST_CASE("what lies in memory is lent, not copied, and stays what it is for who holds it") {
  CacheFixture f;
  constexpr std::uint64_t kRead = 128 << 10;
  const std::string text = text_of_size(4 * kBlock + 5);
  const ObjectInfo object = f.lake.put("a", text);
  const auto cache = f.open();
  std::vector<std::pair<std::uint64_t, BytesRead>> lent;
  std::vector<std::byte> room(kRead);
  const auto is_right = [&](std::uint64_t offset, const BytesRead& got) {
    const std::string_view bytes(reinterpret_cast<const char*>(got.bytes.data()), got.bytes.size());
    return bytes == std::string_view(text).substr(offset, kRead);
  };
  for (std::uint64_t offset = 0; offset < text.size(); offset += kRead) {
    const auto got = cache->read_in_place(object, offset, room).value();
    if (got.lender) lent.emplace_back(offset, got);
    REQUIRE(is_right(offset, got));
  }
  CHECK(lent.size() > 2 * kBlock / kRead);  // What the reader waited for, and what came ahead of him.
  for (const auto& [offset, got] : lent) CHECK(is_right(offset, got));
}

TEST_CASE("what is known to be empty, or past the end, costs no call") {
  CacheFixture f;
  const auto cache = f.open();
  CHECK(read(*cache, ObjectInfo{}, 0, 100).value().empty());
  CHECK(read(*cache, f.lake.put("a", "text"), 4, 100).value().empty());
  CHECK(f.fetches() == 0);
}

TEST_CASE("rule 8: another checksum, size, address or lake is another object") {
  CacheFixture f;
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
  CacheFixture f;
  const std::string text = text_of_size(kBlock + 5000);
  const ObjectInfo object = f.lake.put("a", text);
  const auto cache = f.open();
  REQUIRE(read(*cache, object, 0, text.size()).has_value());
  wait_for_disk(*cache);
  const auto files = block_files(f.path());
  REQUIRE(files.size() == 2);
  const fs::path small = fs::file_size(files[0]) < kBlock ? files[0] : files[1];
  const fs::path large = fs::file_size(files[0]) < kBlock ? files[1] : files[0];
  const auto check_mended = [&] {
    f.lake.forget_calls();
    CHECK((read(*cache, object, 0, text.size()).value() == text));
    CHECK(f.fetches() > 0);
    wait_for_disk(*cache);
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
  SUBCASE("longer, which is no damage to what is there") {
    fs::resize_file(small, fs::file_size(small) + 1);
    f.lake.forget_calls();
    CHECK((read(*cache, object, 0, text.size()).value() == text));
    CHECK(f.fetches() == 0);
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

TEST_CASE("random reads of 4 KiB fetch what they ask for, and the second time nothing") {
  CacheFixture f;
  const std::string text = text_of_size(3 * kBlock + 5);
  const ObjectInfo object = f.lake.put("a", text);
  NotingStore noting(f.lake);
  const auto cache = f.open(noting);
  std::mt19937_64 random(7);
  std::set<std::uint64_t> places;
  while (places.size() < 100) places.insert(random() % (text.size() / 4096) * 4096);
  std::vector<std::uint64_t> order(places.begin(), places.end());
  std::shuffle(order.begin(), order.end(), random);
  for (int round = 0; round < 2; ++round) {
    for (const std::uint64_t at : order)
      CHECK((read(*cache, object, at, 4096).value() == text.substr(at, 4096)));
    CHECK(noting.bytes() == 100 * 4096);
  }
  wait_for_disk(*cache);
  CHECK((read(*f.open(noting), object, order[3], 4096).value() == text.substr(order[3], 4096)));
  CHECK(noting.bytes() == 100 * 4096);
  // Off the kernel's pages: at most twice as much.
  CHECK((read(*cache, object, 2 * kBlock + 100, 4096).value() == text.substr(2 * kBlock + 100, 4096)));
  CHECK(noting.bytes() <= 102 * 4096);
}

TEST_CASE("a reader in a row gets its bytes fetched ahead, each of them once, in few requests") {
  CacheFixture f;
  const std::string text = text_of_size(64 << 20);
  const ObjectInfo object = f.lake.put("a", text);
  NotingStore noting(f.lake);
  std::uint64_t cap = kGiB;
  SUBCASE("with a cache") {}
  SUBCASE("without") {
    cap = 0;
  }
  const auto cache = f.open(noting, cap);
  const auto whatever_the_disk = cache->keep_all();
  constexpr std::uint64_t kAsked = 128 << 10;
  for (std::uint64_t at = 0; at < text.size(); at += kAsked)
    REQUIRE((read(*cache, object, at, kAsked).value() == text.substr(at, kAsked)));
  // In memory alone a piece may be read up before its fetch ahead begins.
  CHECK(noting.bytes() >= text.size());
  CHECK(noting.bytes() <= (cap == 0 ? text.size() * 5 / 4 : text.size()));
  CHECK(noting.fetched().size() <= 75);
}

TEST_CASE(
    "what is read in a row is written behind its reader, past the page cache, and all of it by the end") {
  CacheFixture f;
  const std::string text = text_of_size((16 << 20) + 77);
  const ObjectInfo object = f.lake.put("a", text);
  {
    const auto cache = f.open();
    for (std::uint64_t at = 0; at < text.size(); at += kWhole)
      REQUIRE((read(*cache, object, at, kWhole).value() == text.substr(at, kWhole)));
  }
  CHECK(bytes_on_disk(f.path()) >= text.size());
  std::uint64_t in_memory = 0;
  for (const fs::path& file : block_files(f.path())) in_memory += pages_in_memory(file) * 4096;
  // The tables, the end, and the short pieces in the beginning. A disk that takes nothing past its pages has
  // all of it.
  if (takes_direct_writes(f.path())) CHECK(in_memory <= text.size() / 2);
  f.lake.forget_calls();
  CHECK((read(*f.open(), object, 0, text.size()).value() == text));
  CHECK(f.fetches() == 0);
}

TEST_CASE("a reader that stops early has had little fetched in vain") {
  CacheFixture f;
  const ObjectInfo object = f.lake.put("a", text_of_size(64 << 20));
  NotingStore noting(f.lake);
  {
    const auto cache = f.open(noting);
    for (std::uint64_t at = 0; at < 1 << 20; at += 128 << 10)
      REQUIRE(read(*cache, object, at, 128 << 10).has_value());
  }
  CHECK(noting.bytes() <= 3 << 20);
}

TEST_CASE("several readers of one object, each in a row, have every byte fetched once") {
  CacheFixture f;
  const std::string text = text_of_size(32 << 20);
  const ObjectInfo object = f.lake.put("a", text);
  NotingStore noting(f.lake);
  {
    const auto cache = f.open(noting);
    const auto whatever_the_disk = cache->keep_all();
    std::vector<std::jthread> readers;
    for (std::uint64_t part = 0; part < 4; ++part)
      readers.emplace_back([&, begin = part * (8 << 20)] {
        for (std::uint64_t at = begin; at < begin + (8 << 20); at += 64 << 10)
          CHECK((read(*cache, object, at, 64 << 10).value() == text.substr(at, 64 << 10)));
      });
  }
  CHECK(noting.bytes() == text.size());
}

TEST_CASE("what is in the cache here and there is not fetched again by who reads past it") {
  CacheFixture f;
  const std::string text = text_of_size(2 * kBlock);
  const ObjectInfo object = f.lake.put("a", text);
  NotingStore noting(f.lake);
  const auto cache = f.open(noting);
  REQUIRE(read(*cache, object, 1 << 20, 1 << 20).has_value());
  CHECK((read(*cache, object, 0, text.size()).value() == text));
  CHECK(noting.bytes() == text.size());
}

TEST_CASE("F1: a fetch ahead that fails is told to nobody, and who reads there tries again") {
  CacheFixture f;
  const std::string text = text_of_size(8 << 20);
  const ObjectInfo object = f.lake.put("a", text);
  FaultyStore faulty(f.lake, {.nth = 2, .operation = "read", .times = 1});
  const auto cache = f.open(faulty);
  int failures = 0;
  for (std::uint64_t at = 0; at < text.size(); at += 128 << 10) {
    const auto got = read(*cache, object, at, 128 << 10);
    if (got) CHECK((*got == text.substr(at, 128 << 10)));
    failures += !got;
  }
  CHECK(faulty.reached());
  CHECK(failures <= 1);
  CHECK((read(*cache, object, 0, text.size()).value() == text));
}

TEST_CASE("F1: a fetch ahead whose deadline passes is not tried again by the reader who comes there") {
  CacheFixture f;
  const std::string text = text_of_size(16 << 20);
  const ObjectInfo object = f.lake.put("a", text);
  SlowAhead slow(f.lake);
  const auto cache = f.open(slow);
  std::uint64_t at = 0;
  auto got = read(*cache, object, at, 128 << 10);
  for (; got && at < text.size(); got = read(*cache, object, at, 128 << 10)) at += 128 << 10;
  CHECK(cause_of(got) == Errc::kTimeout);
  CHECK(cause_of(read(*cache, object, at, 4096)) == Errc::kTimeout);  // As the kernel asks again.
}

TEST_CASE("small objects that are fetched ahead wait on the disk for their reader, not in memory") {
  CacheFixture f;
  const auto cache = f.open();
  const ObjectInfo one = f.lake.put("a", text_of_size(5000));
  CHECK((read_to_disk(*cache, one, 0, 5000).value() == text_of_size(5000)));
  const std::uint64_t bytes_each = cache->use().bytes;
  REQUIRE(bytes_each > 5000);
  const ObjectInfo other = f.lake.put("b", text_of_size(5000, 2));
  cache->will_read(other);
  while (cache->use().bytes < 2 * bytes_each) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(20ms);  // Who wrote it lets go of it.
  CHECK(f.fetches() == 2);
  for (const fs::path& file : block_files(f.path())) fs::remove(file);
  CHECK((read(*cache, other, 0, 5000).value() == text_of_size(5000, 2)));
  CHECK(f.fetches() == 3);
}

TEST_CASE("what is in the cache costs no memory, however many objects are") {
  CacheFixture f;
  constexpr int kObjects = 1500;
  std::vector<ObjectInfo> objects;
  for (int n = 0; n < kObjects; ++n) objects.push_back(f.lake.put(std::to_string(n), std::to_string(n)));
  const auto cache = f.open();
  const auto read_all = [&](int from, int to) {
    for (int n = from; n < to; ++n) REQUIRE(read(*cache, objects[n], 0, 10).value() == std::to_string(n));
    wait_for_disk(*cache);
    f.lake.forget_calls();
  };
  read_all(0, kObjects / 10);
  const auto before = heap_bytes();
  if (!before) return;
  read_all(kObjects / 10, kObjects);
  CHECK(block_files(f.path()).size() == kObjects);
  CHECK(*heap_bytes() < *before + kObjects * 40);  // A name of one takes more.
}

TEST_CASE("many readers of one small object cost one request") {
  CacheFixture f;
  const std::string text = text_of_size(kWhole);
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
  CacheFixture f;
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
  CacheFixture f;
  const ObjectInfo object = f.lake.put("a", "text");
  FaultyStore faulty(f.lake, 0, Errc::kUnavailable);
  const auto cache = f.open(faulty);
  CHECK(cause_of(read(*cache, object, 0, 4)) == Errc::kUnavailable);
  CHECK(read(*cache, object, 0, 4).value() == "text");
}

TEST_CASE("F4: fewer bytes than the object has are an error, never zeros and never cached") {
  CacheFixture f;
  ObjectInfo object = f.lake.put("a", "text");
  object.size_bytes = 10;
  const auto cache = f.open();
  CHECK(cause_of(read(*cache, object, 0, 10)) == Errc::kUntrustworthy);
  CHECK(block_files(f.path()).empty());
}

TEST_CASE("F3: nobody else can read the cache, and names in it tell nothing") {
  CacheFixture f;
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
