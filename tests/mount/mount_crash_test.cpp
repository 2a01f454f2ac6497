// W1, W3 and W4 under kill -9, at random moments and in the middle of every kind of call. Some 50 times here;
// LAKEFUSE_TEST_CRASHES says how often else.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

const std::string kNone = "<none>";

// What one writer was told, and so what the lake may show. Its paths are its own.
struct Ledger {
  // The last version that was acknowledged, and all that were begun after it.
  std::map<std::string, std::set<std::string>> allowed;
  // Bytes that must not get lost, and the paths that they may be found at.
  std::map<std::string, std::set<std::string>> promised;
  // Where the directory may be: "a/", "b/" or, while a rename was under way, both of them.
  std::set<std::string> directory;
};

class Writer {
 public:
  Writer(std::filesystem::path mountpoint, std::string name, unsigned seed)
      : at_(std::move(mountpoint)), name_(std::move(name)), dice_(seed) {}

  void run(const std::stop_token& stop, Ledger& ledger) {
    ledger_ = &ledger;
    while (!stop.stop_requested() && look(at_) == kOk) {  // A dead mount takes no more orders.
      const std::string path = name_ + "/f" + std::to_string(dice_() % 4);
      switch (dice_() % 6) {
        case 0:
        case 1:
          overwrite(path, dice_() % 2 == 0);
          break;
        case 2:
          save_by_rename(path);
          break;
        case 3:
          append(path);
          break;
        case 4:
          remove(path);
          break;
        case 5:
          rename_directory();
          break;
      }
    }
  }

 private:
  std::string fresh() {
    const std::string head = name_ + " " + std::to_string(++version_) + " " + std::to_string(dice_()) + "\n";
    return head + pattern(dice_() % 3 == 0 ? 150'000 : 500, dice_());
  }

  void begin(const std::string& path, const std::string& bytes) {
    ledger_->allowed.try_emplace(path, std::set{kNone}).first->second.insert(bytes);
  }
  void acknowledge(const std::string& path, const std::string& bytes) { ledger_->allowed[path] = {bytes}; }

  void overwrite(const std::string& path, bool syncs) {
    const std::string bytes = fresh();
    begin(path, bytes);
    OpenFile file(at_ / path, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.opened() != kOk || file.write(bytes) != kOk) return;
    if (syncs && file.sync() == kOk) ledger_->promised[bytes] = {path};
    const bool is_closed = file.close() == kOk;
    if (is_closed) acknowledge(path, bytes);
    if (is_closed) ledger_->promised.erase(bytes);
  }

  void save_by_rename(const std::string& path) {
    const std::string bytes = fresh();
    const std::string temporary = path + ".tmp";
    ledger_->allowed[temporary].insert({kNone, bytes});
    if (write_file(at_ / temporary, bytes) != kOk) return;
    ledger_->promised[bytes] = {temporary, path};
    begin(path, bytes);
    if (rename_file(at_ / temporary, at_ / path) != kOk) return;
    acknowledge(path, bytes);
    acknowledge(temporary, kNone);
    ledger_->promised.erase(bytes);
  }

  void append(const std::string& path) {
    const auto found = ledger_->allowed.find(path);
    if (found == ledger_->allowed.end() || found->second.size() != 1) return;
    const std::string before = *found->second.begin();
    if (before == kNone) return;
    const std::string line = "line " + std::to_string(++version_) + "\n";
    const std::string bytes = before + line;
    begin(path, bytes);
    if (write_file(at_ / path, line, O_APPEND) == kOk) acknowledge(path, bytes);
  }

  void remove(const std::string& path) {
    begin(path, kNone);
    if (remove_file(at_ / path) == kOk) acknowledge(path, kNone);
  }

  void rename_directory() {
    if (ledger_->directory.size() != 1) return;
    const std::string from = *ledger_->directory.begin();
    const std::string to = from == "a/" ? "b/" : "a/";
    ledger_->directory.insert(to);
    if (rename_file(at_ / name_ / from, at_ / name_ / to) == kOk) ledger_->directory = {to};
  }

  const std::filesystem::path at_;
  const std::string name_;
  std::mt19937 dice_;
  unsigned version_ = 0;
  Ledger* ledger_ = nullptr;
};

struct Kept {
  std::string path, state, file;
};

std::vector<Kept> pending_of(const Mounted& mount) {
  std::vector<Kept> all;
  for (const auto& file : mount.pending_files()) {
    all.push_back({std::string(file.at("path").as_string()), std::string(file.at("state").as_string()),
                   std::string(file.at("kept_in").as_string())});
  }
  return all;
}

// Old bytes or new ones, nothing else: at any moment, whether the mount lives or not.
void check_no_mixture(TestLake& lake, const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [path, allowed] : ledger.allowed) {
      CAPTURE(path);
      const std::string there = lake.read(path);
      INFO("there are " << there.size() << " bytes: " << there.substr(0, 60));
      CHECK(allowed.contains(there));
    }
  }
}

