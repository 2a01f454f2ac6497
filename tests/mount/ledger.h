// What writers were told by a mount, and so what the lake, or `lakefuse pending`, must show whatever happened
// to the mount meanwhile (W1, W3, W4).
//
//     std::map<std::string, Ledger> ledgers;
//     LedgerWriter writer(mount.at(), "w0", seed, ledgers["w0"]);
//     writer.overwrite("w0/f", LedgerWriter::Sync::kYes);
//     mount.kill_hard();
//     mount.mount();
//     check_promises(lake, pending_of(mount), ledgers);
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "tests/mount/mounted.h"

namespace lakefuse::test {

// What one writer was told. Its paths are its own.
struct Ledger {
  // Whether it was only promised (--writeback): the lake may be behind for a while.
  bool is_behind = false;
  // The last version that was acknowledged, and all that were begun after it.
  std::map<std::string, std::set<std::string>> allowed;
  // Of each path what it had before that, which the lake may have while it is behind.
  std::map<std::string, std::set<std::string>> earlier;
  // What paths had that were removed, as long as nothing was made safe since (--writeback): a power cut may
  // bring it back.
  std::map<std::string, std::set<std::string>> removed_lately;
  // Bytes that must not get lost, and the paths that they may be found at.
  std::map<std::string, std::set<std::string>> promised;
  // Where the directory may be: "a/", "b/" or, while a rename was under way, both of them.
  std::set<std::string> directory;
  // Changes of names that nothing else uses, in the order that they were made in (design rule 10). Nothing
  // comes to the lake before a barrier that was before it, and no barrier before anything that was.
  struct Change {
    std::string path, bytes;
    bool is_barrier = false, is_acknowledged = false;
  };
  std::vector<Change> in_order;
  std::vector<std::string> to_remove;  // What the test has put there for removals that are barriers.
};

// A program that writes below NAME/, and keeps books. One thread at a time.
class LedgerWriter {
 public:
  enum class Sync { kYes, kNo };

  LedgerWriter(std::filesystem::path mountpoint, std::string name, unsigned seed, Ledger& ledger)
      : at_(std::move(mountpoint)), name_(std::move(name)), dice_(seed), ledger_(ledger) {}

  // Any of what is below, until it is told to stop or the mount is dead.
  void run(const std::stop_token& stop);

  void overwrite(const std::string& path, Sync sync);
  void save_by_rename(const std::string& path);
  void append(const std::string& path, Sync sync);
  void claim(const std::string& path);  // A name that says lock: claimed, written, removed.
  void remove(const std::string& path);
  void rename_directory();
  // A new file, and then a barrier.
  enum class Barrier { kEmpty, kRename, kRemoval };
  void write_before(Barrier barrier);

 private:
  std::string fresh();
  void begin(const std::string& path, const std::string& bytes);
  void acknowledge(const std::string& path, const std::string& bytes);
  void acknowledge_removal(const std::string& path);
  // What was written; `bytes`: all that the file has then.
  void close(OpenFile& file, Sync sync, const std::string& path, const std::string& bytes);
  bool change_in_order(const std::string& path, const std::string& bytes, bool is_barrier,
                       const std::function<Outcome()>& change);

  const std::filesystem::path at_;
  const std::string name_;
  std::mt19937 dice_;
  unsigned version_ = 0;
  Ledger& ledger_;
};

// A file that `lakefuse pending` lists.
struct Kept {
  std::string path, state, file;
};
std::vector<Kept> pending_of(const Mounted& mount);

// The mount's machine has lost its power: what was not safe then may be undone.
void power_was_cut(std::map<std::string, Ledger>& ledgers);

// Old bytes or new ones, nothing else: at any moment, whether the mount lives or not. Once all is on the
// lake, nothing that came before what was acknowledged.
enum class When { kAnyTime, kAllIsThere };
void check_no_mixture(TestLake& lake, const std::map<std::string, Ledger>& ledgers, When when);
// The same as a mount shows it, from its first moment on: what was acknowledged.
void check_shown(const Mounted& mount, const std::map<std::string, Ledger>& ledgers);
// At any moment.
void check_order(TestLake& lake, const std::map<std::string, Ledger>& ledgers);
// What was promised is on the lake or pending.
void check_promises(TestLake& lake, const std::vector<Kept>& kept,
                    const std::map<std::string, Ledger>& ledgers);
// A directory is here or there, whole.
void check_directories(TestLake& lake, const std::map<std::string, Ledger>& ledgers);

}  // namespace lakefuse::test
