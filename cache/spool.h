#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/link_journal.h"
#include "cache/removal_journal.h"
#include "cache/rename_journal.h"
#include "cache/staged_file.h"
#include "client/error.h"
#include "client/object_store.h"
#include "client/publisher.h"

namespace lakefuse {

// Whose bytes a spool holds. Spools of other lakes, repositories or branches are never mixed up with it.
struct SpoolOwner {
  std::string endpoint;  // Normalised URL, no credentials in it.
  std::string repository;
  std::string branch;
  bool operator==(const SpoolOwner&) const = default;
};

// What is to become of one staged file, as it stands on disk beside its bytes, so that the next mount can go
// on.
struct SpoolRecord {
  enum class State {
    kClean,     // All of it is on the lake: kept for whoever has it open, and for nobody after a crash.
    kOpen,      // Being written; nobody was told that it is safe.
    kSynced,    // Open, and fsync answered 0: these bytes must survive.
    kHeld,      // Closed under a temporary name: published when renamed, aged or unmounted (W9).
    kFailed,    // Closed, the publish failed for a passing cause: tried again.
    kQueued,    // Closed with --writeback: published in its turn.
    kConflict,  // Closed, lost a race or met another version: waits for a person.
  };
  State state = State::kOpen;
  std::string path;                // On the branch.
  bool is_beside_prefix = false;   // There are paths below it, too, and the mount shows it beside them.
  std::optional<ObjectInfo> base;  // The version that missing bytes come from.
  Expectation expected;            // What may be replaced (W5, W6).
  EntryMeta meta;                  // What the entry will say besides its bytes.
  bool append_only = false;        // Only ever appended to with O_APPEND.
  bool is_claim = false;    // No bytes: an empty object, linked under the nonce in `meta`, holds a name.
  std::uint64_t order = 0;  // With --writeback: its place among all that the mount has promised; 0: none.
  bool is_barrier = false;  // All before that place comes first, and all behind it later.
  std::string reason;       // Why it failed: the Error's sentence.
  std::string cause;        // Its Errc as a word.
  std::int64_t since_seconds = 0;  // Unix time of the state's begin.
};

// One staged file with its record. Owned by whoever writes the file; when it is destroyed without discard(),
// both stay on disk for the next mount. Safe to call from many threads at once; save() and discard() take
// turns, and as long as the disk does.
class SpoolFile {
 public:
  virtual ~SpoolFile() = default;

  [[nodiscard]] virtual const std::string& id() const = 0;  // Stable over remounts; safe to show.
  [[nodiscard]] virtual std::filesystem::path data_path() const = 0;
  [[nodiscard]] virtual StagedFile& bytes() = 0;

  // Replaces the record on disk atomically. kDurable: once it returns, bytes and record survive a power cut
  // (fsync of the bytes, the record, the directory, in this order); kSoon: they survive a kill -9 of this
  // process. Whoever changes a file again that was closed or clean says so first, by saving kOpen: what comes
  // back after a crash is published, or dropped, by the word of its record.
  // kNoSpace, kLocalIo, or kTooLarge for a record that no mount would read (some million ranges); then the
  // one before it counts.
  enum class Safety { kSoon, kDurable };
  virtual Result<> save(const SpoolRecord& record, Safety safety) = 0;

