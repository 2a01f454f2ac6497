#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/workers.h"
#include "client/publisher.h"
#include "fs/cut_off.h"
#include "fs/known_versions.h"
#include "fs/lake_view.h"
#include "fs/mount_control.h"
#include "fs/standing_paths.h"
#include "fs/tree.h"
#include "fs/write_queue.h"

namespace lakefuse {

// Brings staged bytes to the lake and keeps what could not be brought there (W1, W2): the one publish that
// flush, release, fsync, rename and the retries call, what becomes of its failures, and who waits for what.
// Safe to use from many threads at once.
class Publishing {
 public:
  // Tells the kernel that a name is another file's now.
  using ForgetName = std::function<void(const InodePtr& directory, const std::string& name)>;

  Publishing(const FilesystemOptions& options, ObjectStore& lake, Publisher& publisher, Tree& tree,
             LakeView& view, StandingPaths& standing, Spool* spool);
  ~Publishing();

  void set_forget_name(ForgetName forget_name);

  // Brings the inode's bytes to its path, if any of them are not there. Holds the path and takes the inode's
  // turn. Blocks as Publisher.
  Result<> publish(const InodePtr& inode);
  // The same by somebody who has both; to another path and expectation, for a rename that publishes.
  struct Aim {
    std::string path;
    Expectation expected;
    // Under which what is there by an earlier try is ours; empty: the inode's own.
    std::string nonce = {};
  };
  Result<> publish_in_turn(const InodePtr& inode, const std::optional<Aim>& aim = std::nullopt);
  // Whether that failed only for another's sake, who waits for the turn to take the name. REQUIRES: the turn.
  [[nodiscard]] bool is_dropped(const InodePtr& inode, const Error& why) const;
  // What was closed could not even be tried: it is kept and tried again, as after a publish that failed,
  // unless somebody has written it since `generation` and will close it. Answers `why`.
  Error failed_untried(const InodePtr& inode, const Error& why, std::uint64_t generation);
  // What was published by an Aim has that name now, or will never have it. Until then its old name stays its
  // own, whatever the lake says of it.
  void took_name(const InodePtr& inode);

  // --writeback: safe on this machine now, published in its turn. Takes no turn: an upload of an older
  // version may be under way. False: it cannot be made safe here, and nothing is promised.
  Result<bool> publish_behind(const InodePtr& inode, WriteQueue::Kind kind = WriteQueue::Kind::kPlain);
  // Into the queue, at the place that it was promised.
  void post(const InodePtr& inode);
  // What is being written becomes a file of its own, without a name, where a version that was promised waits
  // behind it: that one has the name again. Null: none does.
  InodePtr part_from_sealed(const InodePtr& inode);
  // A failure that the closes and fsyncs of that path were not told: once (as fsync(2) does).
  Result<> untold(const std::string& path);
  [[nodiscard]] std::optional<Error> peek_untold(const std::string& path) const;
  void will_tell(const std::string& path, const Error& failure);

  // Makes the staged bytes safe on this machine (W3).
  Result<> make_safe(const InodePtr& inode);
  // Closed under a temporary name: safe here, published when renamed, unmounted or, where it `ages`, after a
  // while (W9).
  Result<> hold_back(const InodePtr& inode, bool ages);
  // Closed as litter: stays here.
  void keep_here(const InodePtr& inode);
  // Never published by itself: waits for a person, and the name is the lake's again (W2).
  void set_aside(const InodePtr& inode, const Error& why);
  // Bytes that were closed are about to change again: the record says so first, for after a crash half of the
  // change must not be taken for what was closed. `keeps_bytes`: those that it has stay.
  Result<> reopen(const InodePtr& inode, bool keeps_bytes);
  // Whether that was done. REQUIRES: the inode's mutex is held.
  static bool is_open_on_disk(const Staging& staging, bool keeps_bytes);
  // Whether a fsync or a close said of some of what is being written that it survives (W2, W3): it is not
  // thrown away with the rest. REQUIRES: the inode's mutex is held.
  static bool holds_promises(const Staging& staging) { return staging.promised || staging.was_closed; }
  // What lies under that name is the lake's: whoever knows of it asks again, the kernel too.
  void give_back(const InodePtr& directory, const std::string& name);
  // Of a conflict: asks what the lake holds at its path, and remembers it for describe().
  Result<TheirVersion> look_at_theirs(const InodePtr& inode);
  void look_at_theirs_behind(const InodePtr& inode);
  // The record of what is staged, on disk; called when it changes what a next mount would do. Under no lock.
  void save(const InodePtr& inode);
  // Whether `theirs` is by an earlier publish of these bytes; then they stand above it. REQUIRES: the inode's
  // mutex is held.
  bool goes_on_above_locked(Staging& staging, const ObjectInfo& theirs) const;
  // Frees the staged bytes when nobody needs them.
  void drop_if_clean(const InodePtr& inode);

  // Asks for an upload's address while the file is still being written.
  void ask_ahead(const InodePtr& inode);

  // Under the inode's mutex: its staged bytes are digested while they are written, from the first on.
  void digest_ahead(Inode& inode);

