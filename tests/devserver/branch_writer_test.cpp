// Staging over commits, and the gaps in it out of which false 412s come.
#include "tests/devserver/branch_writer.h"

#include <doctest/doctest.h>

#include <future>
#include <thread>

#include "tests/devserver/committer.h"
#include "tests/devserver/listing.h"

namespace lakefuse::test::devserver {
namespace {

using std::chrono::milliseconds;

struct Bench {
  Bench() : repository({"lake", "s3://bucket/lake", "main", 0}, nullptr) {
    const CommitPtr first = first_commit(0);
    repository.add_commit(first);
    repository.restore_branch({"main", first->id, new_token("main"), {}, false});
  }

  static EntryPtr entry(const std::string& path, const std::string& checksum = "c",
                        const std::string& address = "data/1") {
    auto made = std::make_shared<Entry>();
    made->path = path;
    made->checksum = checksum;
    made->address = address;
    return made;
  }
  BranchWriter writer(RaceWindows windows = {}) { return {repository, sleeper, windows}; }
  Committer committer(RaceWindows windows = {}) { return {repository, sleeper, windows}; }
  void commit(RaceWindows windows = {}) { committer(windows).commit("main", {"m", {}, "me", 0, false}); }
  EntryPtr find(const std::string& path, const std::string& ref = "main") {
    return repository.find(repository.view(ref), path);
  }
  // What the branch's commit has at `path`, by address; empty: nothing.
  std::string committed(const std::string& path) {
    const EntryPtr found = find(path, "main@");
    return found == nullptr ? "" : found->address;
  }
  static int status_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const ApiError& error) {
      return error.status;
    }
    return 200;
  }

  Repository repository;
  Sleeper sleeper;
};

TEST_CASE("a write is read at once, and is in the commit only after a commit") {
  Bench bench;
  bench.writer().set("main", bench.entry("a"), false);
  CHECK(bench.find("a") != nullptr);
  CHECK(bench.committed("a") == "");
  bench.commit();
  CHECK(bench.committed("a") == "data/1");
  bench.writer().remove("main", "a", false);
  CHECK(bench.find("a") == nullptr);
  CHECK(bench.committed("a") == "data/1");
  bench.commit();
  CHECK(bench.committed("a") == "");
}

TEST_CASE("a conditional write fails on a staged, a sealed and a committed entry, and not on a deleted one") {
  Bench bench;
  const auto create = [&] {
    return bench.status_of([&] { bench.writer().set("main", bench.entry("a"), true); });
  };
  CHECK(create() == 200);
  CHECK(create() == 412);
  bench.commit();
  CHECK(create() == 412);
  bench.writer().remove("main", "a", false);
  CHECK(create() == 200);
  const std::string token = bench.writer().seal_with("main", bench.entry("b"));
  CHECK(bench.status_of([&] { bench.writer().set("main", bench.entry("b"), true); }) == 412);
  bench.writer().drop_sealed("main", token);
  CHECK(bench.status_of([&] { bench.writer().set("main", bench.entry("b"), true); }) == 200);
}

TEST_CASE("of many conditional writes of one name exactly one wins") {
  Bench bench;
  for (int round = 0; round < 50; ++round) {
    const std::string path = "p" + std::to_string(round);
    std::atomic<int> won{0};
    std::vector<std::thread> racers;
    for (int i = 0; i < 4; ++i)
      racers.emplace_back([&] {
        if (bench.status_of([&] { bench.writer().set("main", bench.entry(path), true); }) == 200) ++won;
      });
    for (std::thread& racer : racers) racer.join();
    CHECK(won == 1);
  }
}

TEST_CASE("the same content linked again is no change: the old record stays") {
  Bench bench;
  bench.writer().set("main", bench.entry("a", "c", "data/1"), false);
  bench.commit();
  bench.writer().set("main", bench.entry("a", "c", "data/2"), false);
  CHECK(bench.find("a")->address == "data/2");
  CHECK(uncommitted(bench.repository, "main").empty());
  CHECK(bench.status_of([&] { bench.commit(); }) == 400);
  bench.writer().set("main", bench.entry("b"), false);
  bench.commit();
  CHECK(bench.committed("a") == "data/1");
}

