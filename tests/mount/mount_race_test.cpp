// W5 and W8 under load: many threads, several mounts, and a client that commits in a loop.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <mutex>
#include <random>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

// Another client, which commits again and again until it goes.
class Committer {
 public:
  explicit Committer(TestLake& lake)
      : thread_([this, &lake](const std::stop_token& stop) {
          for (int n = 0; !stop.stop_requested(); ++n) {
            lake.put("committer", std::to_string(n));  // So that there is something to commit.
            if (!lake.commit().empty()) ++commits_;
            std::this_thread::sleep_for(2ms);
          }
        }) {}
  [[nodiscard]] int commits() const { return commits_; }

 private:
  std::atomic<int> commits_{0};
  std::jthread thread_;
};

// Failures of all threads; doctest's checks come when they are done.
class Complaints {
 public:
  void add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (texts_.size() < 20) texts_.push_back(what);
  }
  void expect(const std::string& act, const std::string& got, const std::string& expected = kOk) {
    if (got != expected) add(act + " came to " + got.substr(0, 80));
  }
  [[nodiscard]] std::string all() {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& each : texts_) text += each + "\n";
    return text;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> texts_;
};

using Files = std::map<std::string, std::string>;

// One program: creates, overwrites, appends, renames, removes and reads names that are only its own, and
// reads what all share. Answers what must be on the lake in the end.
Files work(const std::filesystem::path& at, const std::string& who, unsigned seed, int steps,
           const std::string& shared, Complaints& complaints) {
  std::mt19937 dice(seed);
  Files mine;
  const auto a_name = [&] { return who + "-" + std::to_string(dice() % 5); };
  for (int step = 0; step < steps; ++step) {
    const std::string name = a_name();
    const bool is_there = mine.contains(name);
    const std::string bytes = pattern(dice() % 20'000, dice());
    const std::string act = who + " step " + std::to_string(step) + " on " + name;
    switch (dice() % 7) {
      case 0:
        complaints.expect(act + ": create", write_file(at / name, bytes, O_EXCL),
                          is_there ? "open: EEXIST" : kOk);
        if (!is_there) mine[name] = bytes;
        break;
      case 1:
        complaints.expect(act + ": overwrite", write_file(at / name, bytes));
        mine[name] = bytes;
        break;
      case 2:
        complaints.expect(act + ": append", write_file(at / name, bytes, O_APPEND));
        mine[name] += bytes;
        break;
      case 3: {
        const std::string to = a_name();
        if (to == name) break;
        complaints.expect(act + ": rename to " + to, rename_file(at / name, at / to),
                          is_there ? kOk : "rename: ENOENT");
        if (!is_there) break;
        mine[to] = mine[name];
        mine.erase(name);
        break;
      }
      case 4:
        complaints.expect(act + ": unlink", remove_file(at / name), is_there ? kOk : "unlink: ENOENT");
        mine.erase(name);
        break;
      case 5:
        if (const auto got = read_file(at / name); got != (is_there ? mine[name] : "<open: ENOENT>"))
          complaints.add(act + ": read other bytes, or: " + got.substr(0, 40));
        break;
      default:
        if (const auto got = read_file(at / "shared"); got != shared)
          complaints.add(act + ": what is shared has other bytes, or: " + got.substr(0, 40));
    }
  }
  return mine;
}

// `threads` workers, spread over the mounts; then the lake is asked whether all of it is true.
void mixed_work(TestLake& lake, const std::vector<std::filesystem::path>& mounts, int threads, int steps) {
  const std::string shared = pattern(300'000, 99);
  lake.put("shared", shared);
  for (const auto& at : mounts) {  // R3.
    REQUIRE(eventually([&] { return look(at / "shared") == kOk; }));
  }
  Complaints complaints;
  std::vector<Files> files(static_cast<std::size_t>(threads));
  std::vector<std::jthread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] {
      files[static_cast<std::size_t>(i)] =
          work(mounts[static_cast<std::size_t>(i) % mounts.size()], "w" + std::to_string(i),
               static_cast<unsigned>(i) + 1, steps, shared, complaints);
    });
  }
  workers.clear();
  CHECK(complaints.all() == "");
  std::vector<std::string> expected{"shared"};
  for (const auto& mine : files) {
    for (const auto& [name, bytes] : mine) {
      CAPTURE(name);
      CHECK((lake.read(name) == bytes));
      expected.push_back(name);
    }
  }
  std::sort(expected.begin(), expected.end());
  auto keys = lake.keys();
  std::erase(keys, "committer");
  CHECK(keys == expected);
}

}  // namespace

TEST_CASE("W8: 32 threads of mixed work, and the lake holds exactly what each of them wrote") {
  TestLake lake;
  Mounted mount(lake, {.patience = 80s});
  mixed_work(lake, {mount.at()}, 32, 30);
  CHECK(mount.pending().empty());
}

TEST_CASE("W8: two mounts on one branch at work while another client commits, and nothing is lost") {
  TestLake lake({.races = true});
  Mounted one(lake, {.patience = 80s});
  Mounted two(lake, {.patience = 80s});
  const Committer committer(lake);
  mixed_work(lake, {one.at(), two.at()}, 8, 30);
  CHECK(committer.commits() > 3);
  CHECK(one.pending().empty());
  CHECK(two.pending().empty());
  CHECK(write_file(one / "from one", "1") == kOk);
  CHECK(eventually([&] { return read_file(two / "from one") == "1"; }, 3s));  // R3.
}

