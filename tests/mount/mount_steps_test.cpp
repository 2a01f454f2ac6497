// W1, W3 and W4 at each step: the mount is killed before each change that it makes to its local disk (in the
// middle of it, where it writes), and before and after each call to the lake; the disk loses what was not
// synced; and a recovery that is killed at any of its steps is made good by the next.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "tests/mount/fragile_disk.h"
#include "tests/mount/ledger.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Names = FragileDisk::Names;

// Side by side: nearly all of a cycle is waiting.
constexpr int kThreads = 8;

// Runs `cycle` for 1, 2, 3, ... until one says that there was no such step.
void for_each_step(const std::function<bool(std::size_t)>& cycle) {
  std::atomic<std::size_t> next = 1;
  std::atomic<bool> is_over = false;
  std::vector<std::jthread> threads;
  for (int n = 0; n < kThreads; ++n) {
    threads.emplace_back([&] {
      while (!is_over)
        if (!cycle(next++)) is_over = true;
    });
  }
}

// A lake, a mount on a disk that can fail, and what a writer was told.
class Cycle {
 public:
  Cycle() {
    ledgers_["w"].directory = {"a/"};
    for (const char* file : {"x", "y", "z"}) lake.put(std::string("w/a/") + file, file);
    for (const char* file : {"w/old", "w/appended"}) {
      lake.put(file, "an old version");
      ledgers_["w"].allowed[file] = {"an old version"};
    }
  }

  void mount(const std::filesystem::path& state_dir) {
    mount_.reset();
    mount_ = std::make_unique<Mounted>(lake, MountOptions{.flags = {"--temporary-age", "1h"},
                                                          .state_dir = state_dir,
                                                          .environment = disk.environment(),
                                                          .patience = 120s,
                                                          .may_end_hard = true});
  }
  Mounted& mounted() { return *mount_; }

  // Every way by which bytes come to the lake, and names of it change.
  void write_all_ways() {
    LedgerWriter writer(mount_->at(), "w", 7, ledgers_["w"]);
    writer.overwrite("w/new", LedgerWriter::Sync::kYes);
    writer.overwrite("w/old", LedgerWriter::Sync::kYes);
    writer.append("w/appended", LedgerWriter::Sync::kYes);
    writer.save_by_rename("w/old");
    writer.claim("w/my.lock");
    writer.remove("w/new");
    writer.rename_directory();
  }

  // The same, of which nothing comes to the lake, and some is left open: killed while the directory is
  // renamed.
  void leave_all_kinds(const std::string& rename_hangs_in) {
    LedgerWriter writer(mount_->at(), "w", 7, ledgers_["w"]);
    OpenFile claimed(mount_->at() / "w/my.lock", O_WRONLY | O_CREAT | O_EXCL);
    lake.server().add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .times = 0, .status = 403});
    writer.overwrite("w/new", LedgerWriter::Sync::kYes);
    writer.append("w/appended", LedgerWriter::Sync::kYes);
    writer.save_by_rename("w/saved");
    writer.overwrite("w/old", LedgerWriter::Sync::kYes);
    const auto fault = lake.server().add_fault(
        {.kind = Fault::Kind::kNeverAnswer, .operation = rename_hangs_in, .nth = 2, .times = 0});
    std::jthread renamer([&] { writer.rename_directory(); });
    CHECK(eventually([&] { return lake.server().fired(fault) > 0; }));
    mount_->kill_hard([&] {
      renamer.join();
      claimed.close();
    });
    lake.server().clear_faults();
  }

  // What is left can only wait, for a rename or a person.
  [[nodiscard]] bool is_settled() const {
    const auto kept = mount_->pending();
    return std::all_of(kept.begin(), kept.end(), [](const auto& file) {
      return file.second == "conflict" || (file.second == "held" && file.first.ends_with(".tmp"));
    });
  }

  // After the last mount, which serves.
  void check() {
    CHECK(eventually([&] { return is_settled(); }, 20s));
    check_no_mixture(lake, ledgers_);
    check_promises(lake, pending_of(*mount_), ledgers_);
    check_directories(lake, ledgers_);
  }

  TestLake lake;
  const FragileDisk disk;

 private:
  std::map<std::string, Ledger> ledgers_;
  std::unique_ptr<Mounted> mount_;
};

// Two variants of each step: one of them here, in turns; both where LAKEFUSE_TEST_CRASHES asks for many.
bool is_thorough() {
  const char* const wanted = std::getenv("LAKEFUSE_TEST_CRASHES");
  return wanted != nullptr && std::atoi(wanted) >= 1000;
}

void for_each_step_and_variant(const std::function<bool(std::size_t n, bool variant)>& cycle) {
  for_each_step(
      [&](std::size_t n) { return cycle(n, n % 2 == 0) && (!is_thorough() || cycle(n, n % 2 != 0)); });
}

