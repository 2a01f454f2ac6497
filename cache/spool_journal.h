#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/journal_format.h"
#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// One file of a spool journal: only ever appended to, until nothing that it says counts any more. Safe to
// call from many threads at once.
class JournalFile {
 public:
  // A new one; its name is on disk when this returns.
  static Result<std::shared_ptr<JournalFile>> begin(std::shared_ptr<const UniqueFd> directory);
  // One that an earlier mount left, with entries up to `end`: what is behind them goes.
  // Room is asked for, for the ends of its promises.
  static Result<std::shared_ptr<JournalFile>> adopt(std::shared_ptr<const UniqueFd> directory,
                                                    std::string name, std::uint64_t end,
                                                    std::uint64_t promises);
  ~JournalFile();  // What nobody is in goes.
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;

  // Where the entry ends. A full disk leaves the journal as it was. There is room for the end of each
  // promise, which no record takes: what is to be taken back can be.
  Result<std::uint64_t> append_record(std::string_view entry);
  Result<std::uint64_t> append_promise(std::string_view entry);
  Result<std::uint64_t> append_end(std::string_view entry);
  // All up to `end` is on disk, power cut or not, when this returns: one sync for all who wait. After one
  // that failed nothing more is promised by this file.
  Result<> sync(std::uint64_t end);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string_view seed() const;  // For its entries' checksums.
  [[nodiscard]] bool is_full() const;
  void enter() { ++in_it_; }
  void leave() { --in_it_; }
  // Its name goes, power cut or not, with all that it says. REQUIRES: nobody is in it, nor will be.
  Result<> remove() const;

 private:
  JournalFile(std::shared_ptr<const UniqueFd> directory, std::string name, UniqueFd file, std::uint64_t size)
      : directory_(std::move(directory)),
        name_(std::move(name)),
        file_(std::move(file)),
        size_(size),
        reserved_(size) {}

  Result<> reserve_locked(std::uint64_t end);
  Result<std::uint64_t> append_locked(std::string_view entry);

  const std::shared_ptr<const UniqueFd> directory_;
  const std::string name_;
  const UniqueFd file_;
  std::atomic<int> in_it_ = 0;  // Staged files whose last record is here.

  mutable std::mutex mutex_;    // Held over writes, not over syncs.
  std::uint64_t size_;          // Guarded by mutex_.
  std::uint64_t reserved_;      // Guarded by mutex_. On the disk, for entries to come.
  std::uint64_t promises_ = 0;  // Guarded by mutex_. That were ever made here.
  bool is_broken_ = false;      // Guarded by mutex_.

  std::mutex syncing_;        // Taken before mutex_, held over a sync.
  std::uint64_t synced_ = 0;  // Guarded by syncing_: so much of it is on disk.
};

// The records of a slot's staged files, and the bytes of small ones that were promised: a close of
// --writeback is one append and one sync, which it shares with whoever else appends just then. Safe to call
// from many threads at once; what syncs takes as long as the disk does.
class SpoolJournal {
 public:
  explicit SpoolJournal(std::shared_ptr<const UniqueFd> directory) : directory_(std::move(directory)) {}
  ~SpoolJournal() { std::ignore = sync_ends(); }
  SpoolJournal(const SpoolJournal&) = delete;
  SpoolJournal& operator=(const SpoolJournal&) = delete;

  // Where the last record of a staged file stands.
  struct Place {
    std::shared_ptr<JournalFile> file;
    bool is_promise = false;
  };

  // The record of that id, instead of the one at `place`. With all the file's bytes it is a promise: both
  // survive a power cut once this returns. Else it survives the death of this process. REQUIRES: what was a
  // promise stays one.
  Result<> put(Place& place, std::string_view id, std::string_view record,
               const std::optional<std::span<const std::byte>>& bytes);
  // Nothing is promised here any more; what was, is taken back durably. The caller removes the bytes and then
  // leave()s: a crash in between leaves bytes that are known to be nobody's.
  static Result<> end(const Place& place, std::string_view id, JournalEnd how);
  static void leave(Place& place);
  // The same as end(), kGone, but that a power cut may take it back until the next sync of that journal, or
  // sync_ends(). Never a younger one without it. After a sync that failed sync_ends() fails until nothing in
  // that journal counts any more and it is gone.
  Result<> end_soon(const Place& place, std::string_view id);
  Result<> sync_ends();

  // What earlier mounts left, each handed out once; what nobody wants any more is removed.
  struct Left {
    JournalContents::Put put;
    std::string boot;
    Place place;
  };
  struct AllLeft {
    std::vector<Left> files;
    std::vector<std::string> damaged;                    // Names of journals of which a part cannot be read.
    std::vector<std::shared_ptr<JournalFile>> journals;  // Keeps them until the caller has looked.
  };
  // kTooManyOpen where descriptors run out, kLocalIo where one of them cannot be read: nothing is handed out,
  // nor removed.
  Result<AllLeft> take_left();

 private:
  Result<std::shared_ptr<JournalFile>> current();
  Result<> sync_ends_locked();
  bool is_left_alone(const std::shared_ptr<JournalFile>& file);

  const std::shared_ptr<const UniqueFd> directory_;  // spool/
  std::atomic<std::uint64_t> last_order_ = 0;

  std::mutex mutex_;                      // Held while a file is begun.
  std::shared_ptr<JournalFile> current_;  // Guarded by mutex_.

  // Where ends are that are not on disk yet: in one file at a time, so that they get there in their order.
  std::mutex ends_mutex_;              // Held over a sync.
  std::shared_ptr<JournalFile> ends_;  // Guarded by ends_mutex_, as what is below. Null: nowhere.
  std::uint64_t ends_until_ = 0;
};

// `<id>.journal` beside the staged files.
inline constexpr std::string_view kJournalEnding = ".journal";

// The last put of each id in the journals of a directory, without changing anything.
struct ReadJournal {
  JournalContents::Put put;
  std::string boot;
  std::string name;
};
struct ReadJournals {
  std::vector<ReadJournal> puts;
  std::vector<ReadJournal> older;             // Of the same ids, in other journals.
  std::vector<std::string> gone;              // Ids that none puts.
  std::map<std::string, std::uint64_t> ends;  // By name: where its entries end.
  std::vector<std::string> damaged;           // Names.
};
Result<ReadJournals> read_journals(int directory);

}  // namespace lakefuse