  // Under the inode's mutex: that range of the staged bytes was written. True when parts of the file can go
  // up before it is closed: send_ahead() begins that, for a file that will be published under its name.
  bool wrote(Inode& inode, ByteRange range);
  void send_ahead(const InodePtr& inode);

  // Bytes of the base that a range of the staged file still lacks come from the lake. Under no lock.
  Result<> complete(const InodePtr& inode, std::uint64_t offset, std::uint64_t length);

  // Fills `out` with what a read of those bytes sees, and keeps nothing of what comes from the lake: where
  // this disk is full. Answers how many. Under no lock.
  Result<std::size_t> read_past(const InodePtr& inode, SpoolFile& file, std::uint64_t offset,
                                std::span<std::byte> out);

  // For status and flush.
  [[nodiscard]] std::vector<InodePtr> staged() const;
  [[nodiscard]] PendingFile describe(const InodePtr& inode) const;
  // It has staged bytes now. Who gives them to it does so under its mutex, as who takes them away: else it
  // were forgotten with new ones.
  void remember(const InodePtr& inode);

  [[nodiscard]] KnownVersions& versions() { return versions_; }
  [[nodiscard]] WriteQueue& queue() { return queue_; }
  [[nodiscard]] CutOff& cut_off() { return cut_off_; }
  // Of bytes that nobody needs any more. With the queue, whatever relies on it syncs first.
  [[nodiscard]] SpoolFile::Safety safety_of_ends() const {
    return options_.writeback == Writeback::kOff ? SpoolFile::Safety::kDurable : SpoolFile::Safety::kSoon;
  }
  [[nodiscard]] UploadsAhead& uploads() { return uploads_; }
  [[nodiscard]] Workers& workers() { return workers_; }

  // Starts what is due by now and may go: retries, and what was held back and has aged.
  void tick(const std::function<bool(const InodePtr&)>& may_go);

 private:
  static constexpr int kMostRebases = 8;  // Of one close: a log that busy is not waited for.
  struct Snapshot;
  enum class Which { kLast, kQueued, kSealed };  // kQueued: the last, unless it is being written again.
  Result<> try_publish(const InodePtr& inode, const std::optional<Aim>& aim, Which which = Which::kLast);
  bool rebase(const InodePtr& inode, const Error& why);
  // What only appends added, above another version. REQUIRES: the inode's mutex is held.
  Result<std::shared_ptr<SpoolFile>> copy_appended_locked(const Inode& inode, const std::string& path,
                                                          const ObjectInfo& theirs);
  Result<Snapshot> snapshot(const InodePtr& inode, const std::optional<Aim>& aim, Which which);
  void succeeded(const InodePtr& inode, const Snapshot& snapshot, const ObjectInfo& info);
  // `generation`: of the staged bytes when their publish began.
  Error failed(const InodePtr& inode, const Error& why, std::uint64_t generation, bool is_rename);
  void forget_locked(const InodePtr& inode);                     // REQUIRES: its mutex is held.
  static void retry_locked(Staging& staging, const Error& why);  // REQUIRES: the inode's mutex is held.
  void save_locked(Inode& inode, const std::string& path);       // REQUIRES: its mutex is held.
  Result<> publish_queued(const InodePtr& inode, WriteQueue::Order order);
  void digest_locked(Staging& staging, ByteRange range);  // REQUIRES: the inode's mutex is held.
  static bool is_marker(const Staging& staging);          // REQUIRES: the inode's mutex is held.
  InodePtr part(Sealed bytes, Attributes attributes);
  Error failed_sealed(const InodePtr& inode, const Error& why);
  Result<> seal_locked(Inode& inode, const std::string& path, bool keeps_bytes);
  Result<> complete_all(const InodePtr& inode);
  Result<> complete_from_base(const InodePtr& inode, std::uint64_t offset, std::uint64_t length);
  Result<> complete(SpoolFile& file, const std::optional<ObjectInfo>& base, std::uint64_t offset,
                    std::uint64_t length);
  std::vector<InodePtr> due_now();

  const FilesystemOptions& options_;
  Spool* const spool_;  // Null when read-only.
  ObjectStore& lake_;
  Publisher& publisher_;
  Tree& tree_;
  LakeView& view_;
  StandingPaths& standing_;
  CutOff cut_off_;
  Turns slots_;  // Publishes at once: fewer than the threads that answer the kernel.

  mutable std::mutex mutex_;  // A leaf. Guards all below, up to the threads.
  ForgetName forget_name_;
  std::map<NodeId, InodePtr> staged_;
  std::map<std::string, Error> untold_;  // By path.

  Workers digesters_;  // Of their own, so that nothing that is waited for waits behind them.
  UploadsAhead uploads_;
  KnownVersions versions_;
  WriteQueue queue_;
  Workers workers_;  // Last: its jobs use all above.
};

// For people.
[[nodiscard]] std::string to_words(const TheirVersion& theirs);

// What the record on disk says of an inode. REQUIRES: the inode's mutex is held.
SpoolRecord record_of(const Inode& inode, const std::string& path, const FilesystemOptions& options);

}  // namespace lakefuse
