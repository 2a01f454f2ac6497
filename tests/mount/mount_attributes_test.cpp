// What stat(2) says: who owns what, which times move when, what numbers stay, and who may do what.

#include <doctest/doctest.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;
namespace stdfs = std::filesystem;

bool is_after(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

// As another user, in a process of its own.
template <class Work>
int as_user(uid_t user, Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool is_other = ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
                          ::setresuid(user, user, user) == 0;
    ::_exit(is_other ? work() : 99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define NEEDS_ROOT()                              \
  if (::geteuid() != 0) {                         \
    MESSAGE("skipped: only root changes owners"); \
    return;                                       \
  }

}  // namespace

TEST_CASE("attributes: what is made in a set-group-ID directory has its group, over a remount") {
  NEEDS_ROOT();
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "team") == kOk);
  REQUIRE(::chown((mount / "team").c_str(), 0, 4321) == 0);
  REQUIRE(::chmod((mount / "team").c_str(), 02775) == 0);
  REQUIRE(write_file(mount / "team/file", "x") == kOk);
  REQUIRE(make_directory(mount / "team/sub") == kOk);
  REQUIRE(write_file(mount / "team/sub/file", "x") == kOk);
  REQUIRE(::symlink("file", (mount / "team/link").c_str()) == 0);
  for (int times = 0; times < 2; ++times) {
    for (const char* name : {"team/file", "team/sub", "team/sub/file", "team/link"}) {
      CAPTURE(name);
      CHECK(facts_of(mount / name).st_gid == 4321);
    }
    CHECK((facts_of(mount / "team/sub").st_mode & S_ISGID) != 0);
    CHECK((facts_of(mount / "team/file").st_mode & S_ISGID) == 0);
    mount.remount();
  }
}

TEST_CASE("attributes: objects that carry none have --uid, --gid, --file-mode and --dir-mode, or --umask") {
  TestLake lake;
  lake.put("d/f", "x");
  Mounted modes(lake,
                {.flags = {"--uid", "1234", "--gid", "5678", "--file-mode", "0640", "--dir-mode", "0710"}});
  Mounted masked(lake, {.flags = {"--umask", "027"}});
  CHECK(facts_of(modes / "d/f").st_mode == (S_IFREG | 0640));
  CHECK(facts_of(modes / "d").st_mode == (S_IFDIR | 0710));
  CHECK(facts_of(modes / "d/f").st_uid == 1234);
  CHECK(facts_of(modes / "d").st_gid == 5678);
  CHECK(facts_of(masked / "d/f").st_mode == (S_IFREG | 0640));
  CHECK(facts_of(masked / "d").st_mode == (S_IFDIR | 0750));
  CHECK(facts_of(masked / "d").st_uid == ::geteuid());
}

TEST_CASE("attributes: a mode that an object has stays with it, also where it is the mount's default") {
  TestLake lake;
  lake.put("d/f", "x");
  Mounted mount(lake);
  REQUIRE(::chmod((mount / "d/f").c_str(), 0640) == 0);
  REQUIRE(::chmod((mount / "d").c_str(), 0710) == 0);
  REQUIRE(mount.unmount() == 0);
  mount.mount_with({"--file-mode", "0640", "--dir-mode", "0710"});
  REQUIRE(::utimensat(AT_FDCWD, (mount / "d/f").c_str(), nullptr, 0) == 0);
  CHECK(write_file(mount / "d/f", "changed") == kOk);
  REQUIRE(::utimensat(AT_FDCWD, (mount / "d").c_str(), nullptr, 0) == 0);
  CHECK(write_file(mount / "d/none", "has none") == kOk);
  REQUIRE(::chmod((mount / "d/none").c_str(), 0640) == 0);
  REQUIRE(mount.unmount() == 0);
  mount.mount_with({});
  CHECK(facts_of(mount / "d/f").st_mode == (S_IFREG | 0640));
  CHECK(facts_of(mount / "d").st_mode == (S_IFDIR | 0710));
  CHECK(facts_of(mount / "d/none").st_mode == (S_IFREG | 0644));
  CHECK(lake.stat("d/none")->metadata.count("::lakefs::posix-permissions") == 0);
}

