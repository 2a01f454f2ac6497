// A directory that is renamed while programs work in it: what they change meanwhile waits for it, and is
// changed under its new name.

#include <dirent.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <list>
#include <optional>
#include <thread>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

namespace stdfs = std::filesystem;
using Names = std::vector<std::string>;

// mv old new, which stays among its copies until it is let go.
struct Moving {
  explicit Moving(const Names& more = {}, Arguments flags = {}) {
    for (const char* name : {"old/a", "old/b", "e/other", "e/stays"}) lake.put(name, name);
    for (const std::string& name : more) lake.put(name, name);
    flags.insert(flags.end(), {"--metadata-ttl", "100ms"});
    mount.emplace(lake, MountOptions{.flags = std::move(flags)});
    // Who asks for a name of the top directory waits for the mv.
    for (const char* name : {"old/a", "e/other"}) CHECK(read_file(path(name)) == name);
  }
  ~Moving() { let_go(); }

  [[nodiscard]] stdfs::path path(const std::string& name) const { return *mount / name; }

  void begin() {
    held.emplace(lake.server().hold("copy_object", "new/*"));
    mover = std::jthread([this] { moved = rename_file(path("old"), path("new")); });
    CHECK(held->wait_for_arrivals(2));
  }

  // A call that is made meanwhile, and not answered before the mv.
  void meanwhile(std::function<Outcome()> call) {
    Call& made = calls.emplace_back();
    made.thread = std::jthread([&made, call = std::move(call)] {
      made.outcome = call();
      made.is_done = true;
    });
  }
  void all_wait() {
    std::this_thread::sleep_for(150ms);  // Long enough for each of them to be done.
    for (const Call& made : calls) CHECK_FALSE(made.is_done);
  }

  void let_go() {
    if (held) held->release();
    if (mover.joinable()) mover.join();
    for (Call& made : calls)
      if (made.thread.joinable()) made.thread.join();
  }
  void end() {
    let_go();
    CHECK(moved == kOk);
    for (const Call& made : calls) CHECK(made.outcome == kOk);
  }

  void is_there(const std::string& name, const std::string& bytes) {
    for (int times = 0; times < 2; ++times) {
      CHECK(eventually([&] { return lake.read("new/" + name) == bytes; }));
      CHECK(read_file(path("new/" + name)) == bytes);
      CHECK(eventually([&] { return lake.keys("old").empty(); }));
      std::this_thread::sleep_for(120ms);  // It is asked for anew.
    }
    CHECK(mount->pending().empty());
  }

  struct Call {
    std::atomic<bool> is_done = false;
    Outcome outcome;
    std::jthread thread;
  };

  TestLake lake;
  std::optional<Mounted> mount;
  std::optional<Gate> held;
  std::jthread mover;
  Outcome moved;
  std::list<Call> calls;
};

// A directory that a program is in, whatever becomes of its path; what lies in it nobody has looked up.
class Inside {
 public:
  explicit Inside(const stdfs::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY)) {
    REQUIRE(fd_ >= 0);
  }
  ~Inside() { ::close(fd_); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] stdfs::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

Outcome outcome_of(const char* call, int answer) {
  return answer == 0 ? kOk : outcome(call, errno);
}

}  // namespace

TEST_CASE("a directory that is renamed takes along what is closed in it meanwhile") {
  if (TestLake().is_real()) return;
  Moving moving;
  moving.begin();
  moving.meanwhile([&] { return write_file(moving.path("old/late"), "late"); });
  moving.all_wait();
  CHECK(moving.mount->pending().contains("old/late"));  // Who asks the mount itself does not wait.
  moving.end();
  moving.is_there("late", "late");
  CHECK(moving.lake.keys("new") == Names{"new/a", "new/b", "new/late"});
}

TEST_CASE("a directory that is renamed takes along what is being published in it") {
  if (TestLake().is_real()) return;
  Moving moving;
  moving.held.emplace(moving.lake.server().hold("link_physical_address", "old/late"));
  moving.meanwhile([&] { return write_file(moving.path("old/late"), "late"); });
  CHECK(moving.held->wait_for_arrivals(1));
  moving.meanwhile([&] { return rename_file(moving.path("old"), moving.path("new")); });
  moving.moved = kOk;
  moving.all_wait();
  moving.end();
  moving.is_there("late", "late");
}

TEST_CASE("a directory that is renamed takes along what is renamed into it meanwhile") {
  if (TestLake().is_real()) return;
  Moving moving;
  moving.begin();
  moving.meanwhile([&] { return rename_file(moving.path("e/other"), moving.path("old/late")); });
  moving.all_wait();
  moving.end();
  moving.is_there("late", "e/other");
  CHECK(moving.lake.keys("e") == Names{"e/stays"});
}

