// FUSE passthrough: what is whole in the cache the kernel reads without us, and it is the same file for all
// that. Most of it needs libfuse 3.17, Linux 6.9 and root, and is skipped with a sentence where one is
// missing.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSize = 5'000'001;  // Worth a file of its own; it ends in the middle of a page.

std::vector<std::filesystem::path> cache_files(const Mounted& mount) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount.cache_dir() / "blocks"))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

// The cache's file of a whole object, the only one in it; empty: there is none, or its blocks are there
// still.
std::filesystem::path whole_file(const Mounted& mount) {
  const auto files = cache_files(mount);
  if (files.size() != 2) return {};
  const auto found =
      std::ranges::find_if(files, [](const auto& file) { return file.string().ends_with("-whole"); });
  return found == files.end() ? std::filesystem::path() : *found;
}

std::uint64_t number(const boost::json::object& status, const char* name) {
  return status.at(name).to_number<std::uint64_t>();
}

// What the mount had to do for `work`: requests of the kernel, and of those the reads.
struct Cost {
  std::uint64_t requests;
  std::uint64_t reads;
};
template <class Work>
Cost cost_of(const Mounted& mount, const Work& work) {
  const auto before = mount.status();
  work();
  const auto after = mount.status();
  const auto more = [&](const char* name) { return number(after, name) - number(before, name); };
  return {more("requests"), more("cache_hits") + more("cache_misses")};
}

MountOptions read_only(std::string ref = "main") {
  return {.ref = std::move(ref), .flags = {"--read-only", "--metadata-ttl", "100ms"}};
}

bool can_pass_through(const Mounted& mount) {
  const auto status = mount.status();
  if (status.at("passthrough").as_bool()) return true;
  MESSAGE("skipped: " << std::string(status.at("no_passthrough_because").as_string()));
  return false;
}

// Reads a file until the cache has it whole, in one file.
void make_whole(const Mounted& mount, const std::string& name, const std::string& bytes) {
  const auto open_before = number(mount.status(), "open_handles");
  REQUIRE((read_file(mount / name) == bytes));
  REQUIRE(eventually([&] { return number(mount.status(), "cache_bytes") >= bytes.size(); }));
  REQUIRE(eventually(
      [&] { return OpenFile(mount / name, O_RDONLY).opened() == kOk && !whole_file(mount).empty(); }));
  // Those went by way of the mount, and the next one would go with them.
  REQUIRE(eventually([&] { return number(mount.status(), "open_handles") == open_before; }));
}

// On overlayfs, which is stacked already.
class StackedDirectory {
 public:
  StackedDirectory() {
    for (const char* name : {"lower", "upper", "work", "at"})
      std::filesystem::create_directory(scratch_.path() / name);
    const std::string at = scratch_.path().string();
    const std::string options = "lowerdir=" + at + "/lower,upperdir=" + at + "/upper,workdir=" + at + "/work";
    is_there_ = ::mount("overlay", path().c_str(), "overlay", 0, options.c_str()) == 0;
  }
  ~StackedDirectory() {
    if (is_there_) ::umount2(path().c_str(), MNT_DETACH);
  }
  StackedDirectory(const StackedDirectory&) = delete;
  StackedDirectory& operator=(const StackedDirectory&) = delete;
  [[nodiscard]] bool is_there() const { return is_there_; }
  [[nodiscard]] std::filesystem::path path() const { return scratch_.path() / "at"; }

 private:
  const ScratchDirectory scratch_;
  bool is_there_ = false;
};

}  // namespace

TEST_CASE("passthrough: status says whether it is on, and why not") {
  TestLake lake;
  lake.put("f", "x");
  {
    const Mounted mount(lake);
    CHECK_FALSE(mount.status().at("passthrough").as_bool());
    CHECK_FALSE(mount.status().at("no_passthrough_because").as_string().empty());
  }
  for (const std::string& ref : {std::string("main"), lake.commit()}) {
    MountOptions options = read_only(ref);
    if (ref != "main") options.flags.clear();  // Nobody can write to a commit anyway.
    const Mounted mount(lake, options);
    const auto status = mount.status();
    const std::string why_not(status.at("no_passthrough_because").as_string());
    CHECK(status.at("passthrough").as_bool() == why_not.empty());
    CHECK_FALSE(has(why_not, "write"));
  }
}

TEST_CASE("passthrough: what was prefetched is read without a request from the first open on") {
  TestLake lake;
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;
  CHECK(mount.lakefuse({"prefetch", (mount / "f").string()}).exit_code == 0);
  CHECK_FALSE(whole_file(mount).empty());
  mount.remount();  // The kernel has none of it.
  CHECK(cost_of(mount, [&] { CHECK((read_file(mount / "f") == bytes)); }).reads == 0);
}

