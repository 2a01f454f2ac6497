// What each operation costs, counted by the server: in a directory that was just listed, and with a TTL so
// long that time plays no part.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Counts = std::map<std::string, std::size_t>;

MountOptions slow_to_ask() {
  return {.flags = {"--metadata-ttl", "60s"}};
}

// A directory with the files named, listed, and the log begun anew.
class Listed {
 public:
  Listed(TestLake& lake, Mounted& mount) : lake_(lake), directory_(mount / "d") {
    CHECK(look(directory_) == kOk);
    names_in(directory_);
    calls();
  }
  std::filesystem::path operator/(const std::string& name) const { return directory_ / name; }
  // The calls since the last question.
  Counts calls() {
    // What is asked for behind, too.
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    Counts counts = lake_.server().counts();
    lake_.server().clear_log();
    return counts;
  }
  std::size_t total() {
    std::size_t sum = 0;
    for (const auto& [operation, n] : calls()) sum += n;
    return sum;
  }

 private:
  TestLake& lake_;
  const std::filesystem::path directory_;
};

// On a slow machine a copy is old before what it was made of is removed: then that is looked at once more.
bool is_this_or_with_a_look(const Counts& counted, Counts expected) {
  if (counted == expected) return true;
  ++expected["stat_object"];
  return counted == expected;
}

}  // namespace

TEST_CASE("counts: a new file costs 3 calls, 2 of them at close") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  OpenFile file(d / "new", O_WRONLY | O_CREAT);
  CHECK(file.write("bytes") == kOk);
  CHECK(lake.server().wait_for("get_physical_address", 1));  // Asked for while the program writes.
  CHECK(d.calls() == Counts{{"get_physical_address", 1}});
  CHECK(file.close() == kOk);
  CHECK(d.calls() == Counts{{"store_put", 1}, {"link_physical_address", 1}});
}

TEST_CASE(
    "counts: an overwrite costs 4 calls: the fourth looks whether the version is still the one opened") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/f", "old");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(write_file(d / "f", "new") == kOk);
  CHECK(d.calls() ==
        Counts{
            {"get_physical_address", 1}, {"store_put", 1}, {"stat_object", 1}, {"link_physical_address", 1}});
}

TEST_CASE("counts: a cold open and read of a small file costs 2 calls, and a second read none") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/f", "small");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(read_file(d / "f") == "small");
  CHECK(d.calls() == Counts{{"stat_object", 1}, {"store_get", 1}});
  CHECK(read_file(d / "f") == "small");
  CHECK(d.calls().empty());
}