TEST_CASE("what nobody has looked up in a directory that is renamed may be changed deep inside meanwhile") {
  if (TestLake().is_real()) return;
  Arguments flags;
  SUBCASE("") {}
  SUBCASE("with --writeback") {
    flags = {"--writeback"};
  }
  // A directory each, for a change that waits keeps its directory.
  Moving moving({"old/1/gone", "old/2/out", "old/3/kept", "old/4/empty/", "old/5/mode", "old/6/over",
                 "old/7/cut", "old/8/kept", "old/9/"},
                flags);
  const auto look_at = [&] {
    CHECK(names_in(moving.path(".")) == Names{"e", "new"});
    CHECK(names_in(moving.path("new")) == Names{"1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b"});
    CHECK(names_in(moving.path("new/1")).empty());
    CHECK(names_in(moving.path("new/3")) == Names{"kept", "made"});
    CHECK(names_in(moving.path("new/4")).empty());
    CHECK((facts_of(moving.path("new/5/mode")).st_mode & 07777) == 0600);
    CHECK((facts_of(moving.path("new/9")).st_mode & 07777) == 0700);
  };
  {
    std::list<Inside> inside;
    std::vector<int> at{inside.emplace_back(moving.path("e")).fd()};
    for (int n = 1; n <= 9; ++n)
      at.push_back(inside.emplace_back(moving.path("old/" + std::to_string(n))).fd());
    const auto write_over = [&] {
      return write_file(std::next(inside.begin(), 6)->path() / "over", "written over");
    };
    const auto cut = [&] {
      return outcome_of("truncate", ::truncate((std::next(inside.begin(), 7)->path() / "cut").c_str(), 3));
    };
    moving.begin();
    moving.meanwhile([&] { return outcome_of("unlink", ::unlinkat(at[1], "gone", 0)); });
    moving.meanwhile([&] { return outcome_of("rename", ::renameat(at[2], "out", at[0], "out")); });
    moving.meanwhile([&] { return outcome_of("mkdir", ::mkdirat(at[3], "made", 0755)); });
    moving.meanwhile([&] { return outcome_of("rmdir", ::unlinkat(at[4], "empty", AT_REMOVEDIR)); });
    moving.meanwhile([&] { return outcome_of("chmod", ::fchmodat(at[5], "mode", 0600, 0)); });
    moving.meanwhile([&] { return outcome_of("symlink", ::symlinkat("kept", at[8], "link")); });
    moving.meanwhile([&] { return outcome_of("chmod", ::fchmod(at[9], 0700)); });
    if (flags.empty()) {
      moving.meanwhile(write_over);
      moving.meanwhile(cut);
    } else {  // What is promised waits for nobody.
      CHECK(write_over() == kOk);
      CHECK(cut() == kOk);
    }
    moving.all_wait();
    moving.end();
  }
  CHECK(flush(*moving.mount) == 0);
  const Names files{"new/1/",     "new/2/",     "new/3/kept", "new/3/made/", "new/4/",
                    "new/5/mode", "new/6/over", "new/7/cut",  "new/8/kept",  "new/8/link",
                    "new/9/",     "new/a",      "new/b"};
  CHECK(moving.lake.keys("new") == files);
  CHECK(moving.lake.keys("old").empty());
  CHECK(moving.lake.keys("e") == Names{"e/other", "e/out", "e/stays"});
  CHECK(moving.lake.read("e/out") == "old/2/out");
  CHECK(moving.lake.read("new/6/over") == "written over");
  CHECK(moving.lake.read("new/7/cut") == "old");
  look_at();
  moving.mount->remount();
  look_at();
}

TEST_CASE("F1: Ctrl-C ends a close that waits for the rename of its directory, and the bytes go along") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Moving moving;
  Actor writer;
  moving.begin();
  REQUIRE(writer("open 1 w,creat " + moving.path("old/late").string()) == "ok");
  CHECK(writer("write 1 bytes") == "ok");
  writer.tell("close 1");
  CHECK(writer.answer(150ms) == "<no answer>");
  const auto began = std::chrono::steady_clock::now();
  writer.signal(SIGINT);
  CHECK(writer.wait() == 128 + SIGINT);
  CHECK(std::chrono::steady_clock::now() - began < 1s);
  CHECK(moving.mount->pending().contains("old/late"));
  moving.end();
  moving.is_there("late", "bytes");
}