// All steps that were taken, of whatever kind; safe to use from many threads at once.
class Visited {
 public:
  void add(const std::vector<std::string>& steps) {
    const std::lock_guard lock(mutex_);
    seen_.insert(steps.begin(), steps.end());
  }
  void check(const std::set<std::string>& expected) const {
    for (const auto& step : expected) {
      CAPTURE(step);
      CHECK(seen_.contains(step));
    }
  }

 private:
  std::mutex mutex_;
  std::set<std::string> seen_;  // Guarded by mutex_.
};

// Writes in all ways until the n-th step on the disk: false where there are fewer.
bool write_until(Cycle& cycle, std::size_t n, Visited& visited) {
  cycle.mount(cycle.disk.state_dir());
  cycle.disk.kill_at(n);
  cycle.write_all_ways();
  const bool is_reached = cycle.disk.is_reached();
  visited.add(cycle.disk.steps());
  cycle.disk.calm();
  cycle.mounted().kill_hard();
  return is_reached;
}

}  // namespace

TEST_CASE(
    "W1, W3, W4: killed at any step that it takes on its disk, all that was promised is there afterwards") {
  if (wants_real_lake()) return;
  Visited visited;
  for_each_step([&](std::size_t n) {
    Cycle cycle;
    const bool is_reached = write_until(cycle, n, visited);
    cycle.mount(cycle.disk.state_dir());
    cycle.check();
    return is_reached;
  });
  visited.check({"create /ID/spool/ID.json.new", "write /ID/spool/ID.json.new", "sync /ID/spool/ID.json.new",
                 "rename /ID/spool/ID.json", "create /ID/spool/ID.data", "truncate /ID/spool/ID.data",
                 "write /ID/spool/ID.data", "sync /ID/spool/ID.data", "sync /ID/spool",
                 "unlink /ID/spool/ID.data", "unlink /ID/spool/ID.json", "create /ID/spool/ID.rename.new",
                 "write /ID/spool/ID.rename.new", "sync /ID/spool/ID.rename.new",
                 "rename /ID/spool/ID.rename", "unlink /ID/spool/ID.rename"});
}

TEST_CASE("W3: a power cut at any step loses nothing that was synced, and brings nothing back") {
  if (wants_real_lake()) return;
  Visited visited;
  for_each_step_and_variant([&](std::size_t n, bool variant) {
    Cycle cycle;
    const bool is_reached = write_until(cycle, n, visited);
    cycle.mount(cycle.disk.cut_power(variant ? Names::kSynced : Names::kAll));
    cycle.check();
    return is_reached;
  });
}

TEST_CASE(
    "W1, W3, W4: killed before or after any call to the lake, all that was promised is there afterwards") {
  if (wants_real_lake()) return;
  Visited visited;
  for_each_step_and_variant([&](std::size_t n, bool is_done_first) {
    Cycle cycle;
    cycle.mount(cycle.disk.state_dir());
    DevServer& server = cycle.lake.server();
    server.clear_log();
    const auto fault =
        server.add_fault({.kind = is_done_first ? Fault::Kind::kStallAfter : Fault::Kind::kNeverAnswer,
                          .nth = static_cast<std::uint32_t>(n),
                          .times = 0,
                          .delay = 60s});
    std::atomic<bool> is_through = false;
    std::jthread writer([&] {
      cycle.write_all_ways();
      is_through = true;
    });
    CHECK(eventually([&] { return is_through || server.fired(fault) > 0; }, 30s));
    const bool is_reached = server.fired(fault) > 0;
    if (is_done_first) std::this_thread::sleep_for(50ms);  // So that it is done.
    cycle.mounted().kill_hard([&] { writer.join(); });
    server.clear_faults();
    std::vector<std::string> called;
    for (const auto& call : server.calls()) called.push_back(call.operation);
    visited.add(called);
    cycle.mount(cycle.disk.state_dir());
    cycle.check();
    return is_reached;
  });
  visited.check({"get_physical_address", "store_put", "link_physical_address", "stat_object", "list_objects",
                 "copy_object", "delete_object"});
}

TEST_CASE("W3, W4: a recovery that is killed at any of its steps is made good by the next") {
  if (wants_real_lake()) return;
  for (const std::string rename_hangs_in : {"copy_object", "delete_object"}) {
    CAPTURE(rename_hangs_in);
    Visited visited;
    for_each_step([&](std::size_t n) {
      Cycle cycle;
      cycle.mount(cycle.disk.state_dir());
      cycle.leave_all_kinds(rename_hangs_in);
      cycle.disk.kill_at(n);
      if (cycle.mounted().try_mount())
        std::ignore = eventually([&] { return cycle.mounted().has_ended() || cycle.is_settled(); });
      const bool is_reached = cycle.disk.is_reached();
      visited.add(cycle.disk.steps());
      cycle.disk.calm();
      cycle.mounted().kill_hard();
      cycle.mounted().mount();
      cycle.check();
      return is_reached;
    });
    visited.check({"create /ID/lock", "unlink /ID/spool/ID.data", "unlink /ID/spool/ID.json",
                   "unlink /ID/spool/ID.rename"});
  }
}