TEST_CASE("passthrough: a file that is whole in the cache is read without a request, and is the same file") {
  TestLake lake;
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;
  make_whole(mount, "f", bytes);
  mount.remount();  // The kernel has none of it.
  const auto file = std::make_unique<OpenFile>(mount / "f", O_RDONLY);
  REQUIRE(file->opened() == kOk);

  SUBCASE("read, in any way") {
    std::string seen;
    Cost cost = cost_of(mount, [&] { seen = file->read_all(); });
    CHECK((seen == bytes));
    CHECK(cost.reads == 0);
    CHECK(cost.requests <= 2);
    cost = cost_of(mount, [&] { seen = read_file(mount / "f"); });  // Another handle of it.
    CHECK((seen == bytes));
    CHECK(cost.reads == 0);
    std::string piece(1000, '?');
    CHECK(::pread(file->fd(), piece.data(), piece.size(), kSize - 300) == 300);
    CHECK((piece.substr(0, 300) == bytes.substr(kSize - 300)));
    CHECK(::pread(file->fd(), piece.data(), piece.size(), kSize) == 0);
    CHECK(::pread(file->fd(), piece.data(), piece.size(), kSize + 100'000) == 0);
    const OpenFile copy(mount.cache_dir() / "copy", O_RDWR | O_CREAT);
    off_t from = 4000;
    std::size_t sent = 0;
    for (ssize_t n = 1; n > 0; sent += static_cast<std::size_t>(n))
      n = ::sendfile(copy.fd(), file->fd(), &from, kSize);
    CHECK(sent == kSize - 4000);
    CHECK((copy.read_all() == bytes.substr(4000)));
  }
  SUBCASE("its size and its data are the object's") {
    struct stat facts {};
    REQUIRE(::fstat(file->fd(), &facts) == 0);
    CHECK(facts.st_size == kSize);
    CHECK(facts.st_ino == facts_of(mount / "f").st_ino);
    CHECK(facts.st_mode == facts_of(mount / "f").st_mode);
    CHECK(::lseek(file->fd(), 0, SEEK_END) == kSize);
    CHECK(::lseek(file->fd(), 100, SEEK_DATA) == 100);
    CHECK(::lseek(file->fd(), 100, SEEK_HOLE) == kSize);
    CHECK(::lseek(file->fd(), kSize, SEEK_DATA) == -1);
    CHECK(errno == ENXIO);
    CHECK(::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED) == 0);
    CHECK(::fsync(file->fd()) == 0);
    CHECK(OpenFile(mount / "f", O_RDWR).opened() == "open: EROFS");
  }
  SUBCASE("mapped") {
    constexpr std::size_t kMapped = (kSize + 4095) / 4096 * 4096;
    void* at = nullptr;
    const Cost cost = cost_of(mount, [&] {
      at = ::mmap(nullptr, kMapped, PROT_READ, MAP_SHARED, file->fd(), 0);
      REQUIRE(at != MAP_FAILED);
      CHECK((std::string_view(static_cast<const char*>(at), kSize) == bytes));
    });
    CHECK(cost.reads == 0);
    const std::string_view rest(static_cast<const char*>(at) + kSize, kMapped - kSize);
    CHECK(std::ranges::all_of(rest, [](char c) { return c == '\0'; }));
    CHECK(::mprotect(at, kMapped, PROT_READ | PROT_WRITE) == -1);
    // The map outlives the descriptor, and other ways of opening the file beside it.
    CHECK(file->close() == kOk);
    CHECK((read_file(mount / "f") == bytes));
    CHECK((OpenFile(mount / "f", O_RDONLY | O_DIRECT).read_all() == bytes));
    CHECK((std::string_view(static_cast<const char*>(at), kSize) == bytes));
    CHECK(::munmap(at, kMapped) == 0);
  }
  SUBCASE("with O_DIRECT, from and to any place") {
    OpenFile direct(mount / "f", O_RDONLY | O_DIRECT);
    REQUIRE(direct.opened() == kOk);
    std::string piece(5000, '?');
    CHECK(::pread(direct.fd(), piece.data() + 1, 4321, 12'345) == 4321);
    CHECK((piece.substr(1, 4321) == bytes.substr(12'345, 4321)));
    CHECK((direct.read_all() == bytes));
  }
  SUBCASE("unmounted only when it is closed") {
    CHECK(mount.lakefuse({"umount", mount.at().string()}).exit_code != 0);
    CHECK((file->read_all() == bytes));
  }
}

TEST_CASE("passthrough: an open file is one version, and the next open another client's new one") {
  TestLake lake;
  const std::string old_bytes = pattern(kSize, 1), new_bytes = pattern(kSize + 5, 2);
  lake.put("f", old_bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;
  make_whole(mount, "f", old_bytes);
  const OpenFile reader(mount / "f", O_RDONLY);
  lake.put("f", new_bytes);
  CHECK(eventually([&] { return read_file(mount / "f") == new_bytes; }));
  CHECK((reader.read_all() == old_bytes));
  struct stat facts {};
  REQUIRE(::fstat(reader.fd(), &facts) == 0);
  CHECK(facts.st_size == kSize);
  lake.remove("f");
  CHECK(eventually([&] { return OpenFile(mount / "f", O_RDONLY).opened() == "open: ENOENT"; }));
  CHECK((reader.read_all() == old_bytes));
}

TEST_CASE("passthrough: handles of one file that are open together work, whichever way the first one went") {
  TestLake lake;
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;

  SUBCASE("by way of us") {
    const OpenFile first(mount / "f", O_RDONLY);
    REQUIRE((first.read_all() == bytes));
    make_whole(mount, "f", bytes);
    const OpenFile second(mount / "f", O_RDONLY);
    CHECK((second.read_all() == bytes));
    CHECK((first.read_all(4096) == bytes.substr(4096)));
  }
  SUBCASE("without us, and the file is thrown out of the cache meanwhile") {
    make_whole(mount, "f", bytes);
    OpenFile first(mount / "f", O_RDONLY);
    for (const auto& file : cache_files(mount)) std::filesystem::remove(file);
    OpenFile second(mount / "f", O_RDONLY);
    REQUIRE(second.opened() == kOk);
    CHECK((second.read_all() == bytes));
    CHECK((first.read_all() == bytes));
    CHECK(first.close() == kOk);
    CHECK((second.read_all() == bytes));
    CHECK(second.close() == kOk);
    // Nobody has it any more, nor its room on the disk: it is fetched again.
    REQUIRE(eventually([&] { return number(mount.status(), "open_handles") == 0; }));
    const Cost cost = cost_of(mount, [&] { CHECK((read_file(mount / "f") == bytes)); });
    CHECK(cost.reads > 0);
  }
  SUBCASE("opened and closed by many at once, while it becomes whole and is thrown out") {
    make_whole(mount, "f", bytes);
    std::atomic<int> wrong = 0;
    {
      std::vector<std::jthread> programs;
      for (int n = 0; n < 8; ++n)
        programs.emplace_back([&, n](const std::stop_token& stop) {
          std::string piece(8192, '?');
          for (std::size_t at = static_cast<std::size_t>(n) * 512'345; !stop.stop_requested();
               at += 1'234'567) {
            const OpenFile file(mount / "f", O_RDONLY);
            const std::size_t place = at % (kSize - piece.size());
            const bool is_right = ::pread(file.fd(), piece.data(), piece.size(), static_cast<off_t>(place)) ==
                                      static_cast<ssize_t>(piece.size()) &&
                                  bytes.compare(place, piece.size(), piece) == 0;
            if (!is_right) ++wrong;
          }
        });
      for (int n = 0; n < 10; ++n) {
        std::this_thread::sleep_for(50ms);
        for (const auto& file : cache_files(mount)) std::filesystem::remove(file);
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("passthrough: a file of the cache that was changed is never shown") {
  TestLake lake;
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;
  make_whole(mount, "f", bytes);
  mount.unmount();
  {
    std::fstream whole(whole_file(mount), std::ios::in | std::ios::out | std::ios::binary);
    whole.seekp(1'000'000);
    whole << "damage";
  }
  mount.mount();
  for (int n = 0; n < 3; ++n) CHECK((read_file(mount / "f") == bytes));
}

TEST_CASE("passthrough: kill -9 while it is read leaves a cache that is read on") {
  TestLake lake;
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;
  make_whole(mount, "f", bytes);
  {
    const OpenFile reader(mount / "f", O_RDONLY);
    REQUIRE(reader.opened() == kOk);
    mount.kill_hard([&] { CHECK((reader.read_all() == bytes)); });  // Nobody is asked.
  }
  mount.mount();
  const Cost cost = cost_of(mount, [&] { CHECK((read_file(mount / "f") == bytes)); });
  CHECK(cost.reads == 0);
}

TEST_CASE("passthrough: a mount that does not have it reads what one that has it left, and fetches nothing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  Mounted mount(lake, read_only());
  if (!can_pass_through(mount)) return;
  make_whole(mount, "f", bytes);
  const Mounted other(lake, {.cache_dir = mount.cache_dir()});
  lake.server().clear_log();
  CHECK((read_file(other / "f") == bytes));
  CHECK(lake.count("store_get") == 0);
}

TEST_CASE(
    "passthrough: where the kernel does not take the cache's files, status says so and they are read as "
    "ever") {
  TestLake lake;
  const std::string bytes = pattern(kSize);
  lake.put("f", bytes);
  const StackedDirectory cache;
  if (!cache.is_there()) {
    MESSAGE("skipped: no overlayfs can be mounted here");
    return;
  }
  MountOptions options = read_only();
  options.cache_dir = cache.path();
  Mounted mount(lake, options);
  if (!can_pass_through(mount)) return;
  make_whole(mount, "f", bytes);
  for (int n = 0; n < 2; ++n) CHECK((read_file(mount / "f") == bytes));
  CHECK_FALSE(mount.status().at("passthrough").as_bool());
  CHECK(has(std::string(mount.status().at("no_passthrough_because").as_string()), "kernel"));
  CHECK(has(mount.log(), "no passthrough"));
}