TEST_CASE("rule 4: what was written in a directory while it was renamed goes with it over kill -9") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Moving moving;
  moving.begin();
  OpenFile late(moving.path("old/late"), O_WRONLY | O_CREAT);
  CHECK(late.write("late") == kOk);
  CHECK(late.sync() == kOk);
  const auto fault = moving.lake.server().add_fault(
      {.kind = Fault::Kind::kNeverAnswer, .operation = "delete_object", .path = "old/*", .times = 0});
  moving.held->release();
  CHECK(eventually([&] { return moving.lake.server().fired(fault) > 0; }));
  moving.mount->kill_hard([&] {
    late.close();
    moving.mover.join();
  });
  moving.lake.server().clear_faults();
  moving.mount->mount();
  moving.is_there("late", "late");
}

TEST_CASE("what is asked of a directory while one above it is renamed is answered by its new name") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"old/sub/c", "old/sub/deep/d"}) lake.put(key, key);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "20ms"}});
  const Inside inside(mount / "old/sub");
  std::this_thread::sleep_for(25ms);  // What a lookup asked for so lately is not asked for anew.
  const auto as_it_moves = [&](const char* asked, const std::function<void()>& question) {
    Gate gate = lake.server().hold("list_objects", asked);
    std::jthread asker(question);
    REQUIRE(gate.wait_for_arrivals(1));
    CHECK(rename_file(mount / "old", mount / "new") == kOk);
    CHECK(lake.keys("old").empty());
    gate.release();
  };
  SUBCASE("its names") {
    as_it_moves("old/sub/", [&] { CHECK(names_in(inside.path()) == Names{"c", "deep"}); });
  }
  SUBCASE("whether it is there") {
    as_it_moves("old/sub/deep/", [&] { CHECK(look(inside.path() / "deep") == kOk); });
  }
}

TEST_CASE("a listing of many pages goes on where its directory is by then") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Names names;
  for (int n = 1000; n < 2002; ++n) names.push_back(std::to_string(n));
  for (const std::string& name : names) lake.put("old/sub/" + name, "");
  Mounted mount(lake);
  const Inside inside(mount / "old/sub");
  std::this_thread::sleep_for(25ms);  // What a lookup asked for so lately is not asked for anew.
  Gate gate = lake.server().hold("list_objects", "old/sub/");
  Names told;
  std::jthread asker([&] { told = names_in(inside.path()); });
  REQUIRE(gate.wait_for_arrivals(1));
  gate.release_one();
  REQUIRE(gate.wait_for_arrivals(2));
  const Names rest{"1900", "2000", "2001"};
  for (const std::string& name : names)  // Nobody wants to wait for them.
    if (std::ranges::find(rest, name) == rest.end()) lake.remove("old/sub/" + name);
  CHECK(rename_file(mount / "old", mount / "new") == kOk);
  CHECK(lake.keys() == Names{"new/sub/1900", "new/sub/2000", "new/sub/2001"});
  gate.release();
  asker.join();
  CHECK((told == names || told == rest));  // Of the first page it may have asked anew.
  CHECK(look(inside.path() / "1900") == kOk);
}

TEST_CASE("R1: a file that is read goes on to be read while a directory above it is renamed") {
  TestLake lake({.presign = false});  // Reads go by the path.
  NEEDS_DOUBLE(lake);
  lake.put("old/f", "bytes");
  Mounted mount(lake);
  const OpenFile file(mount / "old/f", O_RDONLY | O_DIRECT);  // Else the kernel asks again.
  Gate gate = lake.server().hold("get_object", "old/f");
  std::jthread reader([&] { CHECK(file.read_all() == "bytes"); });
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(rename_file(mount / "old", mount / "new") == kOk);
  CHECK(lake.keys() == Names{"new/f"});
  gate.release();
}

TEST_CASE("W8: a file that is changed in part goes on from its version while a directory above is renamed") {
  TestLake lake({.presign = false});
  NEEDS_DOUBLE(lake);
  lake.put("old/f", "0123456789");
  Mounted mount(lake);
  OpenFile file(mount / "old/f", O_RDWR);
  CHECK(file.write_at(2, "ab") == kOk);
  Gate gate = lake.server().hold("get_object", "old/f");
  std::jthread reader([&] { CHECK(file.read_all() == "01ab456789"); });
  REQUIRE(gate.wait_for_arrivals(1));
  CHECK(rename_file(mount / "old", mount / "new") == kOk);
  CHECK(lake.keys() == Names{"new/f"});
  gate.release();
  reader.join();
  CHECK(file.close() == kOk);
  CHECK(lake.read("new/f") == "01ab456789");
}