// As notebooks do all day.
TEST_CASE("counts: what was written here is read back with a look, and lines appended to it fetch nothing") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  MountOptions options = slow_to_ask();
  std::vector<std::string> files{"small"};
  SUBCASE("published at the close") {
    files.push_back(pattern(300'001));
  }
  SUBCASE("published behind") {
    options.flags.push_back("--writeback");
  }
  Mounted mount(lake, options);
  Listed d(lake, mount);
  for (std::string bytes : files) {
    CAPTURE(bytes.size());
    CHECK(write_file(d / "f", bytes) == kOk);
    CHECK(flush(mount) == 0);
    d.calls();
    CHECK((read_file(d / "f") == bytes));
    CHECK((OpenFile(d / "f", O_RDONLY | O_DIRECT).read_all() == bytes));
    CHECK(d.calls() == Counts{{"stat_object", 1}});  // Is it still there?
    for (int n = 0; n < 2; ++n) {
      bytes += "a line\n";
      CHECK(write_file(d / "f", "a line\n", O_APPEND) == kOk);
      CHECK(flush(mount) == 0);
      std::this_thread::sleep_for(50ms);  // Its RELEASE comes later.
    }
    Counts counts = d.calls();
    // Is it still there, when it is opened (unless its RELEASE comes later) and before it is replaced.
    CHECK(counts["stat_object"] <= 4);
    counts.erase("stat_object");
    CHECK(counts == Counts{{"get_physical_address", 2}, {"store_put", 2}, {"link_physical_address", 2}});
    CHECK((lake.read("d/f") == bytes));
    CHECK((read_file(d / "f") == bytes));
  }
  CHECK(lake.count("store_get") <= 2);  // By the other client.
}

TEST_CASE("counts: chmod, chown and utimens cost 1 call and move no bytes, and unlink costs 1") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/f", "x");
  lake.put("d/stays", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(::chmod((d / "f").c_str(), 0600) == 0);
  CHECK(d.calls() == Counts{{"update_object_user_metadata", 1}});
  const timespec times[2] = {{1'000'000'000, 0}, {1'200'000'000, 0}};
  CHECK(::utimensat(AT_FDCWD, (d / "f").c_str(), times, 0) == 0);
  CHECK(d.calls() == Counts{{"update_object_user_metadata", 1}});
  if (::geteuid() == 0) {
    CHECK(::chown((d / "f").c_str(), 1234, 5678) == 0);
    CHECK(::chown((d / "f").c_str(), 1234, 5678) == 0);  // tar does so, whoever owns it; it costs nothing.
    CHECK(d.calls() == Counts{{"update_object_user_metadata", 1}});
  }
  CHECK(remove_file(d / "f") == kOk);
  CHECK(d.calls() == Counts{{"delete_object", 1}});
}

TEST_CASE(
    "counts: so do those of directories and symlinks; a directory that is only a prefix gets a marker "
    "first") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/prefix/f", "x");
  Mounted mount(lake, slow_to_ask());
  REQUIRE(make_directory(mount / "d/marked") == kOk);
  REQUIRE(::symlink("nowhere", (mount / "d/link").c_str()) == 0);
  Listed d(lake, mount);
  for (const char* name : {"prefix", "marked"}) REQUIRE(look(d / name) == kOk);
  d.calls();
  CHECK(::chmod((d / "prefix").c_str(), 0700) == 0);
  CHECK(d.calls() == Counts{{"get_physical_address", 1}, {"store_put", 1}, {"link_physical_address", 1}});
  const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  for (const char* name : {"prefix", "marked", "link"}) {
    CAPTURE(name);
    const auto path = d / name;
    CHECK(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
    CHECK(d.calls() == Counts{{"update_object_user_metadata", 1}});
    if (::geteuid() == 0) {
      CHECK(::lchown(path.c_str(), 1234, 5678) == 0);
      CHECK(d.calls() == Counts{{"update_object_user_metadata", 1}});
    }
    if (std::string_view(name) == "link") continue;
    CHECK(::chmod(path.c_str(), 0711) == 0);
    CHECK(d.calls() == Counts{{"update_object_user_metadata", 1}});
  }
}

TEST_CASE("counts: a symlink costs 3 calls, a mkdir those and a look below its name, an rmdir 2") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/f", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(::symlink("f", (d / "link").c_str()) == 0);
  CHECK(d.calls() == Counts{{"get_physical_address", 1}, {"store_put", 1}, {"link_physical_address", 1}});
  CHECK(make_directory(d / "sub") == kOk);
  CHECK(d.calls() == Counts{{"list_objects", 1},
                            {"get_physical_address", 1},
                            {"store_put", 1},
                            {"link_physical_address", 1}});
  CHECK(remove_directory(d / "sub") == kOk);
  CHECK(d.calls() == Counts{{"list_objects", 1}, {"delete_object", 1}});
}

TEST_CASE("counts: the rmdir of a directory that has no marker costs 1 call, to hear that nothing is left") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* name : {"d/sub/f", "d/other"}) lake.put(name, "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(names_in(d / "sub") == std::vector<std::string>{"f"});
  lake.remove("d/sub/f");
  d.calls();
  CHECK(remove_directory(d / "sub") == kOk);
  CHECK(d.calls() == Counts{{"list_objects", 1}});
}

TEST_CASE("counts: the rename of a published file costs no more than 4 calls, and moves no bytes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/other", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  REQUIRE(write_file(d / "f", "x") == kOk);
  d.calls();
  CHECK(rename_file(d / "f", d / "g") == kOk);
  // Is the new name free, copy, is the old one still ours, delete.
  CHECK(d.calls() == Counts{{"stat_object", 2}, {"copy_object", 1}, {"delete_object", 1}});
  CHECK(lake.read("d/g") == "x");
  // An object that carries no client-mtime gets one, since a copy's mtime is the moment of the copy.
  CHECK(rename_file(d / "other", d / "else") == kOk);
  CHECK(is_this_or_with_a_look(
      d.calls(),
      {{"stat_object", 1}, {"copy_object", 1}, {"update_object_user_metadata", 1}, {"delete_object", 1}}));
  // Onto another: both are looked at first.
  REQUIRE(write_file(d / "h", "h") == kOk);
  REQUIRE(look(d / "g") == kOk);
  d.calls();
  CHECK(rename_file(d / "h", d / "g") == kOk);
  CHECK(is_this_or_with_a_look(d.calls(), {{"stat_object", 2}, {"copy_object", 1}, {"delete_object", 1}}));
}