TEST_CASE("false 412, first form: sealed after our write, the value is in the commit") {
  Bench bench;
  RaceWindows slow_link;
  slow_link.after_write = milliseconds(150);
  auto linked = std::async(std::launch::async, [&] {
    return bench.status_of([&] { bench.writer(slow_link).set("main", bench.entry("a"), true); });
  });
  while (bench.find("a") == nullptr) std::this_thread::yield();
  RaceWindows slow_commit;
  slow_commit.ending = milliseconds(400);
  bench.commit(slow_commit);
  CHECK(linked.get() == 412);
  CHECK(bench.committed("a") == "data/1");
}

TEST_CASE("false 412, second form: written behind the walk, seen for a while, then gone with the token") {
  Bench bench;
  bench.writer().set("main", bench.entry("z"), false);
  RaceWindows slow_link;
  slow_link.before_write = milliseconds(150);
  auto linked = std::async(std::launch::async, [&] {
    return bench.status_of([&] { bench.writer(slow_link).set("main", bench.entry("a"), true); });
  });
  std::this_thread::sleep_for(milliseconds(40));  // The link has looked, and has not written.
  RaceWindows slow_commit;
  slow_commit.ending = milliseconds(500);
  auto committed = std::async(std::launch::async, [&] { bench.commit(slow_commit); });
  CHECK(linked.get() == 412);
  CHECK(bench.find("a") != nullptr);
  committed.get();
  CHECK(bench.find("a") == nullptr);
  CHECK(bench.committed("a") == "");
}

// On lakeFS 1.84, sixty-four clients deleting beside a committer: of 6,279 removals of committed objects none
// was undone, of 26,636 of objects that no commit had 89 were.
TEST_CASE("a removal behind a commit's walk stays where a commit had the object, and else is undone") {
  Bench bench;
  bench.writer().set("main", bench.entry("old", "c", "data/1"), false);
  bench.commit();
  bench.writer().set("main", bench.entry("old", "d", "data/2"), false);
  bench.writer().set("main", bench.entry("new"), false);
  const std::string token = bench.repository.branch("main").staging_token;
  bench.committer().commit("main", {"m", {}, "me", 0, false}, [&] {
    for (const std::string path : {"old", "new"}) {
      bench.repository.staging().set(token, path, nullptr);  // The first try ...
      bench.writer().remove("main", path, false);            // ... and the second, in the new token.
      CHECK(bench.find(path) == nullptr);
    }
  });
  CHECK(bench.find("old") == nullptr);
  CHECK(bench.find("new") != nullptr);
  bench.writer().remove("main", "new", false);
  CHECK(bench.find("new") == nullptr);
  bench.commit();
  CHECK(bench.committed("old") == "");
  CHECK(bench.committed("new") == "");
}

TEST_CASE("without a tombstone only what neither a commit nor a sealed token has leaves no trace") {
  Bench bench;
  const auto record = [&](const std::string& path) {
    return bench.repository.staging().get(bench.repository.branch("main").staging_token, path);
  };
  bench.writer().set("main", bench.entry("committed"), false);
  bench.commit();
  const std::string sealed = bench.writer().seal_with("main", bench.entry("sealed"));
  bench.writer().set("main", bench.entry("staged"), false);
  for (const std::string path : {"committed", "sealed", "staged"}) {
    CAPTURE(path);
    bench.writer().remove("main", path, true);
    CHECK(bench.find(path) == nullptr);
    CHECK(record(path).has_value() == (path != "staged"));
  }
}

