#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cache/unique_fd.h"
#include "client/error.h"
#include "client/object_store.h"

namespace lakefuse {

class SpoolSlot;

// A name that is gone for its mount and has to go from the lake (--writeback): what was decided, so that the
// next mount can do it after a crash.
struct RemovalRecord {
  std::string path;                        // On the branch.
  std::optional<ObjectInfo> version = {};  // This one goes,
  std::string nonce = {};                  // or what was published from staged bytes of that nonce.
  std::uint64_t order = 0;                 // Its place among all that the mount has promised.
};

// The removals that one mount has promised, a line each in one file of its slot. Safe to call from many
// threads at once.
class RemovalJournal {
 public:
  explicit RemovalJournal(std::shared_ptr<SpoolSlot> slot);
  ~RemovalJournal();  // A journal with nothing left in it goes.

  // Survives the death of this process when this returns. kNoSpace or kLocalIo: nothing is promised.
  Result<> add(const RemovalRecord& record);
  // All that was added so far is on disk, power cut or not, when this returns: one sync for all who wait,
  // none where nothing is new. After one that failed nothing more is promised, and each fails for as long as
  // something that was promised is left.
  Result<> sync();
  // Done, or given up. What a power cut makes of this is harmless: who removes looks first.
  void end(std::uint64_t order);

 private:
  Result<> open_locked();
  Result<> append_locked(const std::string& line);

  const std::shared_ptr<SpoolSlot> slot_;
  const std::string name_;

  std::mutex mutex_;              // Held over writes, not over syncs. Guards all below.
  UniqueFd file_;                 // Opened by the first promise.
  std::uint64_t size_ = 0;        // Of the file, which is emptied now and then,
  std::uint64_t room_ = 0;        // the length of the file, whose end may be blank,
  std::uint64_t added_ = 0;       // How many ever were.
  bool is_broken_ = false;        // A sync failed.
  std::set<std::uint64_t> left_;  // Orders that are promised.

  std::mutex syncing_;        // Taken before mutex_, held over a sync.
  std::uint64_t synced_ = 0;  // Guarded by syncing_: so many of those that were added are on disk.
};

// `<id>.removals` beside the staged files.
inline constexpr std::string_view kRemovalsEnding = ".removals";

// What such a file promises and does not say to be done; a line that was cut short was never promised.
// `has_damage`, where given, tells whether a whole line could not be read.
[[nodiscard]] std::vector<RemovalRecord> parse_removals(std::string_view lines, bool* has_damage = nullptr);

}  // namespace lakefuse
