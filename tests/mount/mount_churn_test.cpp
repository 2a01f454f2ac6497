// One thread renames directories, others change what lies in them, at random: in the end each file is where
// it was put, once, with its bytes, for the mount, the lake and the next mount.
//
//     LAKEFUSE_TEST_RENAMES=200 LAKEFUSE_TEST_SEED=7 build/tests/mount/mount_tests --test-case='churn*'

#include <doctest/doctest.h>
#include <linux/fs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "tests/mount/mounted.h"
#include "tests/mount/process.h"

using namespace lakefuse::test;

namespace {

namespace stdfs = std::filesystem;
using Files = std::map<std::string, std::string>;  // Bytes by name.

constexpr std::size_t kDirectories = 6;
constexpr int kWriters = 2;
const std::string kAnchor = "anchor";  // In each directory, with its number: it has no other lasting name.

class Churn {
 public:
  Churn(const stdfs::path& root, unsigned long seed) : root_(root), seed_(seed) {
    for (std::size_t n = 0; n < kDirectories; ++n) {
      places_.at(n) = root / ("d" + std::to_string(n));
      REQUIRE(make_directory(places_.at(n)) == kOk);
      descriptors_.at(n) = ::open(places_.at(n).c_str(), O_RDONLY | O_DIRECTORY);
      CHECK(write_file(places_.at(n) / kAnchor, std::to_string(n)) == kOk);
    }
  }
  ~Churn() { close(); }
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;

  void run(unsigned long steps) {
    std::vector<std::jthread> writers;
    for (int n = 0; n < kWriters; ++n) writers.emplace_back([this, n] { write(n); });
    rename(steps);
    is_over_ = true;
  }

  // Let go of, so that the mount can end.
  void close() {
    for (int& descriptor : descriptors_)
      if (const int open = std::exchange(descriptor, -1); open >= 0) ::close(open);
  }

  // Of each directory, by its number.
  [[nodiscard]] std::array<Files, kDirectories> expected() const {
    std::array<Files, kDirectories> all;
    for (std::size_t n = 0; n < kDirectories; ++n) all.at(n)[kAnchor] = std::to_string(n);
    for (const auto& files : files_)
      for (std::size_t n = 0; n < kDirectories; ++n) all.at(n).insert(files.at(n).begin(), files.at(n).end());
    return all;
  }
  [[nodiscard]] std::array<Files, kDirectories> there() const {
    std::array<Files, kDirectories> all;
    for (std::size_t n = 0; n < kDirectories; ++n) {
      for (const std::string& name : names_in(places_.at(n)))
        if (!stdfs::is_directory(places_.at(n) / name)) all.at(n)[name] = read_file(places_.at(n) / name);
    }
    return all;
  }
  [[nodiscard]] std::array<Files, kDirectories> on(TestLake& lake) const {
    std::array<Files, kDirectories> all;
    for (const std::string& key : lake.keys()) {
      const auto place = std::ranges::find(places_, root_ / stdfs::path(key).parent_path());
      if (place == places_.end())
        FAIL_CHECK("nobody made " << key);
      else if (!key.ends_with('/'))
        all.at(place - places_.begin())[stdfs::path(key).filename()] = lake.read(key);
    }
    return all;
  }

 private:
  using Dice = std::mt19937;
  static std::size_t roll(Dice& dice, std::size_t sides) { return dice() % sides; }
  [[nodiscard]] static bool is_in(const stdfs::path& path, const stdfs::path& directory) {
    return path == directory || path.string().starts_with(directory.string() + "/");
  }

