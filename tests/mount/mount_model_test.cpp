// A long random walk: the same calls on the mount and in a local directory (a file system in memory, where
// the kernel has one that can do all) come to the same, other clients' changes and remounts in between; after
// each unmount the lake holds exactly what the local directory does.
//
//     LAKEFUSE_TEST_STEPS=20000 LAKEFUSE_TEST_SEED=7 build/tests/mount/mount_tests --test-case='model*'

#include <doctest/doctest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <thread>

#include "tests/mount/mounted.h"
#include "tests/mount/portrait.h"
#include "tests/mount/process.h"
#include "tests/mount/tiny_disk.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

namespace stdfs = std::filesystem;

constexpr auto kTtl = 20ms;  // Of the mount: what other clients do is seen after that.

std::string result(ssize_t n) {
  return n < 0 ? errno_name(errno) : std::to_string(n);
}

stdfs::file_status status_of(const stdfs::path& path) {
  std::error_code loops;
  return stdfs::symlink_status(path, loops);
}

// What SEEK_DATA and SEEK_HOLE tell from `offset` on. A file system may know no holes; what it takes for one
// is zero, and where one ends the other begins.
std::string seek_story(int fd, const std::string& bytes, off_t offset) {
  const auto size = static_cast<off_t>(bytes.size());
  const auto is_zero = [&](off_t begin, off_t end) {
    return std::all_of(bytes.begin() + begin, bytes.begin() + end, [](char c) { return c == '\0'; });
  };
  const off_t first_hole = ::lseek(fd, offset, SEEK_HOLE);
  if (offset >= size) {
    const std::string hole = result(first_hole);
    return hole + " " + result(::lseek(fd, offset, SEEK_DATA));
  }
  if (first_hole < offset || first_hole > size) return "a hole at " + result(first_hole);
  for (off_t at = offset; at < size;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0) {
      if (errno != ENXIO) return "no data: " + errno_name(errno);
      return is_zero(at, size) ? "sound" : "bytes after the last data";
    }
    if (data < at || data >= size) return "data at " + std::to_string(data);
    if (!is_zero(at, data)) return "bytes before the data at " + std::to_string(data);
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole <= data || hole > size) return "data at " + std::to_string(data) + " ends at " + result(hole);
    at = hole;
  }
  return "sound";
}

// What the mount is held against: a file system in memory, where the kernel's keeps user.* attributes and
// takes O_DIRECT (Linux 6.6 and later) and one may be mounted, else a directory of the local disk.
class Reference {
 public:
  Reference() {
    if (!is_in_memory_) MESSAGE("no file system in memory can do all: the local disk is the reference");
    has_xattrs_ = keeps_xattrs(path());
    if (!has_xattrs_) MESSAGE("the local disk keeps no user.* attributes: they are left out");
  }
  const stdfs::path& path() const { return is_in_memory_ ? memory_.path() : disk_.path(); }
  bool has_xattrs() const { return has_xattrs_; }

  // As fallocate(2). What only a tmpfs does not know, FALLOC_FL_ZERO_RANGE, is a hole and the size that it
  // comes to.
  static int allocate(int fd, int mode, off_t offset, off_t length) {
    if (::fallocate(fd, mode, offset, length) == 0) return 0;
    if (errno != EOPNOTSUPP || (mode & FALLOC_FL_ZERO_RANGE) == 0) return -1;
    if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) != 0) return -1;
    struct stat facts {};
    if (::fstat(fd, &facts) != 0) return -1;
    const bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0 && facts.st_size < offset + length;
    return grows ? ::ftruncate(fd, offset + length) : 0;
  }

 private:
  static bool keeps_xattrs(const stdfs::path& path) {
    return ::setxattr(path.c_str(), "user.a", "", 0, 0) == 0;
  }
  bool is_able() const {
    return memory_.is_there() && keeps_xattrs(memory_.path()) &&
           OpenFile(memory_.path(), O_TMPFILE | O_RDWR | O_DIRECT).fd() >= 0;
  }

  const TinyDisk memory_{"1g"};  // At most: it takes what is in it.
  const ScratchDirectory disk_;
  const bool is_in_memory_ = is_able();
  bool has_xattrs_ = false;
};

