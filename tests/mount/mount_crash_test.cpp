// W1, W3, W4 and rule 10 under kill -9, at random moments and in the middle of every kind of call, without
// --writeback and with it in turns. Some 50 times here; LAKEFUSE_TEST_CRASHES says how often else.

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "tests/mount/ledger.h"
#include "tests/mount/process.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

int wanted_crashes() {
  return static_cast<int>(asked_for("LAKEFUSE_TEST_CRASHES", 50));
}

// What is put there to be removed in that cycle.
std::string gone_in(int cycle) {
  return "/gone-" + std::to_string(cycle) + "-";
}

// From the start of the next mount until it serves. One may have waited for a machine that does other things;
// half of them did not. A sanitizer's program takes its own time.
void check_times(std::vector<std::chrono::milliseconds> recoveries) {
  REQUIRE_FALSE(recoveries.empty());
  std::sort(recoveries.begin(), recoveries.end());
  const auto median = recoveries[recoveries.size() / 2], slowest = recoveries.back();
  MESSAGE("recovery took " << median / 1ms << " ms in the middle, at most " << slowest / 1ms << " ms");
  if (!Mounted::is_of_this_build()) return;
  CHECK(median < 2s);
  CHECK(slowest < 10s);
}

}  // namespace

TEST_CASE("W1, W3, W4: killed at any moment and at any step, all that was promised is there afterwards") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  // Where the mount is killed: while such a call is on its way, or, for "", at a random moment.
  const std::vector<std::string> steps{"", "get_physical_address", "store_put",   "link_physical_address",
                                       "", "stat_object",          "copy_object", "delete_object",
                                       "", "list_objects"};
  const std::vector<Arguments> modes{{}, {"--writeback"}, {"--writeback=all"}};
  std::map<std::string, Ledger> ledgers;
  for (const std::string name : {"w0", "w1", "w2"}) {
    ledgers[name].directory = {"a/"};
    for (const char* file : {"x", "y", "z"}) lake.put(name + "/a/" + file, file);
  }
  Mounted mount(lake, {.patience = std::chrono::seconds(60 + 10 * wanted_crashes())});
  std::mt19937 dice(4711);
  std::vector<std::chrono::milliseconds> recoveries;
  for (int cycle = 0; cycle < wanted_crashes(); ++cycle) {
    const std::string& step = steps[static_cast<std::size_t>(cycle) % steps.size()];
    CAPTURE(cycle);
    CAPTURE(step);
    const bool is_behind = static_cast<std::size_t>(cycle) % modes.size() != 0;
    for (auto& [name, ledger] : ledgers) ledger.is_behind = is_behind;
    std::vector<std::jthread> threads;
    for (auto& [name, ledger] : ledgers) {
      threads.emplace_back([writer = std::make_shared<LedgerWriter>(mount.at(), name, dice(), ledger)](
                               const std::stop_token& stop) { writer->run(stop); });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + dice() % 250));
    if (!step.empty()) {
      const auto fault = lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer,
                                                  .operation = step,
                                                  .nth = 1 + static_cast<unsigned>(dice() % 3),
                                                  .times = 0});
      std::ignore = eventually([&] { return lake.server().fired(fault) > 0; }, 3s);
      // What has to wait for that call had better not come to the lake meanwhile.
      if (is_behind) std::this_thread::sleep_for(std::chrono::milliseconds(dice() % 60));
    }
    mount.kill_and_leave();
    for (auto& thread : threads) thread.request_stop();
    threads.clear();
    CHECK(mount.mounts_here() == 1);  // Dead: the next mount has to clear it.
    lake.server().clear_faults();
    check_no_mixture(lake, ledgers, When::kAnyTime);
    check_order(lake, ledgers);
    for (auto& [name, ledger] : ledgers) {
      ledger.to_remove.clear();
      for (int n = 0; n < 4; ++n) {
        ledger.to_remove.push_back(name + gone_in(cycle + 1) + std::to_string(n));
        lake.put(ledger.to_remove.back(), "to be removed");
        ledger.allowed[ledger.to_remove.back()] = {"to be removed"};
      }
    }
    const auto began = std::chrono::steady_clock::now();
    mount.mount_with(modes[static_cast<std::size_t>(cycle + 1) % modes.size()]);
    recoveries.push_back(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began));
    CHECK(mount.mounts_here() == 1);
    check_shown(mount, ledgers);
    std::vector<Kept> kept;
    CHECK(eventually(
        [&] {
          kept = pending_of(mount);
          return std::all_of(kept.begin(), kept.end(),
                             [](const Kept& file) { return file.state == "conflict"; });
        },
        20s));
    check_no_mixture(lake, ledgers, When::kAllIsThere);
    check_order(lake, ledgers);
    check_promises(lake, kept, ledgers);
    check_directories(lake, ledgers);
    for (const Kept& file : kept) CHECK(mount.lakefuse({"discard", file.file}).exit_code == 0);
    // From here on the lake is the truth.
    for (auto& [name, ledger] : ledgers) {
      std::erase_if(ledger.allowed, [&](const auto& entry) {
        const bool was_made_once =
            has(entry.first, "-") && !has(entry.first, gone_in(cycle + 1));  // The next cycle's stay.
        if (was_made_once) lake.remove(entry.first);
        return was_made_once;
      });
      ledger.in_order.clear();
      for (auto& [path, allowed] : ledger.allowed) allowed = {lake.read(path)};
      ledger.earlier.clear();
      ledger.promised.clear();
      ledger.directory = {lake.keys(name + "/a/").empty() ? "b/" : "a/"};
    }
  }
  CHECK(mount.unmount() == 0);
  CHECK(mount.mounts_here() == 0);
  check_times(recoveries);
}