  void rename(unsigned long steps) {
    Dice dice(seed_);
    for (unsigned long step = 0; step < steps; ++step) {
      const stdfs::path from = places_.at(roll(dice, kDirectories));
      const bool goes_up = roll(dice, 2) == 0;
      const stdfs::path other = places_.at(roll(dice, kDirectories));
      if (is_in(other, from)) continue;
      const bool changes_places = roll(dice, 4) == 0 && !is_in(from, other);
      const stdfs::path to =
          changes_places ? other : (goes_up ? root_ : other) / ("n" + std::to_string(step));
      const unsigned flags = changes_places ? RENAME_EXCHANGE : step % 2 == 0 ? RENAME_NOREPLACE : 0;
      if (step % 4 == 1 && !changes_places) CHECK(make_directory(to) == kOk);  // An empty one is replaced.
      const int answer = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
      CHECK(outcome("rename", answer == 0 ? 0 : errno) == outcome("rename", 0));
      if (answer != 0) continue;
      const auto moved = [](const stdfs::path& place, const stdfs::path& old_top,
                            const stdfs::path& new_top) {
        return stdfs::path(new_top.string() + place.string().substr(old_top.string().size()));
      };
      for (stdfs::path& place : places_) {
        if (is_in(place, from))
          place = moved(place, from, to);
        else if (changes_places && is_in(place, to))
          place = moved(place, to, from);
      }
    }
  }

  void write(int writer) {
    Dice dice(seed_ * 100 + static_cast<unsigned long>(writer));
    auto& files = files_.at(static_cast<std::size_t>(writer));
    for (int n = 0; !is_over_; ++n) {
      const std::size_t at = roll(dice, kDirectories), other = roll(dice, kDirectories);
      const auto path = [&](std::size_t directory, const std::string& name) {
        return "/proc/self/fd/" + std::to_string(descriptors_.at(directory)) + "/" + name;
      };
      const std::string fresh = std::to_string(writer) + "-" + std::to_string(n);
      const std::string name =
          files.at(at).empty()
              ? fresh
              : std::next(files.at(at).begin(), static_cast<std::ptrdiff_t>(roll(dice, files.at(at).size())))
                    ->first;
      switch (name == fresh ? 0 : roll(dice, 5)) {
        case 0:
        case 1:
          CHECK(write_file(path(at, fresh), fresh) == kOk);
          files.at(at)[fresh] = fresh;
          break;
        case 2:
          CHECK(write_file(path(at, name), "anew " + fresh) == kOk);
          files.at(at)[name] = "anew " + fresh;
          break;
        case 3:
          CHECK(remove_file(path(at, name)) == kOk);
          files.at(at).erase(name);
          break;
        default: {
          CHECK(rename_file(path(at, name), path(other, fresh)) == kOk);
          const std::string bytes = files.at(at).extract(name).mapped();
          files.at(other)[fresh] = bytes;
        }
      }
    }
  }

  const stdfs::path root_;
  const unsigned long seed_;
  std::array<stdfs::path, kDirectories> places_;  // The renaming thread's.
  std::array<int, kDirectories> descriptors_{};
  std::array<std::array<Files, kDirectories>, kWriters> files_;  // Each writer's own, by directory.
  std::atomic<bool> is_over_ = false;
};

}  // namespace

TEST_CASE("churn: directories are renamed while their files change, and each file is where it was put") {
  const auto steps = asked_for("LAKEFUSE_TEST_RENAMES", 20);
  const auto seed = asked_for("LAKEFUSE_TEST_SEED", 1);
  MESSAGE("LAKEFUSE_TEST_SEED=" << seed);
  std::string mode;
  SUBCASE("") {
    mode = "--writeback=off";
  }
  SUBCASE("with --writeback") {
    mode = "--writeback";
  }
  CAPTURE(mode);
  TestLake lake;
  Mounted mount(lake, {.flags = {mode, "--metadata-ttl", "100ms"}});
  Churn churn(mount.at(), seed);
  churn.run(steps);
  const auto expected = churn.expected();
  CHECK(churn.there() == expected);
  churn.close();
  mount.remount();
  CHECK(churn.on(lake) == expected);
  CHECK(churn.there() == expected);
}