class Walk {
 public:
  // `waits`: what was closed may not be on the lake yet. Where it is not alone
  // there are no fifos, which answer otherwise when somebody reads them, and no times: an answer to the other
  // that overtakes a change leaves the kernel with the one from before, for the TTL.
  Walk(TestLake& lake, Mounted& mount, unsigned long seed, bool waits, bool is_alone)
      : lake_(lake), mount_(mount), waits_(waits), is_alone_(is_alone), dice_(seed) {
    regard_.is_alone = is_alone;
    regard_.has_xattrs = disk_.has_xattrs();
  }
  ~Walk() { close_all(); }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  // False at the first difference, which is told.
  bool step() {
    is_same_ = true;
    constexpr std::size_t kHistory = 60;
    while (history_.size() >= kHistory) history_.pop_front();
    history_.emplace_back();
    const auto kind = dice(100);
    if (kind < 20)
      open_one();
    else if (kind < 50)
      use_one();
    else if (kind < 60)
      close_one(dice(kSlots));
    else if (kind < 85)
      change_names();
    else if (kind < 95)
      change_attributes();
    else if (kind < 97)
      go_direct();
    else if (kind < 99)
      append_by_two();
    else
      change_outside();
    if (!is_same_) tell();
    return is_same_;
  }

  bool compare_trees() {
    is_same_ = true;
    history_.emplace_back("compare all");
    expect_same(tree_of(mount_.at(), regard_), tree_of(disk_.path(), regard_));
    if (!is_same_) tell();
    return is_same_;
  }

  // What is open is closed first; all that was there outlives the mount.
  bool remount() {
    close_all();
    REQUIRE(mount_.unmount() == 0);
    const bool is_on_lake = compare_lake();
    mount_.mount();
    return compare_trees() && is_on_lake;
  }

  // Every file and symlink is on the lake, and nothing else is.
  bool compare_lake() {
    is_same_ = true;
    history_.emplace_back("compare with the lake");
    std::vector<std::string> keys, files;
    for (const std::string& key : lake_.keys()) {
      if (!key.ends_with('/')) keys.push_back(key);
    }
    for (const auto& entry : stdfs::recursive_directory_iterator(disk_.path())) {
      if (stdfs::is_directory(entry.symlink_status())) continue;
      files.push_back(entry.path().lexically_relative(disk_.path()).string());
      if (stdfs::is_regular_file(entry.symlink_status()))
        CHECK((lake_.read(files.back()) == read_local(entry.path())));
    }
    expect_same(std::move(keys), std::move(files));
    if (!is_same_) tell();
    return is_same_;
  }

  void close_all() {
    for (std::size_t i = 0; i < kSlots; ++i) close_one(i);
  }

 private:
  static constexpr std::size_t kSlots = 5;
  struct Slot {
    int ours = -1, local = -1;
  };

  unsigned dice(std::size_t sides) { return static_cast<unsigned>(dice_() % sides); }

  // Few names, so that they meet; some say that they are temporary (W9).
  std::string name() {
    constexpr std::array kNames{"a", "b", "c", "d", "a~", "b.tmp"};
    return kNames.at(dice(kNames.size()));
  }
  // Mostly of what is there: else nearly each step would be an errno.
  std::string path() {
    if (dice(4) != 0) return known_path();
    std::string made = name();
    for (auto depth = dice(3); depth > 0; --depth) made = name() + "/" + made;
    return made;
  }
  std::string known_path() {
    std::string known;
    for (;;) {
      const auto names = names_in(local(known));
      if (names.empty()) return known.empty() ? name() : known;
      const std::string& next = names.at(dice(names.size()));
      known = known.empty() ? next : known + "/" + next;
      if (!S_ISDIR(mode_of(local(known))) || dice(5) == 0) return known;
    }
  }
  std::string path_of_file() {
    std::string path = this->path();
    for (int tries = 0; tries < 4 && !S_ISREG(mode_of(local(path))); ++tries) path = this->path();
    return path;
  }
  // One that is open, if one is.
  std::size_t slot_in_use() {
    std::size_t at = dice(kSlots);
    for (std::size_t i = 0; i < kSlots && slots_.at(at).local < 0; ++i) at = (at + 1) % kSlots;
    return at;
  }
  stdfs::path ours(const std::string& path) const { return mount_.at() / path; }
  stdfs::path local(const std::string& path) const { return disk_.path() / path; }

