// W8: inside one mount, files behave as on a local disk: the same calls on both, and the same outcome.

#include <doctest/doctest.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
namespace stdfs = std::filesystem;

namespace {

// One directory on the mount, one on the disk.
struct Both {
  explicit Both(Mounted& mounted) : mount(mounted) {}
  Mounted& mount;
  ScratchDirectory disk;

  // The same work on both; then both and the lake hold the same bytes.
  template <class Work>
  void same(TestLake& lake, const std::string& name, Work work) {
    CAPTURE(name);
    work(disk.path() / name);
    work(mount / name);
    const std::string wanted = read_local(disk.path() / name);
    CHECK((read_file(mount / name) == wanted));
    CHECK((lake.read(name) == wanted));
    CHECK(stdfs::file_size(mount / name) == wanted.size());
  }
};

void works(const stdfs::path& directory, const std::string& script) {
  const Ran ran = shell(directory, "set -e\n" + script);
  INFO(ran.out << ran.err);
  CHECK(ran.exit_code == 0);
}

}  // namespace

TEST_CASE("W8: appends, random writes, truncations and holes end as on a local disk") {
  TestLake lake;
  const std::string base = pattern(1'500'000, 3);
  const auto names = {"append", "random", "cut", "grown", "holes"};
  for (const char* name : names) lake.put(name, base);  // Before a mount has listed them as absent.
  Mounted mount(lake);
  Both both(mount);
  for (const char* name : names) write_local(both.disk.path() / name, base);
  both.same(lake, "append", [](const stdfs::path& path) {
    CHECK(write_file(path, "tail", O_APPEND) == kOk);
    OpenFile file(path, O_WRONLY | O_APPEND);
    CHECK(file.write("more") == kOk);
    CHECK(file.write_at(0, "pwrite appends, too") == kOk);  // As Linux does.
    CHECK(file.close() == kOk);
  });
  both.same(lake, "random", [](const stdfs::path& path) {
    std::mt19937 dice(5);
    OpenFile file(path, O_RDWR);
    for (int i = 0; i < 60; ++i) {
      const auto offset = dice() % 2'000'000;
      const auto size = 1 + dice() % 20'000;
      CHECK(file.write_at(offset, pattern(size, static_cast<unsigned>(i))) == kOk);
      if (i % 17 == 0) CHECK(file.truncate(dice() % 2'000'000) == kOk);
    }
    CHECK(file.close() == kOk);
  });
  both.same(lake, "cut", [](const stdfs::path& path) { CHECK(::truncate(path.c_str(), 777) == 0); });
  both.same(lake, "grown", [](const stdfs::path& path) { CHECK(::truncate(path.c_str(), 3'000'000) == 0); });
  both.same(lake, "holes", [](const stdfs::path& path) {
    OpenFile file(path, O_WRONLY | O_TRUNC);
    CHECK(file.write_at(2'000'000, "end") == kOk);
    CHECK(file.write_at(5'000, "middle") == kOk);
    CHECK(file.close() == kOk);
  });
  both.same(lake, "made", [](const stdfs::path& path) {
    CHECK(write_file(path, "0123456789") == kOk);
    OpenFile file(path, O_RDWR);
    CHECK(file.truncate(4) == kOk);
    CHECK(file.truncate(8) == kOk);
    CHECK(file.read_all() == std::string("0123\0\0\0\0", 8));
    CHECK(file.close() == kOk);
  });
}

TEST_CASE("W8: what is written through a shared mapping is on the lake when the file is closed for good") {
  TestLake lake;
  lake.put("f", std::string(100'000, 'a'));
  Mounted mount(lake);
  Actor writer;
  REQUIRE(writer("open 1 rw " + (mount / "f").string()) == "ok");
  REQUIRE(writer("map 1 100000") == "ok");
  CHECK(writer("poke 50000 MAPPED") == "ok");
  CHECK(writer("msync") == "ok");
  CHECK(writer("unmap") == "ok");
  CHECK(writer("close 1") == "ok");
  std::string wanted(100'000, 'a');
  wanted.replace(50'000, 6, "MAPPED");
  CHECK((lake.read("f") == wanted));

  // Closed first, written after: RELEASE publishes it.
  REQUIRE(writer("open 1 rw " + (mount / "f").string()) == "ok");
  REQUIRE(writer("map 1 100000") == "ok");
  CHECK(writer("close 1") == "ok");
  CHECK(writer("poke 0 LATE") == "ok");
  CHECK(writer("unmap") == "ok");
  wanted.replace(0, 4, "LATE");
  CHECK(eventually([&] { return lake.read("f") == wanted; }));
  CHECK((read_file(mount / "f") == wanted));
}

TEST_CASE("W8: a file that is emptied and written anew while it is open shows its new bytes, mapped or not") {
  TestLake lake;
  lake.put("f", std::string(8192, 'a'));
  Mounted mount(lake);
  OpenFile reader(mount / "f", O_RDONLY);
  CHECK(reader.read_all() == std::string(8192, 'a'));
  const auto* const mapped =
      static_cast<const char*>(::mmap(nullptr, 8192, PROT_READ, MAP_SHARED, reader.fd(), 0));
  REQUIRE(mapped != MAP_FAILED);
  CHECK(std::string(mapped, 8192) == std::string(8192, 'a'));
  Actor writer;
  REQUIRE(writer("open 1 w,trunc " + (mount / "f").string()) == "ok");
  CHECK(reader.read_all().empty());
  CHECK(writer("write 1 " + std::string(8192, 'b')) == "ok");
  CHECK(std::string(mapped, 8192) == std::string(8192, 'b'));
  CHECK(reader.read_all() == std::string(8192, 'b'));
  CHECK(writer("close 1") == "ok");
  CHECK(std::string(mapped, 8192) == std::string(8192, 'b'));
  ::munmap(const_cast<char*>(mapped), 8192);
  CHECK((lake.read("f") == std::string(8192, 'b')));
}

TEST_CASE("W8: an unlinked file stays readable and writable while it is open, and never comes back") {
  TestLake lake;
  lake.put("f", "bytes of the lake");
  Mounted mount(lake);
  OpenFile reader(mount / "f", O_RDONLY);
  OpenFile writer(mount / "f", O_RDWR);
  CHECK(remove_file(mount / "f") == kOk);
  CHECK(look(mount / "f") == "stat: ENOENT");
  CHECK(lake.read("f") == "<none>");
  CHECK(reader.read_all() == "bytes of the lake");
  CHECK(writer.write("BYTES") == kOk);
  CHECK(reader.read_all() == "BYTES of the lake");
  CHECK(writer.close() == kOk);
  CHECK(reader.close() == kOk);
  CHECK(lake.read("f") == "<none>");

  OpenFile fresh(mount / "g", O_RDWR | O_CREAT);
  CHECK(fresh.write("never there") == kOk);
  CHECK(remove_file(mount / "g") == kOk);
  CHECK(fresh.read_all() == "never there");
  CHECK(fresh.close() == kOk);
  CHECK(lake.read("g") == "<none>");
  CHECK(mount.pending().empty());
}

TEST_CASE("W8: who has a file open reads it here, though another descriptor is closed while its name goes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"f", "g"}) lake.put(key, "bytes of the lake");
  Mounted mount(lake, {.flags = {"--cache-size", "0"}});
  std::string call = "delete_object";
  std::function<Outcome()> change = [&] { return remove_file(mount / "f"); };
  SUBCASE("by an unlink") {}
  SUBCASE("by a rename over it") {
    call = "copy_object";
    change = [&] { return rename_file(mount / "g", mount / "f"); };
  }
  OpenFile reader(mount / "f", O_RDONLY);
  OpenFile closed(mount / "f", O_RDONLY);
  const std::string address = lake.address("f");
  Gate gate = lake.server().hold(call);
  std::jthread changer([&] { CHECK(change() == kOk); });
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(closed.close() == kOk);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // Nobody is told when the mount hears of it.
  gate.release();
  changer.join();
  lake.server().remove_data(address);
  CHECK(reader.read_all() == "bytes of the lake");
}

TEST_CASE("W8: who opens a file just as another takes its name has the one or the other, and no error") {
  std::string call = "copy_object", other = "published";
  bool can_presign = true;
  SUBCASE("that is on the lake") {}
  SUBCASE("that is not there yet") {
    call = "link_physical_address";
    other = "held back.tmp";
  }
  SUBCASE("that is on the lake, where nothing can be presigned") {
    can_presign = false;
  }
  SUBCASE("that is not there yet, where nothing can be presigned") {
    call = "upload_object";
    other = "held back.tmp";
    can_presign = false;
  }
  TestLake lake({.presign = can_presign});
  NEEDS_DOUBLE(lake);
  lake.put("f", "bytes of the lake");
  Mounted mount(lake, {.flags = {"--cache-size", "0"}});
  REQUIRE(write_file(mount / other, "bytes of the other") == kOk);
  REQUIRE(look(mount / "f") == kOk);  // So that the kernel asks for no name, and opens at once.
  Gate gate = lake.server().hold(call, "*", Gate::Where::kAfterWork);
  std::jthread mover([&] { CHECK(rename_file(mount / other, mount / "f") == kOk); });
  REQUIRE(gate.wait_for_arrivals(1));
  REQUIRE(lake.read("f") == "bytes of the other");
  CHECK(read_file(mount / "f") == "bytes of the lake");
  gate.release();
  mover.join();
  CHECK(read_file(mount / "f") == "bytes of the other");
  CHECK(mount.status().at("failures").as_array().empty());
}

TEST_CASE("W8: who opens a file just as another removes it waits, and hears of no stale handle") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "bytes of the lake");
  Mounted mount(lake, {.flags = {"--cache-size", "0"}});
  REQUIRE(look(mount / "f") == kOk);  // So that the kernel asks for no name, and opens at once.
  Gate gate = lake.server().hold("delete_object", "*", Gate::Where::kAfterWork);
  std::jthread remover([&] { CHECK(remove_file(mount / "f") == kOk); });
  REQUIRE(gate.wait_for_arrivals(1));
  std::string read;
  std::jthread reader([&] { read = read_file(mount / "f"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  gate.release();
  remover.join();
  reader.join();
  CHECK(read == "<open: ENOENT>");
  CHECK(mount.status().at("failures").as_array().empty());
}

TEST_CASE("W8: an unlinked file that somebody has open can be opened once more by its descriptor") {
  TestLake lake;
  const std::string bytes = pattern(70 << 20);  // Too much to be brought here before its name goes.
  lake.put("f", bytes);
  Mounted mount(lake);
  OpenFile file(mount / "f", O_RDONLY);
  REQUIRE(file.opened() == kOk);
  REQUIRE(remove_file(mount / "f") == kOk);
  OpenFile again("/proc/self/fd/" + std::to_string(file.fd()), O_RDONLY);
  CHECK(again.opened() == kOk);
  CHECK((again.read_all(60 << 20) == bytes.substr(60 << 20)));
}

TEST_CASE(
    "W4: killed while a file that was only read loses its name, the mount leaves nothing for a person") {
  bool can_presign = true, is_open = true;
  std::string call = "delete_object";
  std::function<Outcome(const Mounted&)> change = [](const Mounted& mount) {
    return remove_file(mount / "f");
  };
  const auto by_rename = [](const Mounted& mount) { return rename_file(mount / "g.tmp", mount / "f"); };
  SUBCASE("by an unlink") {}
  SUBCASE("by a rename over it") {
    call = "link_physical_address";
    change = by_rename;
  }
  SUBCASE("by a rename over it, where nothing can be presigned, and nobody has it open") {
    call = "upload_object";
    change = by_rename;
    can_presign = is_open = false;
  }
  TestLake lake({.presign = can_presign});
  NEEDS_DOUBLE(lake);
  lake.put("f", "bytes of the lake");
  Mounted mount(lake);
  REQUIRE(write_file(mount / "g.tmp", "bytes of the other") == kOk);
  std::optional<OpenFile> reader;
  if (is_open) reader.emplace(mount / "f", O_RDONLY);
  Gate gate = lake.server().hold(call, "*", Gate::Where::kBeforeWork);
  std::jthread changer([&] { CHECK(change(mount) != kOk); });
  REQUIRE(gate.wait_for_arrivals(1));
  mount.kill_hard([&] {
    changer.join();
    reader.reset();
  });
  gate.release();
  mount.mount();
  for (const auto& [path, state] : mount.pending()) CHECK(state != "conflict");
  CHECK(eventually([&] { return mount.pending().empty(); }));
}

TEST_CASE("W8: an unlink that fails keeps nobody from opening the file") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "bytes of the lake");
  Mounted mount(lake);
  lake.server().add_fault({.kind = Fault::Kind::kStatus, .operation = "delete_object", .status = 401});
  CHECK(remove_file(mount / "f") != kOk);
  CHECK(read_file(mount / "f") == "bytes of the lake");
}

TEST_CASE("W8: a close of what another process removes just then is done, and no failure") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "bytes of the lake");
  Mounted mount(lake);
  Gate gate = lake.server().hold("store_put");
  std::jthread writer([&] { CHECK(write_file(mount / "f", "never there") == kOk); });
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(remove_file(mount / "f") == kOk);
  writer.join();
  gate.release();
  CHECK(lake.read("f") == "<none>");
  CHECK(mount.pending().empty());
  CHECK(mount.status().at("failures").as_array().empty());
}

TEST_CASE("W8: O_TRUNC empties a file that is opened for reading, too") {
  TestLake lake;
  lake.put("f", "bytes of the lake");
  Mounted mount(lake);
  OpenFile file(mount / "f", O_RDONLY | O_TRUNC);
  CHECK(file.read_all().empty());
  CHECK(file.close() == kOk);
  CHECK(lake.read("f").empty());
}

TEST_CASE("W8: several handles on one file see one another's bytes") {
  TestLake lake;
  lake.put("f", "0123456789");
  Mounted mount(lake);
  OpenFile reader(mount / "f", O_RDONLY);
  OpenFile one(mount / "f", O_RDWR);
  OpenFile two(mount / "f", O_RDWR);
  CHECK(one.write_at(0, "AB") == kOk);
  CHECK(two.write_at(8, "YZ") == kOk);
  CHECK(reader.read_all() == "AB234567YZ");
  CHECK(one.read_all() == "AB234567YZ");
  CHECK(two.truncate(9) == kOk);
  CHECK(one.read_all() == "AB234567Y");
  CHECK(read_file(mount / "f") == "AB234567Y");
  CHECK(one.close() == kOk);
  CHECK(two.write_at(1, "-") == kOk);
  CHECK(two.close() == kOk);
  CHECK(lake.read("f") == "A-234567Y");
}

TEST_CASE("W8: a file that is open goes with its name: rename while it is written") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "before", O_RDWR | O_CREAT);
  CHECK(file.write("one ") == kOk);
  CHECK(rename_file(mount / "before", mount / "after") == kOk);
  CHECK(file.write("two") == kOk);
  CHECK(file.close() == kOk);
  CHECK(lake.read("after") == "one two");
  CHECK(lake.read("before") == "<none>");
  CHECK(look(mount / "before") == "stat: ENOENT");
}

TEST_CASE("W8: mode, size and times are those of the last change, at once") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "f", O_RDWR | O_CREAT, 0640);
  CHECK(file.write("12345") == kOk);
  struct stat facts {};
  REQUIRE(::fstat(file.fd(), &facts) == 0);
  CHECK(facts.st_size == 5);
  CHECK((facts.st_mode & 07777) == 0640);
  CHECK(::fchmod(file.fd(), 0600) == 0);
  const timespec times[2] = {{1'000'000'000, 0}, {1'200'000'000, 123'456'789}};
  CHECK(::futimens(file.fd(), times) == 0);
  CHECK(file.close() == kOk);
  REQUIRE(::stat((mount / "f").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
  CHECK(facts.st_mtim.tv_sec == 1'200'000'000);
  CHECK(facts.st_mtim.tv_nsec == 123'456'789);
}

TEST_CASE("W8: emptying an empty file makes its time new, as a stamp's is") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(write_file(mount / "stamp", "") == kOk);
  const timespec long_ago[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (mount / "stamp").c_str(), long_ago, 0) == 0);
  REQUIRE(write_file(mount / "stamp", "") == kOk);
  struct stat facts {};
  REQUIRE(::stat((mount / "stamp").c_str(), &facts) == 0);
  CHECK(facts.st_mtime > 1'000'000'000);
  CHECK(lake.stat("stamp")->metadata.at("::lakefs::client-mtime") == std::to_string(facts.st_mtime));
}

TEST_CASE("W8: SEEK_DATA and SEEK_HOLE of a file that is being written answer what a local disk answers") {
  TestLake lake;
  const std::string base = pattern(20'480);
  lake.put("based", base);
  Mounted mount(lake);
  Both both(mount);
  write_local(both.disk.path() / "based", base);
  struct Layout {
    std::string name;
    void (*make)(OpenFile& file);
  };
  const Layout layouts[] = {
      {"empty", [](OpenFile&) {}},
      {"only a hole", [](OpenFile& file) { CHECK(file.truncate(1 << 20) == kOk); }},
      {"a hole at the end",
       [](OpenFile& file) {
         CHECK(file.write_at(0, pattern(4096)) == kOk);
         CHECK(file.truncate(1 << 20) == kOk);
       }},
      {"a hole at the start", [](OpenFile& file) { CHECK(file.write_at(8192, pattern(4096)) == kOk); }},
      {"a hole between",
       [](OpenFile& file) {
         CHECK(file.write_at(0, pattern(12'288)) == kOk);
         CHECK(::fallocate(file.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) == 0);
       }},
      {"based",
       [](OpenFile& file) {
         CHECK(file.truncate(1 << 20) == kOk);
         CHECK(file.write_at(1 << 19, "x") == kOk);
       }},
  };
  for (const Layout& layout : layouts) {
    CAPTURE(layout.name);
    std::vector<std::string> answers[2];
    for (const bool is_mount : {false, true}) {
      OpenFile file((is_mount ? mount.at() : both.disk.path()) / layout.name, O_RDWR | O_CREAT);
      layout.make(file);
      for (const off_t offset :
           {0, 1, 4095, 4096, 8192, 12'287, 20'480, 1 << 19, (1 << 20) - 1, 1 << 20, 2 << 20}) {
        for (const int whence : {SEEK_DATA, SEEK_HOLE}) {
          const off_t at = ::lseek(file.fd(), offset, whence);
          answers[is_mount].push_back(at < 0 ? errno_name(errno) : std::to_string(at));
        }
      }
    }
    for (std::size_t i = 0; i < answers[0].size(); ++i) {
      CAPTURE(i);
      CHECK(answers[1][i] == answers[0][i]);
    }
  }
}

TEST_CASE("W8: a file that is being written has the blocks of its bytes, and none for its holes") {
  TestLake lake;
  lake.put("based", pattern(1 << 20));
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  const auto blocks = [](const OpenFile& file) {
    struct stat facts {};
    REQUIRE(::fstat(file.fd(), &facts) == 0);
    return facts.st_blocks;
  };
  OpenFile sparse(mount / "sparse", O_RDWR | O_CREAT);
  REQUIRE(sparse.truncate(10 << 20) == kOk);
  CHECK(blocks(sparse) == 0);
  REQUIRE(sparse.write_at(5 << 20, pattern(100'000)) == kOk);
  CHECK(blocks(sparse) >= 100'000 / 512);
  CHECK(blocks(sparse) < 20'480 / 2);
  OpenFile small(mount / "small", O_RDWR | O_CREAT);
  REQUIRE(small.write("x") == kOk);
  CHECK(blocks(small) == 1);
  // One byte of it is here, and the others on the lake.
  OpenFile based(mount / "based", O_RDWR);
  REQUIRE(based.write_at(10, "x") == kOk);
  CHECK(blocks(based) == (1 << 20) / 512);
  CHECK(sparse.close() == kOk);
  CHECK(facts_of(mount / "sparse").st_size == 10 << 20);
}

TEST_CASE("W8: O_DIRECT, copy_file_range, holes, locks and fsync of a directory do what they do on a disk") {
  TestLake lake;
  lake.put("f", pattern(100'000));
  Mounted mount(lake);
  OpenFile direct(mount / "f", O_RDWR | O_DIRECT);
  CHECK((direct.read_all() == pattern(100'000)));
  CHECK(direct.write_at(10, "odd size") == kOk);
  CHECK(direct.close() == kOk);
  CHECK(lake.read("f").substr(10, 8) == "odd size");

  OpenFile from(mount / "f", O_RDONLY), to(mount / "copy", O_RDWR | O_CREAT);
  CHECK(::copy_file_range(from.fd(), nullptr, to.fd(), nullptr, 100'000, 0) == 100'000);
  CHECK(to.close() == kOk);
  CHECK((lake.read("copy") == lake.read("f")));

  OpenFile sparse(mount / "sparse", O_RDWR | O_CREAT);
  CHECK(sparse.write_at(1 << 20, "x") == kOk);
  CHECK(::lseek(sparse.fd(), 0, SEEK_DATA) > 0);
  CHECK(::lseek(sparse.fd(), 0, SEEK_HOLE) == 0);
  CHECK(::lseek(sparse.fd(), 2 << 20, SEEK_DATA) == -1);
  CHECK(errno == ENXIO);
  CHECK(::fallocate(sparse.fd(), FALLOC_FL_KEEP_SIZE, 0, 4 << 20) == 0);
  CHECK(::fallocate(sparse.fd(), FALLOC_FL_ZERO_RANGE, 1 << 20, 2 << 20) == 0);
  CHECK(sparse.close() == kOk);
  CHECK((lake.read("sparse") == std::string(3 << 20, '\0')));

  OpenFile one(mount / "lock", O_RDWR | O_CREAT), two(mount / "lock", O_RDWR);
  CHECK(::flock(one.fd(), LOCK_EX) == 0);
  CHECK(::flock(two.fd(), LOCK_EX | LOCK_NB) == -1);
  CHECK(errno == EWOULDBLOCK);

  OpenFile directory(mount.at(), O_RDONLY | O_DIRECTORY);
  CHECK(directory.sync() == kOk);
}

TEST_CASE("W8: O_TMPFILE: no name until it is linked, then all of it is published at once, or nothing") {
  TestLake lake;
  lake.put("there", "old");
  Mounted mount(lake);
  OpenFile file(mount.at(), O_RDWR | O_TMPFILE);
  if (file.opened() != kOk) {  // libfuse before 3.17 knows no such request.
    CHECK(file.opened() == "open: EOPNOTSUPP");
    MESSAGE("no O_TMPFILE with this libfuse or kernel");
    return;
  }
  const auto link_as = [&](const OpenFile& open, const std::string& name) {
    const std::string self = "/proc/self/fd/" + std::to_string(open.fd());
    return outcome("link",
                   ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (mount / name).c_str(), AT_SYMLINK_FOLLOW) == 0
                       ? 0
                       : errno);
  };
  CHECK(file.write("all of it") == kOk);
  CHECK(file.sync() == kOk);
  CHECK(file.read_all() == "all of it");
  CHECK(names_in(mount.at()) == std::vector<std::string>{"there"});
  CHECK(lake.keys() == std::vector<std::string>{"there"});
  CHECK(link_as(file, "there") == "link: EEXIST");
  CHECK(link_as(file, "made") == kOk);
  CHECK(lake.read("made") == "all of it");
  CHECK(link_as(file, "again") == "link: EPERM");  // It has a name by now.
  CHECK(file.write_at(0, "ALL") == kOk);
  CHECK(file.close() == kOk);
  CHECK(lake.read("made") == "ALL of it");

  OpenFile dropped(mount.at(), O_RDWR | O_TMPFILE);
  CHECK(dropped.write("nobody's") == kOk);
  CHECK(dropped.sync() == kOk);
  mount.kill_hard([&] { std::ignore = dropped.close(); });
  mount.mount();
  CHECK(mount.pending().empty());
  CHECK(lake.keys() == std::vector<std::string>{"made", "there"});
}

TEST_CASE("W8: lines that several processes append at once are all there, whole") {
  TestLake lake;
  Mounted mount(lake);
  works(mount.at(), R"(
    for n in 1 2 3 4; do (for i in $(seq 50); do echo "process $n line $i" >>log; done) & done
    wait
    [ $(sort -u log | grep -c '^process [1-4] line [0-9]*$') = 200 ])");
  CHECK(std::ranges::count(lake.read("log"), '\n') == 200);
}

TEST_CASE(
    "W8: two that empty one file and write it at once leave what one of them wrote, and nothing mixed") {
  TestLake lake;
  lake.put("f", "old");
  Mounted mount(lake);
  for (int round = 0; round < 10; ++round) {
    const auto write = [&](char letter) { return write_file(mount / "f", std::string(3000, letter)); };
    std::thread one([&] { CHECK(write('a') == kOk); });
    std::thread two([&] { CHECK(write('b') == kOk); });
    one.join();
    two.join();
    const std::string bytes = read_file(mount / "f");
    CHECK((bytes == std::string(3000, 'a') || bytes == std::string(3000, 'b')));
    CHECK((lake.read("f") == bytes));
  }
}

TEST_CASE("W8: a file whose name another file took goes on for whoever has it open") {
  TestLake lake;
  lake.put("f", "bytes of f");
  lake.put("g", "bytes of g");
  Mounted mount(lake);
  OpenFile reader(mount / "f", O_RDONLY), writer(mount / "f", O_RDWR);
  CHECK(rename_file(mount / "g", mount / "f") == kOk);
  CHECK(writer.write("BYTES") == kOk);
  CHECK(reader.read_all() == "BYTES of f");
  CHECK(writer.close() == kOk);
  CHECK(read_file(mount / "f") == "bytes of g");
  CHECK(lake.read("f") == "bytes of g");
  CHECK(mount.pending().empty());

  // By bytes that are published with the rename, too.
  OpenFile before(mount / "f", O_RDONLY);
  REQUIRE(write_file(mount / "new.tmp", "newer") == kOk);
  CHECK(rename_file(mount / "new.tmp", mount / "f") == kOk);
  CHECK(lake.read("f") == "newer");
  CHECK(before.read_all() == "bytes of g");
}

TEST_CASE(
    "W8: a private mapping keeps its changes to itself; holes can be punched; locks are between handles") {
  TestLake lake;
  lake.put("f", pattern(100'000));
  Mounted mount(lake);
  OpenFile file(mount / "f", O_RDWR);
  void* const at = ::mmap(nullptr, 100'000, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd(), 0);
  REQUIRE(at != MAP_FAILED);
  CHECK(std::memcmp(at, pattern(100'000).data(), 100'000) == 0);
  std::memcpy(at, "private", 7);
  ::munmap(at, 100'000);
  CHECK(::fallocate(file.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10'000, 80'000) == 0);
  CHECK(::fallocate(file.fd(), 0, 0, 120'000) == 0);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_len = 10;
  CHECK(::fcntl(file.fd(), F_OFD_SETLK, &lock) == 0);
  OpenFile other(mount / "f", O_RDWR);
  CHECK(::fcntl(other.fd(), F_OFD_SETLK, &lock) == -1);
  CHECK(errno == EAGAIN);
  lock.l_start = 10;
  CHECK(::fcntl(other.fd(), F_OFD_SETLK, &lock) == 0);
  CHECK(other.close() == kOk);
  CHECK(file.close() == kOk);
  std::string wanted = pattern(100'000);
  wanted.replace(10'000, 80'000, 80'000, '\0');
  wanted.resize(120'000, '\0');
  CHECK((lake.read("f") == wanted));
}