void check_promises(TestLake& lake, const std::vector<Kept>& kept,
                    const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [bytes, paths] : ledger.promised) {
      bool is_found = false;
      for (const auto& path : paths) {
        is_found |= lake.read(path) == bytes;
        for (const Kept& file : kept) is_found |= file.path == path && read_local(file.file) == bytes;
      }
      INFO("promised at " << *paths.begin() << ": " << bytes.substr(0, 60));
      CHECK(is_found);
    }
  }
}

void check_directories(TestLake& lake, const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    const auto a = lake.keys(name + "/a/"), b = lake.keys(name + "/b/");
    CAPTURE(name);
    CHECK((a.size() == 3 || a.empty()));
    CHECK(a.size() + b.size() == 3);
    const std::string directory = a.empty() ? "b/" : "a/";
    CHECK(ledger.directory.contains(directory));
    for (const char* file : {"x", "y", "z"}) CHECK(lake.read(name + "/" + directory + file) == file);
  }
}

int wanted_crashes() {
  const char* const wanted = std::getenv("LAKEFUSE_TEST_CRASHES");
  return wanted == nullptr ? 50 : std::atoi(wanted);
}

}  // namespace

TEST_CASE("W1, W3, W4: killed at any moment and at any step, all that was promised is there afterwards") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  // Where the mount is killed: while such a call is on its way, or, for "", at a random moment.
  const std::vector<std::string> steps{"", "get_physical_address", "store_put",   "link_physical_address",
                                       "", "stat_object",          "copy_object", "delete_object",
                                       "", "list_objects"};
  std::map<std::string, Ledger> ledgers;
  for (const std::string name : {"w0", "w1", "w2"}) {
    ledgers[name].directory = {"a/"};
    for (const char* file : {"x", "y", "z"}) lake.put(name + "/a/" + file, file);
  }
  Mounted mount(lake, {.patience = std::chrono::seconds(60 + 10 * wanted_crashes())});
  std::mt19937 dice(4711);
  for (int cycle = 0; cycle < wanted_crashes(); ++cycle) {
    const std::string& step = steps[cycle % steps.size()];
    CAPTURE(cycle);
    CAPTURE(step);
    std::vector<std::jthread> threads;
    for (auto& [name, ledger] : ledgers) {
      threads.emplace_back([&, writer = std::make_shared<Writer>(mount.at(), name, dice())](
                               const std::stop_token& stop) { writer->run(stop, ledger); });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + dice() % 250));
    if (!step.empty()) {
      const auto fault = lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer,
                                                  .operation = step,
                                                  .nth = 1 + static_cast<unsigned>(dice() % 3),
                                                  .times = 0});
      std::ignore = eventually([&] { return lake.server().fired(fault) > 0; }, 3s);
    }
    mount.kill_hard([&] {
      for (auto& thread : threads) thread.request_stop();
      threads.clear();
    });
    lake.server().clear_faults();
    check_no_mixture(lake, ledgers);
    mount.mount();
    std::vector<Kept> kept;
    CHECK(eventually(
        [&] {
          kept = pending_of(mount);
          return std::all_of(kept.begin(), kept.end(),
                             [](const Kept& file) { return file.state == "conflict"; });
        },
        20s));
    check_no_mixture(lake, ledgers);
    check_promises(lake, kept, ledgers);
    check_directories(lake, ledgers);
    for (const Kept& file : kept) CHECK(mount.lakefuse({"discard", file.file}).exit_code == 0);
    // From here on the lake is the truth.
    for (auto& [name, ledger] : ledgers) {
      for (auto& [path, allowed] : ledger.allowed) allowed = {lake.read(path)};
      ledger.promised.clear();
      ledger.directory = {lake.keys(name + "/a/").empty() ? "b/" : "a/"};
    }
  }
  CHECK(mount.unmount() == 0);
}