  void note(const std::string& text) { history_.back() += text; }
  void expect(const std::string& got, const std::string& wanted) {
    if (got == wanted) return;
    is_same_ = false;
    note("\n      here " + got + "\n      disk " + wanted);
  }
  // Tells what only one of them has.
  void expect_same(std::vector<std::string> got, std::vector<std::string> wanted) {
    std::sort(got.begin(), got.end());
    std::sort(wanted.begin(), wanted.end());
    const auto only_in = [&](const auto& these, const auto& those) {
      std::vector<std::string> left;
      std::set_difference(these.begin(), these.end(), those.begin(), those.end(), std::back_inserter(left));
      std::string text;
      for (const std::string& one : left) text += one + "; ";
      return text;
    };
    if (got != wanted) expect(only_in(got, wanted), only_in(wanted, got));
  }
  // The same call on both.
  template <class Call>
  void both(const std::string& what, Call call) {
    note(what);
    errno = 0;
    const std::string wanted = result(call(disk_.path()));
    errno = 0;
    const std::string got = result(call(mount_.at()));
    note(" = " + wanted);
    expect(got, wanted);
  }
  void compare(const std::string& path) {
    if (S_ISREG(mode_of(local(path)))) {
      const OpenFile file(ours(path), O_RDONLY | O_NONBLOCK);
      forget_pages(file.fd());
    }
    expect(portrait(ours(path), regard_), portrait(local(path), regard_));
  }
  void compare_slot(const Slot& slot) {
    if (slot.local < 0) return;
    forget_pages(slot.ours);
    expect(portrait(slot.ours, regard_), portrait(slot.local, regard_));
  }
  // Sometimes: the bytes then come from the mount, and not out of the kernel's pages.
  void forget_pages(int fd) {
    if (dice(3) == 0) ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  }
  static mode_t mode_of(const stdfs::path& path) {
    struct stat facts {};
    return ::lstat(path.c_str(), &facts) == 0 ? facts.st_mode : 0;
  }

  void open_one() {
    constexpr std::array kFlags{O_RDONLY,
                                O_WRONLY,
                                O_RDWR,
                                O_RDWR | O_CREAT,
                                O_WRONLY | O_CREAT | O_TRUNC,
                                O_RDWR | O_CREAT | O_EXCL,
                                O_WRONLY | O_CREAT | O_APPEND,
                                O_RDWR | O_TRUNC};
    const std::string path = path_of_file();
    const int flags = kFlags.at(dice(kFlags.size())) | O_NONBLOCK;  // A fifo must not wait.
    const mode_t mode = dice(2) == 0 ? 0644 : 0750;
    const auto at = dice(kSlots);
    close_one(at);
    Slot& slot = slots_.at(at);
    slot.local = ::open(local(path).c_str(), flags, mode);
    const std::string wanted = slot.local < 0 ? errno_name(errno) : "ok";
    slot.ours = ::open(ours(path).c_str(), flags, mode);
    const std::string got = slot.ours < 0 ? errno_name(errno) : "ok";
    note("; open " + std::to_string(at) + " " + path + " " + std::to_string(flags) + " = " + wanted);
    expect(got, wanted);
    struct stat facts {};
    if (slot.local >= 0 && ::fstat(slot.local, &facts) == 0 && !S_ISREG(facts.st_mode)) close_one(at);
    compare_slot(slot);
  }