TEST_CASE(
    "counts: the rename of a directory costs 2 calls for each object, and 2 for 32 to take the old ones "
    "away") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr std::size_t kFiles = 100;
  Mounted mount(lake, slow_to_ask());
  REQUIRE(make_directory(mount / "d") == kOk);
  for (std::size_t n = 0; n < kFiles; ++n)
    REQUIRE(write_file(mount / "d" / std::to_string(100 + n), "x") == kOk);
  Listed d(lake, mount);
  CHECK(rename_file(mount / "d", mount / "e") == kOk);
  Counts counts = d.calls();
  // With the directory's own marker.
  CHECK(counts["stat_object"] == kFiles + 1);
  CHECK(counts["copy_object"] == kFiles + 1);
  CHECK(counts["delete_objects"] == 4);
  CHECK(counts.count("delete_object") == 0);
  CHECK(counts["list_objects"] <= 8);
  CHECK(lake.keys().size() == kFiles + 1);
  CHECK(lake.read("e/142") == "x");
}

// Rule 4 has both versions looked at, and what the other client wrote carries no client-mtime: one call more
// than a rename takes anywhere else.
TEST_CASE("counts: another client's object renamed over another's costs 5 calls") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"d/a", "d/b"}) lake.put(key, key);
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(rename_file(d / "a", d / "b") == kOk);
  CHECK(is_this_or_with_a_look(
      d.calls(),
      {{"stat_object", 2}, {"copy_object", 1}, {"update_object_user_metadata", 1}, {"delete_object", 1}}));
  CHECK(lake.read("d/b") == "d/a");
}

// Others would see such a directory vanish; with a mode of its own it must be an object, too.
TEST_CASE(
    "counts: a directory that is only a prefix gets a marker when it is emptied or changed: 3 calls more") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"d/p/f", "d/q/f"}) lake.put(key, "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  REQUIRE(look(d / "p/f") == kOk);
  REQUIRE(look(d / "q/f") == kOk);
  d.calls();
  CHECK(remove_file(d / "p/f") == kOk);
  CHECK(d.calls() == Counts{{"list_objects", 1},  // Is it the last?
                            {"get_physical_address", 1},
                            {"store_put", 1},
                            {"link_physical_address", 1},
                            {"delete_object", 1}});
  CHECK(::chmod((d / "q").c_str(), 0700) == 0);
  CHECK(d.calls() == Counts{{"get_physical_address", 1}, {"store_put", 1}, {"link_physical_address", 1}});
}

TEST_CASE("counts: the rename of what is not published costs nothing, and its close what any close does") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  OpenFile file(d / "f", O_WRONLY | O_CREAT);
  CHECK(file.write("bytes") == kOk);
  CHECK(lake.server().wait_for("get_physical_address", 1));
  d.calls();
  CHECK(rename_file(d / "f", d / "g") == kOk);
  CHECK(d.total() == 0);
  CHECK(file.close() == kOk);
  CHECK(d.calls() == Counts{{"get_physical_address", 1}, {"store_put", 1}, {"link_physical_address", 1}});
  REQUIRE(write_file(d / "x.tmp", "bytes") == kOk);
  d.calls();
  CHECK(rename_file(d / "x.tmp", d / "y.tmp") == kOk);
  CHECK(d.total() == 0);
}

TEST_CASE("counts: a save by rename costs the upload of the new bytes and nothing for the temporary name") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  CHECK(write_file(d / "x.tmp", "bytes") == kOk);
  CHECK(rename_file(d / "x.tmp", d / "x") == kOk);
  CHECK(lake.read("d/x") == "bytes");
  const Counts counts = d.calls();
  CHECK(counts.at("store_put") == 1);
  CHECK(counts.at("link_physical_address") == 1);
  CHECK(counts.count("copy_object") == 0);
  CHECK(counts.count("delete_object") == 0);
  CHECK(counts.count("stat_object") == 0);
  CHECK(counts.at("get_physical_address") <= 2);  // One may have been asked for under the temporary name.
}

TEST_CASE("counts: names that are there and names that are not cost nothing inside the TTL") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/f", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  for (int i = 0; i < 10; ++i) {
    CHECK(look(d / "f") == kOk);
    CHECK(look(d / "not there") == "stat: ENOENT");
    CHECK(make_directory(d / "f") == "mkdir: EEXIST");
  }
  CHECK(d.total() == 0);
}