  // Removes bytes and record from disk: they are on the lake now, or nobody wants them. kDurable: what was
  // durable is gone durably; kSoon: a power cut may bring it back until Spool::sync().
  virtual void discard(Safety safety) = 0;
  void discard() { discard(Safety::kDurable); }
};

// A file that an earlier mount left.
struct LeftBehind {
  SpoolRecord record;
  std::shared_ptr<SpoolFile> file;
};

// Something that an earlier mount left and that could not be read: kept aside for a person, never removed by
// itself. Its name on the branch is unknown.
struct DamagedFile {
  std::filesystem::path path;
  std::uint64_t size_bytes = 0;
  std::string reason;
  bool is_torn = false;  // A power cut leaves such: nobody was told that they are safe.
};

// The directory of bytes that are not on the lake yet, in the user's state directory. One Spool belongs to
// one process and one owner at a time; a second mount of the same branch gets a directory of its own beside
// it, and the next mount takes over what ended ones left. Safe to call from many threads at once.
class Spool {
 public:
  // `state_dir` is made with mode 0700 where it is missing; refused (kLocalIo, with a sentence) when it
  // belongs to another user or may be written by others. Symlinks inside are not followed. kUnsupported: an
  // ended mount left files of this owner in a format that this lakefuse does not know. kTooManyOpen: more
  // files wait than this process has descriptors for; all of them go on waiting. So they do where one of them
  // cannot be read, or put back (kLocalIo, kNoSpace).
  static Result<std::unique_ptr<Spool>> open(const std::filesystem::path& state_dir, const SpoolOwner& owner,
                                             std::uint64_t floor_bytes);
  virtual ~Spool() = default;

  // An empty staged file; with a base, a file of the base's size all of whose bytes are missing. kNoSpace,
  // kLocalIo, kTooManyOpen; kTooLarge where the local disk has no files of that size.
  virtual Result<std::shared_ptr<SpoolFile>> create(const SpoolRecord& record) = 0;

  // What earlier mounts of this owner left, oldest first; each is handed out once. A file that was still open
  // is among them (kOpen, kSynced). Bytes that a power cut may have torn come as kConflict, with the reason.
  virtual std::vector<LeftBehind> take_left_behind() = 0;

  // The record of a directory rename, on disk when this returns.
  virtual Result<std::unique_ptr<RenameJournal>> begin_rename(RenameRecord record) = 0;

  // Directory renames that earlier mounts of this owner began and did not end; each is handed out once, and
  // are settled before take_left_behind() files are used.
  virtual std::vector<std::unique_ptr<RenameJournal>> take_left_renames() = 0;

  // A name that has to go from the lake: it survives a kill -9 when this returns, and a power cut from the
  // next sync() on, or durable save() of any file. end_removal(): it is gone.
  virtual Result<> begin_removal(const RemovalRecord& record) = 0;
  virtual void end_removal(std::uint64_t order) = 0;

  // Removals that were begun, and ends of what was discarded, survive a power cut when this returns. No sync
  // where there are none.
  virtual Result<> sync() = 0;

  // Removals that earlier mounts of this owner promised and did not do, each handed out once; promised by
  // this mount from now on.
  virtual std::vector<RemovalRecord> take_left_removals() = 0;

  // What mounts of this owner have linked, over remounts.
  virtual LinkJournal& links() = 0;

  // What could not be read of all that was taken over, kept in `damaged/`; but for what is torn, which
  // read_spools() shows, too.
  [[nodiscard]] virtual std::vector<DamagedFile> damaged() const = 0;
  // Removes one of these, by its path, for a person who does not want it. kNotFound: it is none.
  virtual Result<> discard_damaged(const std::filesystem::path& path) = 0;

  // Where this spool lives: also what `lakefuse pending` of a state directory reads.
  [[nodiscard]] virtual const std::filesystem::path& directory() const = 0;

  // Bytes that may still be written before write() fails with kNoSpace.
  [[nodiscard]] virtual std::uint64_t free_bytes() const = 0;
};

// What a state directory holds, without taking it over and without a mount: for `pending` and `recover`. What
// cannot be read is in it too: kConflict, no path, and the reason. A directory that is not there holds
// nothing.
struct SpooledFile {
  SpoolOwner owner;
  SpoolRecord record;
  std::filesystem::path data_path;
  std::uint64_t size_bytes = 0;
  bool is_whole = true;  // False: bytes that were not changed are still those of the base, and zeros here.
  bool in_use = false;   // A live process owns it.
};
Result<std::vector<SpooledFile>> read_spools(const std::filesystem::path& state_dir);

// Whether any mount has ever kept anything in that directory.
bool is_state_directory(const std::filesystem::path& directory);

// Removes one of these files, by its `data_path`, for a person who does not want it. kNotFound: it is none.
// kBusy: a live mount has it.
Result<> discard_spooled(const std::filesystem::path& data_path);

}  // namespace lakefuse