  void use_one() {
    const auto at = slot_in_use();
    const Slot slot = slots_.at(at);
    if (slot.local < 0) return open_one();
    const auto fd = [&](const stdfs::path& side) { return side == mount_.at() ? slot.ours : slot.local; };
    const auto offset = static_cast<off_t>(dice(5) == 0 ? dice(200'000) : dice(6'000));
    const auto size = dice(4) == 0 ? dice(20'000) : dice(600);
    const std::string what = std::to_string(at) + " " + std::to_string(offset) + " " + std::to_string(size);
    switch (dice(12)) {
      case 0:
      case 1:
      case 2: {
        const std::string bytes = pattern(size, dice(1000));
        both("write " + what,
             [&](const auto& side) { return ::pwrite(fd(side), bytes.data(), size, offset); });
        break;
      }
      case 3:
        both("ftruncate " + what, [&](const auto& side) { return ::ftruncate(fd(side), offset); });
        break;
      case 4:
        if (dice(2) == 0)
          both("fsync " + what, [&](const auto& side) { return ::fsync(fd(side)); });
        else
          both("fdatasync " + what, [&](const auto& side) { return ::fdatasync(fd(side)); });
        break;
      case 5:
      case 8:
        allocate_one(slot, offset, static_cast<off_t>(size));
        break;
      case 6:
        copy_one(at, offset, size);
        break;
      case 7:
        map_one(slot, offset, size);
        break;
      case 9:
        seek_one(slot, dice(2) == 0 ? offset : 0);
        break;
      default: {
        std::array<std::string, 2> bytes{std::string(size, '\0'), std::string(size, '\0')};
        both("read " + what, [&](const auto& side) {
          return ::pread(fd(side), bytes.at(side == mount_.at() ? 0 : 1).data(), size, offset);
        });
        expect(std::to_string(std::hash<std::string>{}(bytes[0])),
               std::to_string(std::hash<std::string>{}(bytes[1])));
      }
    }
    compare_slot(slot);
  }

  void allocate_one(const Slot& slot, off_t offset, off_t length) {
    constexpr std::array kModes{0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    const int mode = kModes.at(dice(kModes.size()));
    both("fallocate " + std::to_string(mode) + " " + std::to_string(offset) + " " + std::to_string(length),
         [&](const auto& side) {
           return side == mount_.at() ? ::fallocate(slot.ours, mode, offset, length)
                                      : Reference::allocate(slot.local, mode, offset, length);
         });
    // Room ahead is a change for the disk, but not for the mount.
    if ((mode | FALLOC_FL_KEEP_SIZE) == FALLOC_FL_KEEP_SIZE)
      both("futimens", [&](const auto& side) {
        return ::futimens(side == mount_.at() ? slot.ours : slot.local, nullptr);
      });
  }

  void seek_one(const Slot& slot, off_t offset) {
    note("seek from " + std::to_string(offset));
    const std::string bytes = bytes_of(slot.local);
    expect(seek_story(slot.ours, bytes, offset), seek_story(slot.local, bytes, offset));
  }

  // Within a file, too: where the ranges meet, that is EINVAL.
  void copy_one(std::size_t to, off_t offset, std::size_t size) {
    const auto from = slot_in_use();
    const Slot source = slots_.at(from), target = slots_.at(to);
    const auto from_offset = static_cast<off_t>(dice(6'000));
    both("copy " + std::to_string(from) + " " + std::to_string(from_offset) + " to " + std::to_string(to) +
             " " + std::to_string(offset) + " " + std::to_string(size),
         [&](const auto& side) {
           const bool is_ours = side == mount_.at();
           off_t in = from_offset, out = offset;
           return ::copy_file_range(is_ours ? source.ours : source.local, &in,
                                    is_ours ? target.ours : target.local, &out, size, 0);
         });
  }

  void map_one(const Slot& slot, off_t offset, std::size_t size) {
    struct stat facts {};
    if (::fstat(slot.local, &facts) != 0 || facts.st_size == 0) return;
    const auto begin = offset % facts.st_size;
    const auto count = std::min<off_t>(static_cast<off_t>(size), facts.st_size - begin);
    const std::string bytes = pattern(static_cast<std::size_t>(count), dice(1000));
    both("map " + std::to_string(begin) + " " + std::to_string(count), [&](const auto& side) {
      const int fd = side == mount_.at() ? slot.ours : slot.local;
      const auto whole = static_cast<std::size_t>(facts.st_size);
      void* const mapped = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (mapped == MAP_FAILED) return -1;
      std::copy(bytes.begin(), bytes.end(), static_cast<char*>(mapped) + begin);
      const int synced = ::msync(mapped, whole, MS_SYNC);
      ::munmap(mapped, whole);
      return synced;
    });
  }

  // Two files, so that each can be open for itself.
  struct Pair {
    OpenFile ours, local;
  };
  std::unique_ptr<Pair> open_pair(const std::string& path, int flags) {
    auto pair = std::make_unique<Pair>(
        Pair{OpenFile(ours(path), flags | O_NONBLOCK), OpenFile(local(path), flags | O_NONBLOCK)});
    note("; open " + path + " " + std::to_string(flags) + " = " + pair->local.opened());
    expect(pair->ours.opened(), pair->local.opened());
    struct stat facts {};
    const bool is_file = ::fstat(pair->local.fd(), &facts) == 0 && S_ISREG(facts.st_mode);
    return is_file && pair->ours.fd() >= 0 ? std::move(pair) : nullptr;
  }
  void close_pair(Pair& pair) { expect(pair.ours.close(), pair.local.close()); }

  // Past the kernel's pages, beside descriptors that go through them.
  void go_direct() {
    constexpr std::size_t kBlock = 4096, kMost = 4 * kBlock;
    const std::string path = path_of_file();
    if (!takes_direct(local(path))) return;
    const auto pair = open_pair(path, O_RDWR | O_DIRECT | (dice(3) == 0 ? O_CREAT : 0));
    if (pair == nullptr) return;
    alignas(kBlock) static std::array<char, kMost> buffer;
    const auto fd = [&](const stdfs::path& side) {
      return side == mount_.at() ? pair->ours.fd() : pair->local.fd();
    };
    const auto offset = static_cast<off_t>(dice(6) * kBlock);
    const auto size = (1 + dice(4)) * kBlock;
    const std::string what = std::to_string(offset) + " " + std::to_string(size);
    if (dice(2) == 0) {
      const std::string bytes = pattern(size, dice(1000));
      std::copy(bytes.begin(), bytes.end(), buffer.begin());
      both("direct write " + what,
           [&](const auto& side) { return ::pwrite(fd(side), buffer.data(), size, offset); });
    }
    const auto from = static_cast<off_t>(dice(6) * kBlock);
    std::array<std::string, 2> read;
    both("direct read " + std::to_string(from), [&](const auto& side) {
      const auto n = ::pread(fd(side), buffer.data(), kMost, from);
      read.at(side == mount_.at() ? 0 : 1).assign(buffer.data(), n < 0 ? 0 : static_cast<std::size_t>(n));
      return n;
    });
    expect(std::to_string(std::hash<std::string>{}(read[0])),
           std::to_string(std::hash<std::string>{}(read[1])));
    close_pair(*pair);
    compare(path);
  }
  // Some local file systems refuse O_DIRECT, which is their matter.
  static bool takes_direct(const stdfs::path& path) {
    if (!S_ISREG(mode_of(path))) return true;
    return OpenFile(path, O_RDONLY | O_DIRECT).opened() != outcome("open", EINVAL);
  }

  void append_by_two() {
    const std::string path = path_of_file();
    const auto first = open_pair(path, O_WRONLY | O_APPEND | (dice(2) == 0 ? O_CREAT : 0));
    if (first == nullptr) return;
    const auto second = open_pair(path, O_WRONLY | O_APPEND);
    if (second == nullptr) return;
    for (auto turns = 1 + dice(4); turns > 0; --turns) {
      const Pair& pair = dice(2) == 0 ? *first : *second;
      const std::string bytes = pattern(1 + dice(5'000), dice(1000));
      both("append " + std::to_string(bytes.size()), [&](const auto& side) {
        const int fd = side == mount_.at() ? pair.ours.fd() : pair.local.fd();
        const auto n = ::write(fd, bytes.data(), bytes.size());
        return n < 0 ? n : ::lseek(fd, 0, SEEK_CUR);
      });
    }
    close_pair(*first);
    close_pair(*second);
    compare(path);
  }

  void close_one(std::size_t at) {
    Slot& slot = slots_.at(at);
    if (slot.ours >= 0) {
      const std::string got = ::close(slot.ours) == 0 ? "ok" : errno_name(errno);
      note("close " + std::to_string(at));
      expect(got, "ok");
    }
    if (slot.local >= 0) ::close(slot.local);
    slot = {};
  }

  void change_names() {
    const std::string one = path(), other = path();
    const auto mode = dice(2) == 0 ? mode_t{0700} : mode_t{0755};
    switch (dice(is_alone_ ? 12 : 11)) {
      case 0:
      case 1:
        both("unlink " + one, [&](const auto& side) { return ::unlink((side / one).c_str()); });
        break;
      case 2:
      case 3:
        both("mkdir " + one, [&](const auto& side) { return ::mkdir((side / one).c_str(), mode); });
        break;
      case 4:
        both("rmdir " + one, [&](const auto& side) { return ::rmdir((side / one).c_str()); });
        break;
      case 5:
      case 6:
      case 7:
        both("rename " + one + " " + other,
             [&](const auto& side) { return ::rename((side / one).c_str(), (side / other).c_str()); });
        compare(other);
        break;
      case 8:
        rename_with_flags(one, other);
        compare(other);
        break;
      case 9:
        both("symlink " + other + " " + one,
             [&](const auto& side) { return ::symlink(other.c_str(), (side / one).c_str()); });
        break;
      case 10: {
        const auto size = static_cast<off_t>(dice(9'000));
        both("truncate " + one, [&](const auto& side) {
          // Linux would let a fifo's size be.
          struct stat facts {};
          if (::stat((side / one).c_str(), &facts) == 0 && S_ISFIFO(facts.st_mode)) return 0;
          return ::truncate((side / one).c_str(), size);
        });
        break;
      }
      default:
        both("mkfifo " + one, [&](const auto& side) { return ::mkfifo((side / one).c_str(), 0600); });
    }
    compare(one);
  }

  // Of what has the path, or of what is open.
  void change_attributes() {
    const auto at = slot_in_use();
    if (slots_.at(at).local >= 0 && dice(3) == 0) {
      note("of " + std::to_string(at) + " ");
      change_attributes_of(
          [&](const auto& side) {
            const Slot& slot = slots_.at(at);
            return stdfs::path("/proc/self/fd/" +
                               std::to_string(side == mount_.at() ? slot.ours : slot.local));
          },
          0);
      compare_slot(slots_.at(at));
      return;
    }
    const std::string path = this->path();
    note("of " + path + " ");
    change_attributes_of([&](const auto& side) { return side / path; },
                         dice(2) == 0 ? AT_SYMLINK_NOFOLLOW : 0);
    compare(path);
  }

  template <class PathOn>
  void change_attributes_of(PathOn path_on, int at_flags) {
    switch (dice(regard_.has_xattrs ? 9 : 5)) {
      case 0:
      case 1: {
        constexpr std::array<mode_t, 8> kModes{0700, 0755, 0644, 0600, 04755, 02755, 02640, 01777};
        const auto mode = kModes.at(dice(kModes.size()));
        both("chmod " + std::to_string(mode),
             [&](const auto& side) { return ::chmod(path_on(side).c_str(), mode); });
        break;
      }
      case 2:
      case 3: {
        constexpr std::array<uid_t, 4> kIds{0, 1000, 65534, static_cast<uid_t>(-1)};
        const auto user = kIds.at(dice(kIds.size())), group = kIds.at(dice(kIds.size()));
        both("chown " + std::to_string(user) + " " + std::to_string(group), [&](const auto& side) {
          return ::fchownat(AT_FDCWD, path_on(side).c_str(), user, group, at_flags);
        });
        break;
      }
      case 4: {
        std::array<timespec, 2> times{};
        for (timespec& time : times) {
          const auto kind = dice(4);
          time = {1'000'000'000 + dice(100'000), dice(1'000'000'000)};
          if (kind == 0) time.tv_nsec = UTIME_NOW;
          if (kind == 1) time.tv_nsec = UTIME_OMIT;
        }
        both("utimensat " + std::to_string(times[1].tv_sec) + " " + std::to_string(times[1].tv_nsec),
             [&](const auto& side) {
               return ::utimensat(AT_FDCWD, path_on(side).c_str(), times.data(), at_flags);
             });
        break;
      }
      default:
        for (int i = 0; i < 3; ++i) change_xattr(path_on, at_flags != 0);  // So that they meet.
    }
  }

  template <class PathOn>
  void change_xattr(PathOn path_on, bool is_symlinks) {
    // One that a lake keeps as it is, and one that it does not.
    constexpr std::array kNames{"user.a", "user.\xc3\xa9t\xc3\xa9 1"};
    const std::string name = kNames.at(dice(kNames.size()));
    switch (dice(5)) {
      case 0:
        both("; removexattr " + name, [&](const auto& side) {
          const stdfs::path path = path_on(side);
          return is_symlinks ? ::lremovexattr(path.c_str(), name.c_str())
                             : ::removexattr(path.c_str(), name.c_str());
        });
        break;
      case 1: {
        const std::size_t room = dice(2) == 0 ? 20 : 400;
        std::array<std::string, 2> values;
        both("; getxattr " + name + " " + std::to_string(room), [&](const auto& side) {
          const stdfs::path path = path_on(side);
          std::string value(room, '\0');
          const auto n = is_symlinks ? ::lgetxattr(path.c_str(), name.c_str(), value.data(), room)
                                     : ::getxattr(path.c_str(), name.c_str(), value.data(), room);
          values.at(side == mount_.at() ? 0 : 1) = value;
          return n;
        });
        expect(std::to_string(std::hash<std::string>{}(values[0])),
               std::to_string(std::hash<std::string>{}(values[1])));
        break;
      }
      default: {
        constexpr std::array<int, 5> kFlags{0, 0, XATTR_CREATE, XATTR_REPLACE, XATTR_CREATE | XATTR_REPLACE};
        const int flags = kFlags.at(dice(kFlags.size()));
        const std::string value = dice(2) == 0 ? pattern(dice(300), dice(1000)) : std::string(dice(60), 'v');
        both("; setxattr " + name + " " + std::to_string(value.size()) + " " + std::to_string(flags),
             [&](const auto& side) {
               const stdfs::path path = path_on(side);
               return is_symlinks ? ::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags)
                                  : ::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags);
             });
      }
    }
  }

  void rename_with_flags(const std::string& one, const std::string& other) {
    const auto exists = [&](const std::string& path) { return stdfs::exists(status_of(local(path))); };
    const bool exchanges = exists(one) && exists(other) && dice(2) == 0;
    const unsigned flags = exchanges ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    both((exchanges ? "exchange " : "noreplace ") + one + " " + other, [&](const auto& side) {
      return ::renameat2(AT_FDCWD, (side / one).c_str(), AT_FDCWD, (side / other).c_str(), flags);
    });
  }

  // Another client writes or removes a file, in a directory that is there. Of what is open or held back here
  // its changes would be conflicts, which have tests of their own.
  void change_outside() {
    std::string path = this->path();
    std::replace(path.begin(), path.end(), '~', '-');
    if (path.find(".tmp") != path.npos) return;
    const auto status = status_of(local(path));
    std::error_code none;
    if (!stdfs::is_directory(local(path).parent_path(), none) || stdfs::is_directory(status)) return;
    std::error_code loops;
    const auto real = stdfs::weakly_canonical(local(path).parent_path(), loops);
    if (loops || real != local(path).parent_path()) return;  // Through a symlink.
    close_all();
    if (waits_) mount_.lakefuse({"flush", mount_.at().string()});
    if (stdfs::exists(status) && dice(2) == 0) {
      note("; outside remove " + path);
      stdfs::remove(local(path));
      lake_.remove(path);
    } else {
      const std::string bytes = pattern(dice(9'000), dice(1000));
      note("; outside put " + path + " " + std::to_string(bytes.size()));
      stdfs::remove(local(path));
      write_local(local(path), bytes);
      // A stranger's file is the mount's owner's, whatever its directory says.
      ::chown(local(path).c_str(), ::geteuid(), ::getegid());
      lake_.put(path, bytes);
    }
    std::this_thread::sleep_for(kTtl + 5ms);
    // What the other one was told just before is believed for the TTL from when the kernel hears of it.
    const auto patience = std::chrono::steady_clock::now() + 3s;
    while (!is_alone_ && std::chrono::steady_clock::now() < patience &&
           portrait(ours(path), regard_) != portrait(local(path), regard_))
      std::this_thread::sleep_for(10ms);
    compare(path);
  }

  void tell() const {
    std::string text;
    for (const std::string& line : history_) text += "    " + line + "\n";
    std::this_thread::sleep_for(1s);
    const bool has_passed = tree_of(mount_.at(), regard_) == tree_of(disk_.path(), regard_);
    text += has_passed ? "    a second later they are the same\n" : "    a second later they differ still\n";
    MESSAGE("the mount and the disk differ; the last steps:\n" << text);
  }

  TestLake& lake_;
  Mounted& mount_;
  const bool waits_, is_alone_;
  Regard regard_;
  const Reference disk_;
  std::mt19937_64 dice_;
  std::array<Slot, kSlots> slots_;
  std::deque<std::string> history_{""};
  bool is_same_ = true;
};

// Another program that lists, stats and reads all that there is, over and over: whatever the mount has just
// been told by the lake comes across what changes meanwhile.
class Onlooker {
 public:
  explicit Onlooker(const stdfs::path& top)
      : process_(start(
            {"sh", "-c",
             "while [ ! -e \"$1\" ]; do ls -lR \"$0\"; find \"$0\" -type f -exec cat {} +; done; :", top,
             enough_},
            {})) {}
  ~Onlooker() {
    write_local(enough_, "");
    CHECK(wait_for_end(process_, 30s) == 0);
  }
  Onlooker(const Onlooker&) = delete;
  Onlooker& operator=(const Onlooker&) = delete;

 private:
  const ScratchDirectory directory_;
  const stdfs::path enough_ = directory_.path() / "enough";
  const pid_t process_;
};

void walk(unsigned long steps, const Arguments& flags, bool waits, bool has_onlooker = false) {
  const auto seed = asked_for("LAKEFUSE_TEST_SEED", 1);
  MESSAGE("LAKEFUSE_TEST_SEED=" << seed);
  ::umask(022);
  TestLake lake;
  Arguments all{"--metadata-ttl", "20ms", "--temporary-age", "1s"};
  all.insert(all.end(), flags.begin(), flags.end());
  Mounted mount(lake, {.flags = all, .patience = std::chrono::seconds(60 + steps / 4)});
  std::optional<Onlooker> onlooker;  // Before any file is open: a fork would hold it, too.
  if (has_onlooker) onlooker.emplace(mount.at());
  Walk walk(lake, mount, seed, waits, !has_onlooker);
  for (unsigned long step = 1; step <= steps; ++step) {
    CAPTURE(step);
    REQUIRE(walk.step());
    if (step % 500 == 0) REQUIRE(walk.compare_trees());
    if (step % 2'500 == 0 && !has_onlooker) REQUIRE(walk.remount());
  }
  onlooker.reset();
  CHECK(walk.remount());
}

}  // namespace

TEST_CASE("model: a random walk on the mount comes to what it comes to on the local disk") {
  walk(asked_for("LAKEFUSE_TEST_STEPS", 20'000), {}, false);
}

TEST_CASE("model: the same while another program looks on") {
  const auto steps = asked_for("LAKEFUSE_TEST_STEPS", 2'000);
  SUBCASE("published at the close") {
    walk(steps, {}, false, true);
  }
  SUBCASE("published behind") {
    walk(steps, {"--writeback=all"}, true, true);
  }
}

TEST_CASE("model: the same with --writeback") {
  const auto steps = asked_for("LAKEFUSE_TEST_STEPS", 3'000);
  SUBCASE("where O_EXCL waits") {
    walk(steps, {"--writeback"}, true);
  }
  SUBCASE("where nothing does") {
    walk(steps, {"--writeback=all"}, true);
  }
}