TEST_CASE("counts: a large file read in a row costs a call for some MiB, and none after a remount") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string text = pattern(32 << 20);
  lake.put("d/large", text);
  Mounted mount(lake, slow_to_ask());
  {
    Listed d(lake, mount);
    CHECK((read_file(d / "large") == text));
    const Counts counts = d.calls();
    CHECK(counts.at("stat_object") <= 2);  // Readers side by side may both ask for the first URL.
    CHECK(counts.at("store_get") <= 60);
  }
  CHECK(mount.unmount() == 0);
  mount.mount();
  Listed d(lake, mount);
  CHECK((read_file(d / "large") == text));
  CHECK(d.calls().empty());
}

TEST_CASE(
    "counts: reads of 4 KiB here and there cost a call each, a page in size, and none the second time") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string text = pattern(32 << 20);
  lake.put("d/large", text);
  Mounted mount(lake, slow_to_ask());
  const auto read_around = [&](Listed& d) {
    OpenFile file(d / "large", O_RDONLY);
    for (std::size_t at = 1 << 20; at < 32 << 20; at += 3 << 20) {
      std::string page(4096, '?');
      CHECK(::pread(file.fd(), page.data(), page.size(), static_cast<off_t>(at)) == 4096);
      CHECK((page == text.substr(at, 4096)));
    }
  };
  {
    Listed d(lake, mount);
    read_around(d);
    CHECK(d.calls() == Counts{{"stat_object", 1}, {"store_get", 11}});
  }
  CHECK(mount.unmount() == 0);
  std::uintmax_t kept = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount.cache_dir() / "blocks")) {
    struct stat facts {};
    if (entry.is_regular_file() && ::stat(entry.path().c_str(), &facts) == 0)
      kept += static_cast<std::uintmax_t>(facts.st_blocks) * 512;
  }
  CHECK(kept <= 11 * 2 * 4096 + 8 * 8192);  // At most twice what was asked for, and the tables of 8 blocks.
  mount.mount();
  Listed d(lake, mount);
  read_around(d);
  CHECK(d.calls().empty());
}

TEST_CASE("counts: small files read in a row are fetched ahead, each of them once; a few, alone, are not") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const auto name = [](int n) { return "f" + std::to_string(100 + n); };
  for (int n = 0; n < 60; ++n) lake.put("d/" + name(n), name(n));
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  for (int n = 0; n < 3; ++n) CHECK(read_file(d / name(n)) == name(n));
  CHECK(d.calls() == Counts{{"stat_object", 3}, {"store_get", 3}});
  CHECK(read_file(d / name(3)) == name(3));
  CHECK(lake.server().wait_for("store_get", 9));  // The fourth, and the first eight behind it.
  for (int n = 4; n < 60; ++n) CHECK(read_file(d / name(n)) == name(n));
  CHECK(d.calls() == Counts{{"stat_object", 57}, {"store_get", 57}});
}

TEST_CASE("counts: small files read here and there have few others fetched in vain") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const auto name = [](int n) { return "f" + std::to_string(1000 + n); };
  for (int n = 0; n < 400; ++n) lake.put("d/" + name(n), "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  for (int n = 380; n >= 0; n -= 20) CHECK(read_file(d / name(n)) == "x");
  CHECK(d.calls().at("store_get") <= 20 + 8);
}

// What the kernel asks us while a program works: each is two switches of threads. One more may be the release
// of what was closed before, which nobody waits for.
TEST_CASE("counts: what programs do costs the kernel's requests that it must, and no others") {
  TestLake lake;
  const std::string text = pattern(8 << 20);
  lake.put("d/large", text);
  for (int n = 0; n < 100; ++n) lake.put("d/f" + std::to_string(100 + n), "x");
  Mounted mount(lake, slow_to_ask());
  const auto requests = [&] { return mount.status().at("requests").to_number<std::int64_t>(); };
  const auto cost_of = [&](const auto& work) {
    const auto before = requests();
    work();
    return requests() - before;
  };
  CHECK(look(mount / "d") == kOk);
  // opendir, 100 names by the page, the end, releasedir. From coreutils 9.6 on ls also asks each for the list
  // of its attributes.
  const bool lists_each =
      shell(mount.state_dir(), "printf '9.6\n%s\n' \"$(ls --version | sed -n '1s/.* //p')\" | sort -VC")
          .exit_code == 0;
  CHECK(cost_of([&] { CHECK(shell(mount / "d", "ls -l >/dev/null").exit_code == 0); }) <=
        (lists_each ? 110 : 10));
  CHECK(cost_of([&] { CHECK((read_file(mount / "d/large") == text)); }) <= (8 << 20) / (128 << 10) + 3);
  // Its pages are the kernel's: open and release.
  CHECK(cost_of([&] { CHECK((read_file(mount / "d/large") == text)); }) <= 2 + 1);
  CHECK(cost_of([&] {
          for (int n = 0; n < 100; ++n) CHECK(look(mount / "d" / ("f" + std::to_string(100 + n))) == kOk);
        }) <= 1);
  CHECK(cost_of([&] {
          for (int n = 0; n < 100; ++n) CHECK(look(mount / "d/not there") == "stat: ENOENT");
        }) <= 1);
  // lookup, create, write, flush, release; and the security.capability that Linux asks for at a write.
  CHECK(cost_of([&] { CHECK(write_file(mount / "d/new", "bytes") == kOk); }) <= 6 + 1);
  // A mebibyte at a time.
  CHECK(cost_of([&] { CHECK(write_file(mount / "d/new large", text) == kOk); }) <= 8 + 6);
}