// Rule 3: lakeFS acknowledges a removal that a commit which is just beginning undoes, where no commit had the
// object before. Then the mount tells the truth, and the next removal is for good.
TEST_CASE("rule 3: whoever writes anew what a commit brought back just now hears nothing of it") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  for (const std::string name : {"created", "written", "appended", "target"}) {
    REQUIRE(write_file(mount / name, "old") == kOk);
    lake.server().add_fault({.kind = Fault::Kind::kLateRemoval, .operation = "delete_object", .path = name});
    CHECK(remove_file(mount / name) == kOk);
    REQUIRE(lake.read(name) == "old");
  }
  CHECK(write_file(mount / "created", "1", O_EXCL) == kOk);
  CHECK(write_file(mount / "written", "2") == kOk);
  CHECK(write_file(mount / "appended", "3", O_APPEND) == kOk);
  REQUIRE(write_file(mount / "source", "4") == kOk);
  CHECK(rename_file(mount / "source", mount / "target") == kOk);
  CHECK(lake.read("created") + lake.read("written") + lake.read("appended") + lake.read("target") == "1234");
  CHECK(mount.pending().empty());
}

TEST_CASE("rule 3: a file whose removal a commit undid is there again, and is removed as any other") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  REQUIRE(write_file(mount / "a", "1") == kOk);
  lake.server().add_fault({.kind = Fault::Kind::kLateRemoval, .operation = "delete_object"});
  CHECK(remove_file(mount / "a") == kOk);
  REQUIRE(lake.read("a") == "1");
  CHECK(eventually([&] { return read_file(mount / "a") == "1"; }));  // R3.
  CHECK(write_file(mount / "a", "2", O_EXCL) == "open: EEXIST");
  CHECK(write_file(mount / "a", "2", O_APPEND) == kOk);
  CHECK(lake.read("a") == "12");
  CHECK(remove_file(mount / "a") == kOk);
  CHECK(lake.keys().empty());
  REQUIRE(lake.commit() != "");
  CHECK(lake.keys().empty());
  CHECK(write_file(mount / "a", "3", O_EXCL) == kOk);
  CHECK(lake.read("a") == "3");
}

TEST_CASE("W5: of 16 racing O_EXCL creates over 4 mounts exactly one wins, commits running, 200 rounds") {
  TestLake lake({.races = true});
  std::vector<std::unique_ptr<Mounted>> mounts;
  for (int i = 0; i < 4; ++i)
    mounts.push_back(std::make_unique<Mounted>(lake, MountOptions{.patience = 85s}));
  const Committer committer(lake);
  constexpr int kRacers = 16;
  const auto began = Clock::now();
  for (int round = 0; round < 200 && Clock::now() - began < 80s; ++round) {
    // Half of them are decided at open, by a claim, half of them at close.
    const std::string name = "race" + std::to_string(round) + (round % 2 == 0 ? ".lock" : "");
    std::vector<Outcome> came_to(kRacers);
    {
      std::barrier start(kRacers);
      std::vector<std::jthread> racers;
      for (std::size_t i = 0; i < kRacers; ++i) {
        racers.emplace_back([&, i] {
          start.arrive_and_wait();
          came_to[i] = write_file(*mounts[i % 4] / name, "racer " + std::to_string(i), O_EXCL);
        });
      }
    }
    std::string winners;
    for (std::size_t i = 0; i < kRacers; ++i) {
      if (came_to[i] == kOk) winners += "racer " + std::to_string(i);
      const bool is_fair = came_to[i] == kOk || came_to[i].ends_with(": EEXIST");
      CHECK_MESSAGE(is_fair, "round " << round << ", racer " << i << ": " << came_to[i]);
    }
    INFO("round ", round);
    REQUIRE(lake.read(name) == winners);
  }
  CHECK(Clock::now() - began < 80s);
  MESSAGE("200 rounds beside " << committer.commits() << " commits");
}

TEST_CASE("W5: a name used as a lock over 4 mounts lets no two inside at once, commits running") {
  TestLake lake({.races = true});
  std::vector<std::unique_ptr<Mounted>> mounts;
  for (int i = 0; i < 4; ++i)
    mounts.push_back(std::make_unique<Mounted>(lake, MountOptions{.patience = 60s}));
  const Committer committer(lake);
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  std::atomic<int> holds{0};
  std::atomic<int> lost{
      0};  // The server ran the removal by the holder before once more, beside a commit (rule 3).
  Complaints complaints;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&, i] {
        const auto path = *mounts[static_cast<std::size_t>(i)] / "x.lock";
        const auto end = Clock::now() + 20s;
        while (Clock::now() < end) {
          OpenFile lock(path, O_WRONLY | O_CREAT | O_EXCL);
          if (lock.opened() != kOk) {
            complaints.expect("open", lock.opened(), "open: EEXIST");
            std::this_thread::sleep_for(5ms);
            continue;
          }
          if (++inside != 1) ++overlaps;
          ++holds;
          complaints.expect("write", lock.write("client " + std::to_string(i)));
          complaints.expect("close", lock.close());
          std::this_thread::sleep_for(2ms);
          --inside;
          const Outcome removed = remove_file(path);
          if (removed == "unlink: ENOENT")
            ++lost;
          else
            complaints.expect("unlink", removed);
        }
      });
    }
  }
  CHECK(complaints.all() == "");
  CHECK(overlaps == 0);
  CHECK(holds > 20);
  CHECK(lost * 50 <= holds);
  // A commit may bring a removed lock back (rule 3): then nobody gets in any more, which is no overlap.
  WARN(lake.read("x.lock") == "<none>");
  MESSAGE(holds.load() << " holds beside " << committer.commits() << " commits");
}