TEST_CASE("with commits in a loop some conditional writes get a false 412, and no acknowledged one is lost") {
  Bench bench;
  const RaceWindows real = RaceWindows::real();
  std::atomic<bool> done{false};
  std::thread committing([&] {
    while (!done) bench.status_of([&] { bench.commit(real); });
  });
  int refused = 0;
  std::vector<std::string> acknowledged;
  constexpr int kWrites = 400;
  for (int i = 0; i < kWrites; ++i) {
    const std::string path = "p" + std::to_string(i);
    const int status = bench.status_of([&] { bench.writer(real).set("main", bench.entry(path), true); });
    if (status == 412) ++refused;
    if (status == 200) acknowledged.push_back(path);
  }
  done = true;
  committing.join();
  CHECK(refused > kWrites / 100);
  CHECK(refused < kWrites / 2);
  for (const std::string& path : acknowledged) CHECK(bench.find(path) != nullptr);
  MESSAGE("false 412s: ", refused, " of ", kWrites);
}

TEST_CASE("reset forgets one object, a prefix, or all that is staged") {
  Bench bench;
  bench.writer().set("main", bench.entry("d/a", "old"), false);
  bench.commit();
  for (const char* path : {"d/a", "d/b", "e"}) bench.writer().set("main", bench.entry(path, "new"), false);
  bench.writer().reset_object("main", "d/a");
  CHECK(bench.find("d/a")->checksum == "old");
  bench.writer().reset_prefix("main", "d/");
  CHECK(bench.find("d/b") == nullptr);
  CHECK(bench.find("e") != nullptr);
  bench.writer().reset("main");
  CHECK(bench.find("e") == nullptr);
}

TEST_CASE("a listing walks staged over committed, page by page, with common prefixes") {
  Bench bench;
  for (int i = 0; i < 700; ++i)
    bench.writer().set("main", bench.entry("d/" + std::to_string(10000 + i)), false);
  bench.writer().set("main", bench.entry("e"), false);
  bench.commit();
  bench.writer().remove("main", "d/10003", false);
  bench.writer().set("main", bench.entry("d-"), false);
  const auto paths = [&](const std::string& prefix, const std::string& delimiter, const std::string& after,
                         std::size_t n) {
    std::string all;
    for (const Listed& item :
         list(bench.repository, bench.repository.view("main"), prefix, delimiter, after, n).items)
      all += item.path + " ";
    return all;
  };
  CHECK(paths("", "/", "", 10) == "d- d/ e ");
  CHECK(paths("", "/", "d/", 10) == "e ");
  CHECK(paths("d/", "/", "d/10001", 2) == "d/10002 d/10004 ");
  CHECK(list(bench.repository, bench.repository.view("main"), "d/", "", "", 1000).items.size() == 699);
}

TEST_CASE("a merge takes what one side changed, and stops at what both did") {
  Bench bench;
  bench.writer().set("main", bench.entry("a", "1"), false);
  bench.commit();
  bench.repository.create_branch("dev", "main", false);
  bench.writer().set("dev", bench.entry("a", "dev"), false);
  bench.writer().set("dev", bench.entry("b", "dev"), false);
  bench.committer().commit("dev", {"m", {}, "me", 0, false});
  CHECK(bench.committer().merge("dev", "main", {}) != nullptr);
  CHECK(bench.find("a")->checksum == "dev");
  CHECK(bench.status_of([&] { bench.committer().merge("dev", "main", {}); }) == 400);
  for (const char* branch : {"dev", "main"}) {
    bench.writer().set(branch, bench.entry("a", branch + std::string("-again")), false);
    bench.committer().commit(branch, {"m", {}, "me", 0, false});
  }
  CHECK(bench.committer().merge("dev", "main", {}) == nullptr);
  MergeRequest wins;
  wins.strategy = MergeRequest::Strategy::kSourceWins;
  CHECK(bench.committer().merge("dev", "main", wins) != nullptr);
  CHECK(bench.find("a")->checksum == "dev-again");
}

}  // namespace
}  // namespace lakefuse::test::devserver