TEST_CASE("counts: appends of 4 KiB cost no call, and those that the kernel makes of each stay here") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  OpenFile file(d / "log", O_WRONLY | O_CREAT | O_APPEND);
  CHECK(file.write(std::string(4096, 'a')) == kOk);
  CHECK(lake.server().wait_for("get_physical_address", 1));
  d.calls();
  for (int n = 0; n < 100; ++n) CHECK(file.write(std::string(4096, 'a')) == kOk);
  CHECK(d.total() == 0);
  CHECK(file.close() == kOk);
  CHECK(d.calls() == Counts{{"store_put", 1}, {"link_physical_address", 1}});
}

TEST_CASE(
    "counts: a program that writes file after file has a connection to the store, and two to the lake") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  Mounted mount(lake, slow_to_ask());
  Listed d(lake, mount);
  for (int n = 0; n < 30; ++n) CHECK(write_file(d / std::to_string(n), "bytes") == kOk);
  std::set<std::uint64_t> to_lake, to_store;
  for (const Call& call : lake.server().calls())
    (call.operation.starts_with("store_") ? to_store : to_lake).insert(call.connection);
  CHECK(to_store.size() == 1);
  CHECK(to_lake.size() <= 2);  // An address is asked for beside what else goes on.
}

TEST_CASE("counts: closes at once go up at once, and of one program with --writeback sixteen") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("d/old", "x");
  constexpr std::size_t kFiles = 40, kOfOneProgram = 16;
  const auto name = [](std::size_t n) { return "f" + std::to_string(n); };
  {
    Mounted mount(lake, slow_to_ask());
    Gate gate = lake.server().hold("store_put");
    std::vector<std::jthread> programs;
    for (std::size_t n = 0; n < kFiles; ++n)
      programs.emplace_back([&, n] { CHECK(write_file(mount / "d" / name(n), "bytes") == kOk); });
    CHECK(gate.wait_for_arrivals(kFiles));
    gate.release();
  }
  MountOptions options = slow_to_ask();
  options.flags.push_back("--writeback");
  Mounted mount(lake, options);
  Gate gate = lake.server().hold("store_put");
  for (std::size_t n = 0; n < kFiles; ++n) CHECK(write_file(mount / "d" / name(n), "more") == kOk);
  CHECK(gate.wait_for_arrivals(kOfOneProgram));
  std::this_thread::sleep_for(100ms);
  CHECK(gate.arrivals() == kOfOneProgram);
  gate.release();
  CHECK(flush(mount) == 0);
  for (std::size_t n = 0; n < kFiles; ++n) CHECK(lake.read("d/" + name(n)) == "more");
}

TEST_CASE("counts: a write asks the mount for nothing but the write, where libfuse is 3.17 or newer") {
  TestLake lake;
  Mounted mount(lake);
  if (has(std::string(mount.status().at("no_passthrough_because").as_string()), "libfuse")) {
    MESSAGE("skipped: this libfuse makes the kernel ask for security.capability at each write");
    return;
  }
  OpenFile file(mount / "f", O_WRONLY | O_CREAT);
  const auto requests = [&] { return mount.status().at("requests").to_number<std::uint64_t>(); };
  const auto before = requests();
  for (std::uint64_t n = 0; n < 100; ++n) REQUIRE(file.write_at(n * 10, "some bytes") == kOk);
  CHECK(requests() - before <= 110);
  CHECK(file.close() == kOk);
  CHECK(lake.read("f").size() == 1000);
}