TEST_CASE("attributes: with --allow-other other users may do what mode and owner let them, and no more") {
  NEEDS_ROOT();
  TestLake lake;
  Mounted mount(lake, {.flags = {"--allow-other"}});
  const ScratchDirectory unused;
  for (auto at = mount.at(); at != "/"; at = at.parent_path())  // The way to the mount.
    if (at != mount.at()) ::chmod(at.c_str(), at == "/tmp" ? 01777 : 0755);
  REQUIRE(::chmod(mount.at().c_str(), 0755) == 0);
  REQUIRE(make_directory(mount / "theirs") == kOk);
  REQUIRE(::chown((mount / "theirs").c_str(), 1234, 1234) == 0);
  REQUIRE(write_file(mount / "secret", "x") == kOk);
  REQUIRE(::chmod((mount / "secret").c_str(), 0600) == 0);
  REQUIRE(write_file(mount / "open", "x") == kOk);
  CHECK(as_user(1234, [&] {
          if (read_file(mount / "open") != "x") return 1;
          if (read_file(mount / "secret") != "<open: EACCES>") return 2;
          if (write_file(mount / "open", "y") != "open: EACCES") return 3;
          if (write_file(mount / "new", "y") != "open: EACCES") return 4;
          if (remove_file(mount / "open") != "unlink: EACCES") return 5;
          if (::chmod((mount / "open").c_str(), 0666) == 0) return 6;
          if (write_file(mount / "theirs/new", "y") != kOk) return 7;
          return 0;
        }) == 0);
  CHECK(facts_of(mount / "theirs/new").st_uid == 1234);
  CHECK(lake.read("theirs/new") == "y");
}

TEST_CASE("attributes: without --allow-other nobody else sees the mount") {
  NEEDS_ROOT();
  TestLake lake;
  lake.put("f", "x");
  Mounted mount(lake);
  CHECK(as_user(1234, [&] { return read_file(mount / "f") == "x" ? 1 : 0; }) == 0);
}

