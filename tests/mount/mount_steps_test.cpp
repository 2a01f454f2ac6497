// W1, W3, W4 and rule 10 at each step, with --writeback and without: the mount is killed before each change
// that it makes to its local disk (in the middle of it, where it writes), and before and after each call to
// the lake; the disk loses what was not synced; and a recovery that is killed at any of its steps is made
// good by the next.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "tests/mount/fragile_disk.h"
#include "tests/mount/ledger.h"
#include "tests/mount/process.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

// Side by side: nearly all of a cycle is waiting.
constexpr int kThreads = 8;

// Runs `cycle` for 1 and on in strides, until one says that there was no such step.
void for_each_step(const std::function<bool(std::size_t)>& cycle, std::size_t stride = 1) {
  std::atomic<std::size_t> next = 1;
  std::atomic<bool> is_over = false;
  std::vector<std::jthread> threads;
  for (int n = 0; n < kThreads; ++n) {
    threads.emplace_back([&] {
      while (!is_over)
        if (!cycle(next.fetch_add(stride))) is_over = true;
    });
  }
}

// A lake, a mount on a disk that can fail, and what a writer was told.
class Cycle {
 public:
  // `mode`: --writeback or the like; empty: none.
  explicit Cycle(const std::string& mode = "") : mode_(mode) {
    ledgers_["w"].directory = {"a/"};
    ledgers_["w"].is_behind = is_behind();
    if (is_behind()) {
      ledgers_["w"].to_remove = {"w/removed"};
      lake.put("w/removed", "to be removed");
      ledgers_["w"].allowed["w/removed"] = {"to be removed"};
    }
    for (const char* file : {"x", "y", "z"}) lake.put(std::string("w/a/") + file, file);
    for (const char* file : {"w/old", "w/appended"}) {
      lake.put(file, "an old version");
      ledgers_["w"].allowed[file] = {"an old version"};
    }
  }

  void mount(const std::filesystem::path& state_dir) {
    mount_.reset();
    Arguments flags{"--temporary-age", "1h"};
    if (is_behind()) flags.push_back(mode_);
    mount_ = std::make_unique<Mounted>(lake, MountOptions{.flags = std::move(flags),
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
    if (is_behind()) {
      writer.write_before(LedgerWriter::Barrier::kEmpty);
      writer.write_before(LedgerWriter::Barrier::kRename);
      writer.write_before(LedgerWriter::Barrier::kRemoval);
      writer.overwrite("w/old", LedgerWriter::Sync::kNo);  // While it waits, or is on its way.
      writer.remove("w/old");
    }
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

  // Promises of all kinds, of which nothing comes to the lake.
  void leave_promises() {
    for (const char* change : {"store_put", "link_physical_address", "delete_object", "delete_objects"})
      lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .operation = change, .times = 0});
    LedgerWriter writer(mount_->at(), "w", 7, ledgers_["w"]);
    writer.overwrite("w/new", LedgerWriter::Sync::kNo);
    writer.overwrite("w/old", LedgerWriter::Sync::kYes);
    writer.append("w/appended", LedgerWriter::Sync::kNo);
    writer.save_by_rename("w/old");
    writer.remove("w/new");
    writer.write_before(LedgerWriter::Barrier::kEmpty);
    writer.write_before(LedgerWriter::Barrier::kRename);
    writer.write_before(LedgerWriter::Barrier::kRemoval);
    mount_->kill_hard();
    lake.server().clear_faults();
    check_lake();
  }

  // What is left can only wait, for a rename or a person.
  [[nodiscard]] bool is_settled() const {
    const auto kept = mount_->pending();
    return std::all_of(kept.begin(), kept.end(), [](const auto& file) {
      return file.second == "conflict" || (file.second == "held" && file.first.ends_with(".tmp"));
    });
  }

  void wait_for_end_or_rest() {
    CHECK(eventually([&] { return mount_->has_ended() || is_settled(); }, 20s));
  }

  // Mounts what a machine without power has left.
  void mount_after_power_cut(FragileDisk::Names names) {
    power_was_cut(ledgers_);
    mount(disk.cut_power(names));
  }

  // While no mount lives.
  void check_lake() {
    check_no_mixture(lake, ledgers_, When::kAnyTime);
    check_order(lake, ledgers_);
  }

  // After the last mount, which serves.
  void check() {
    check_shown(*mount_, ledgers_);
    CHECK(eventually([&] { return is_settled(); }, 20s));
    check_no_mixture(lake, ledgers_, When::kAllIsThere);
    check_order(lake, ledgers_);
    check_promises(lake, pending_of(*mount_), ledgers_);
    check_directories(lake, ledgers_);
  }

  TestLake lake;
  const FragileDisk disk;

 private:
  [[nodiscard]] bool is_behind() const { return !mode_.empty(); }

  const std::string mode_;
  std::map<std::string, Ledger> ledgers_;
  std::unique_ptr<Mounted> mount_;
};

// All steps and variants of them where LAKEFUSE_TEST_CRASHES asks for many.
bool is_thorough() {
  return asked_for("LAKEFUSE_TEST_CRASHES", 0) >= 1000;
}

// Without --writeback, and with it, where the steps, its two ways and two variants of each step come in
// turns.
using ModeCycle = std::function<bool(const std::string& mode, std::size_t n, bool variant)>;
void for_each_mode_and_step(const ModeCycle& cycle) {
  const auto in_turns = [&](const std::vector<std::string>& modes, std::size_t stride) {
    const auto at_step = [&](std::size_t n) {
      const std::size_t turn = n / stride;
      const std::string& mode = modes[turn % modes.size()];
      const bool variant = turn / modes.size() % 2 == 0;
      if (!is_thorough()) return cycle(mode, n, variant);
      for (const auto& each : modes)
        for (const bool other : {false, true})
          if (!cycle(each, n, other)) return false;
      return true;
    };
    for_each_step(at_step, stride);
  };
  in_turns({""}, 1);
  in_turns({"--writeback", "--writeback=all"}, is_thorough() ? 1 : 10);
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
  cycle.wait_for_end_or_rest();
  const bool is_reached = cycle.disk.is_reached();
  visited.add(cycle.disk.steps());
  cycle.disk.calm();
  cycle.mounted().kill_hard();
  cycle.check_lake();
  return is_reached;
}

// Recovers what was left until the n-th step on the disk, and then for good: false where there are fewer.
bool recover_until(Cycle& cycle, std::size_t n, Visited& visited) {
  cycle.disk.kill_at(n);
  if (cycle.mounted().try_mount()) cycle.wait_for_end_or_rest();
  const bool is_reached = cycle.disk.is_reached();
  visited.add(cycle.disk.steps());
  cycle.disk.calm();
  cycle.mounted().kill_hard();
  cycle.check_lake();
  cycle.mounted().mount();
  cycle.check();
  return is_reached;
}

}  // namespace