TEST_CASE("attributes: times move as on a disk: utimensat's NOW and OMIT, ctime with each change, relatime") {
  TestLake lake;
  lake.put("f", "bytes");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  REQUIRE(make_directory(mount / "d") == kOk);
  REQUIRE(::symlink("f", (mount / "l").c_str()) == 0);
  auto path = mount / "f";
  const auto set = [&](timespec atime, timespec mtime) {
    const timespec times[2] = {atime, mtime};
    CHECK(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
    struct stat facts {};
    CHECK(::lstat(path.c_str(), &facts) == 0);
    return facts;
  };
  const timespec now{0, UTIME_NOW}, omit{0, UTIME_OMIT}, old{1'000'000'000, 5}, older{900'000'000, 7};
  struct stat facts {};
  for (const char* name : {"l", "d", "f"}) {
    CAPTURE(name);
    path = mount / name;
    facts = set(older, old);
    CHECK(facts.st_atim.tv_sec == older.tv_sec);
    CHECK(facts.st_mtim.tv_nsec == old.tv_nsec);
    CHECK(facts.st_ctim.tv_sec > old.tv_sec);
    facts = set(omit, older);
    CHECK(facts.st_atim.tv_sec == older.tv_sec);
    CHECK(facts.st_mtim.tv_sec == older.tv_sec);
    facts = set(old, omit);
    CHECK(facts.st_atim.tv_sec == old.tv_sec);
    CHECK(facts.st_mtim.tv_sec == older.tv_sec);
    facts = set(omit, now);
    CHECK(facts.st_mtim.tv_sec > old.tv_sec);
    CHECK(facts.st_atim.tv_sec == old.tv_sec);
  }

  // A read moves the access time once after a change, and that is all it moves.
  CHECK(read_file(path) == "bytes");
  const auto read_once = facts_of(path);
  CHECK(is_after(read_once.st_atim, facts.st_mtim));
  CHECK(read_once.st_mtim.tv_nsec == facts.st_mtim.tv_nsec);
  CHECK(read_file(path) == "bytes");
  CHECK(facts_of(path).st_atim.tv_nsec == read_once.st_atim.tv_nsec);

  std::this_thread::sleep_for(10ms);
  CHECK(::chmod(path.c_str(), 0600) == 0);
  const auto changed = facts_of(path);
  CHECK(is_after(changed.st_ctim, read_once.st_ctim));
  CHECK(rename_file(path, mount / "g") == kOk);
  CHECK(is_after(facts_of(mount / "g").st_ctim, changed.st_ctim));
  CHECK(facts_of(mount / "g").st_mtim.tv_nsec == facts.st_mtim.tv_nsec);
}

TEST_CASE("attributes: inode numbers stay while mounted and over remounts; nlink and blocks are a file's") {
  TestLake lake;
  for (const char* key : {"f", "d/g"}) lake.put(key, std::string(5000, 'x'));
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  std::map<std::string, ino_t> numbers;
  for (const char* name : {"f", "d", "d/g"}) numbers[name] = facts_of(mount / name).st_ino;
  CHECK(numbers["f"] != numbers["d/g"]);
  std::optional<OpenFile> open_file;
  struct stat facts {};
  for (int times = 0; times < 2; ++times) {
    for (const auto& [name, number] : numbers) CHECK(facts_of(mount / name).st_ino == number);
    CHECK(facts_of(mount / "f").st_nlink == 1);
    CHECK(facts_of(mount / "f").st_blocks == 10);
    if (times == 0) mount.remount();
  }
  open_file.emplace(mount / "f", O_RDONLY);
  CHECK(rename_file(mount / "f", mount / "moved") == kOk);
  CHECK(facts_of(mount / "moved").st_ino == numbers["f"]);
  CHECK(remove_file(mount / "moved") == kOk);
  REQUIRE(::fstat(open_file->fd(), &facts) == 0);
  CHECK(facts.st_nlink == 0);
  CHECK(facts.st_ino == numbers["f"]);
}

TEST_CASE("attributes: the top directory takes them, and has them as long as it is mounted") {
  TestLake lake;
  lake.put("data/f", "x");
  for (const char* ref : {"main", "main/data"}) {  // Neither has a key of its own.
    CAPTURE(ref);
    Mounted mount(lake, {.ref = ref, .flags = {"--metadata-ttl", "0s"}});
    const auto fresh = facts_of(mount.at());
    const timespec times[2] = {{1'000'000'000, 5}, {1'200'000'000, 7}};
    CHECK(::chmod(mount.at().c_str(), 02750) == 0);
    if (::geteuid() == 0) CHECK(::chown(mount.at().c_str(), 1234, 5678) == 0);
    CHECK(::setxattr(mount.at().c_str(), "user.colour", "red", 3, 0) == 0);
    CHECK(::utimensat(AT_FDCWD, mount.at().c_str(), times, 0) == 0);
    const auto facts = facts_of(mount.at());
    CHECK(facts.st_mode == (S_IFDIR | 02750));
    if (::geteuid() == 0) CHECK(facts.st_uid == 1234);
    if (::geteuid() == 0) CHECK(facts.st_gid == 5678);
    CHECK(facts.st_mtim.tv_sec == 1'200'000'000);
    CHECK(facts.st_mtim.tv_nsec == 7);
    char value[8] = {};
    CHECK(::getxattr(mount.at().c_str(), "user.colour", value, sizeof value) == 3);
    CHECK(std::string(value) == "red");
    mount.remount();
    CHECK(facts_of(mount.at()).st_mode == fresh.st_mode);
    CHECK(facts_of(mount.at()).st_uid == fresh.st_uid);
    CHECK(::getxattr(mount.at().c_str(), "user.colour", value, sizeof value) == -1);
    CHECK(lake.keys() == Names{"data/f"});
  }
}

TEST_CASE("attributes: a hard link is EPERM, and nothing is made") {
  TestLake lake;
  lake.put("f", "x");
  Mounted mount(lake);
  for (int n = 0; n < 3; ++n) {
    CHECK(::link((mount / "f").c_str(), (mount / "g").c_str()) == -1);
    CHECK(errno == EPERM);
  }
  CHECK(mount.status().at("failures").as_array().empty());
  CHECK(names_in(mount.at()) == Names{"f"});
  CHECK(shell(mount.at(), "cp -l f g 2>/dev/null || cp f g").exit_code == 0);
  CHECK(lake.read("g") == "x");
}