TEST_CASE(
    "W1, W3, W4: killed at any step that it takes on its disk, all that was promised is there afterwards") {
  if (wants_real_lake()) return;
  Visited visited;
  for_each_mode_and_step([&](const std::string& mode, std::size_t n, bool) {
    CAPTURE(mode);
    CAPTURE(n);
    Cycle cycle(mode);
    const bool is_reached = write_until(cycle, n, visited);
    cycle.mount(cycle.disk.state_dir());
    cycle.check();
    return is_reached;
  });
  visited.check({"create /ID/spool/ID.journal", "write /ID/spool/ID.journal", "sync /ID/spool/ID.journal",
                 "create /ID/spool/ID.json.new", "write /ID/spool/ID.json.new", "sync /ID/spool/ID.json.new",
                 "rename /ID/spool/ID.json", "create /ID/spool/ID.data", "truncate /ID/spool/ID.data",
                 "write /ID/spool/ID.data", "sync /ID/spool/ID.data", "sync /ID/spool",
                 "unlink /ID/spool/ID.data", "unlink /ID/spool/ID.json", "create /ID/spool/ID.rename.new",
                 "write /ID/spool/ID.rename.new", "sync /ID/spool/ID.rename.new",
                 "rename /ID/spool/ID.rename", "unlink /ID/spool/ID.rename"});
}

TEST_CASE("W3: a power cut at any step loses nothing that was synced, and brings nothing back") {
  if (wants_real_lake()) return;
  Visited visited;
  for_each_mode_and_step([&](const std::string& mode, std::size_t n, bool variant) {
    CAPTURE(mode);
    CAPTURE(n);
    CAPTURE(variant);
    Cycle cycle(mode);
    const bool is_reached = write_until(cycle, n, visited);
    cycle.mount_after_power_cut(variant ? FragileDisk::Names::kSynced : FragileDisk::Names::kAll);
    cycle.check();
    return is_reached;
  });
}

TEST_CASE(
    "W1, W3, W4: killed before or after any call to the lake, all that was promised is there afterwards") {
  if (wants_real_lake()) return;
  Visited visited;
  for_each_mode_and_step([&](const std::string& mode, std::size_t n, bool is_done_first) {
    CAPTURE(mode);
    CAPTURE(n);
    CAPTURE(is_done_first);
    Cycle cycle(mode);
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
    CHECK(eventually([&] { return server.fired(fault) > 0 || (is_through && cycle.is_settled()); }, 30s));
    const bool is_reached = server.fired(fault) > 0;
    if (is_done_first) std::this_thread::sleep_for(50ms);  // So that it is done.
    cycle.mounted().kill_hard([&] { writer.join(); });
    server.clear_faults();
    cycle.check_lake();
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
      return recover_until(cycle, n, visited);
    });
    visited.check({"create /ID/lock", "unlink /ID/spool/ID.data", "unlink /ID/spool/ID.json",
                   "unlink /ID/spool/ID.rename"});
  }
}

TEST_CASE("--writeback: a recovery that is killed at any of its steps is made good by the next") {
  if (wants_real_lake()) return;
  Visited visited;
  const auto cycle = [&](std::size_t n) {
    CAPTURE(n);
    Cycle cycle("--writeback=all");
    cycle.mount(cycle.disk.state_dir());
    cycle.leave_promises();
    return recover_until(cycle, n, visited);
  };
  for_each_step(cycle, is_thorough() ? 1 : 3);
  visited.check({"create /ID/spool/ID.removals", "write /ID/spool/ID.removals", "sync /ID/spool/ID.removals",
                 "unlink /ID/spool/ID.removals", "unlink /ID/spool/ID.data", "unlink /ID/spool/ID.json"});
}
