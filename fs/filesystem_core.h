#pragma once

// The inside of Filesystem, shared by its .cpp files and by nobody else: each of them holds the operations of
// one noun (names, files, directories, attributes).

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/filesystem.h"
#include "fs/handle_table.h"
#include "fs/lake_view.h"
#include "fs/name_rules.h"
#include "fs/publishing.h"
#include "fs/released_claims.h"
#include "fs/standing_paths.h"
#include "fs/tree.h"
#include "fs/vacated_names.h"

namespace lakefuse {

struct FileHandle {
  InodePtr inode;
  bool may_write = false;
  bool appends = false;
  std::shared_ptr<const void> keeps_all;  // What is read is to be in the cache.
};

struct DirectoryHandle {
  InodePtr inode;

  std::mutex mutex;  // Held while the lake is asked: one reader of one handle at a time. Guards all below.
  std::optional<LakeView::Listing> listing;
  struct Row {
    std::string name;
    KeptObject object;  // Of files, until it has been told.
    mode_t type;
    bool is_beside_prefix = false;  // Its key lacks the name's ending.
    std::uint64_t moves = 0;        // Where its page was asked for: LakeView::Listing::moves().
  };
  // The last that were told, for a listing may have no end: offset `dropped` + n is rows[n - 1]'s end.
  std::deque<Row> rows;
  std::size_t dropped = 0;
  // What this machine alone had when its page came, or when the listing began, and was not told so far.
  std::set<std::string> owed;
  bool has_local_rows = false;
};

class FilesystemCore {
 public:
  FilesystemCore(FilesystemOptions options, ObjectStore& lake, Publisher& publisher, Spool* spool);

  // Names (fs/lookups.cpp).
  // A directory in which something is to change: kReadOnly, kNotADirectory.
  Result<InodePtr> directory_to_change(NodeId node) const;
  struct Found {
    InodePtr inode;  // Null: no such name.
    std::chrono::milliseconds valid{0};
    std::string key = {};  // Of that inode, or of a file that is made there: the only place that says so.
  };
  Result<Found> find(const InodePtr& directory, std::string_view name);
  // One try; nothing when a change of our own came across it.
  Result<std::optional<Found>> try_find(const InodePtr& directory, const std::string& name);
  // The same, where there must be something: kNotFound.
  Result<InodePtr> find_existing(const InodePtr& directory, std::string_view name);
  NodeEntry entry_for(const InodePtr& inode, std::chrono::milliseconds valid);
  // Has the kernel give up the names that it was told first, where it was told many.
  void forget_told();
  // The kernel asks for that name again. Under no lock.
  void forget_name(NodeId directory, const std::string& name);
  // The inode of what the lake holds under a name: the one that was there if it is that version, or a new
  // one.
  InodePtr inode_for(const InodePtr& directory, const std::string& name, const std::string& key,
                     const Holding& holding);
  NodeAttr attr_of(const InodePtr& inode, std::chrono::milliseconds valid);
  // Of what `caller` makes in that directory.
  Attributes attributes_in(const InodePtr& directory, mode_t mode, const Caller& caller);
  // What has no bytes and no close: symlinks and special files, and empty files by mknod. On the lake before
  // the answer, or held back or kept here, as its name says; kExists.
  Result<NodeEntry> make_node(const InodePtr& directory, std::string_view name, const Attributes& attributes);

  // Where a file is renamed to.
  struct Place {
    InodePtr directory;
    std::string name;
    std::string key;
    InodePtr replaced;  // Null: nothing is there.
  };

  // Open files (fs/file_operations.cpp): a handle, and what the kernel is told of it.
  std::shared_ptr<FileHandle> make_handle(const InodePtr& inode, int flags, const Caller& caller);
  OpenedFile hand_out(std::shared_ptr<FileHandle> handle);
  // A handle that was counted is no more: if it was the last that may write, what became dirty after the last
  // flush is brought to the lake.
  void let_go_of(const FileHandle& handle);
  // A file that holds its version's bytes (CachedStore::lend); mostly none.
  std::shared_ptr<const UniqueFd> lend(const InodePtr& inode);

  // Staged bytes (fs/staging.cpp).
  // Makes sure that writes have a place to go; `keep_bytes`: those of the version it has now stay. kToRead:
  // for who has it open; after a crash nobody misses it.
  enum class Stage { kToChange, kToRead };
  Result<std::shared_ptr<SpoolFile>> stage(const InodePtr& inode, bool keep_bytes,
                                           Stage why = Stage::kToChange);
  // The same; where no descriptor is left, once files that were promised before let go of theirs. Under no
  // lock.
  Result<std::shared_ptr<SpoolFile>> stage_in_time(const InodePtr& inode, bool keep_bytes);
  // The staged bytes, about to change: the inode's mutex is held until the change is done.
  struct Change {
    std::unique_lock<std::mutex> lock;
    StagedFile& bytes;
    std::shared_ptr<SpoolFile> file;
  };
  Result<Change> begin_change(const InodePtr& inode, bool keep_bytes);
  // Under the inode's mutex: the staged bytes or attributes changed.
  void touch(Inode& inode, bool appended);
  Result<BytesRead> read_bytes(const InodePtr& inode, std::uint64_t offset, std::span<std::byte> room);
  // So that an open file outlives its name: its bytes, or a way to them, before the name goes. False: neither
  // can be had.
  bool keep_readable(const InodePtr& inode);
  // An unlink, for as long as this lives. Who has the file open reads on.
  class Unlinking {
   public:
    Unlinking(FilesystemCore& core, InodePtr inode);
    ~Unlinking();
    Unlinking(const Unlinking&) = delete;
    Unlinking& operator=(const Unlinking&) = delete;

   private:
    const InodePtr inode_;
  };
  // For who opens it, and has counted its handle: who comes while it is unlinked reads its bytes, if they can
  // be had, or waits. kStale: it is gone, and so are they; the kernel looks the name up again.
  Result<> outlast_unlink(const InodePtr& inode);
  // For who opens it and does not empty it. kStale, at which the kernel looks the name up again: another
  // version is there by now, and he will write, or would have to read this one's bytes from the lake.
  Result<> see_that_it_is_there(const InodePtr& inode, bool will_write);
  Result<> truncate(const InodePtr& inode, std::uint64_t size);
  // kTooLarge: no object of the lake can have that size.
  Result<> check_size(const InodePtr& inode, std::uint64_t size) const;
  bool is_local_name(const InodePtr& inode) const;
  bool is_held_name(const InodePtr& inode) const;
  // What keeps a journal: its database, where that is open, was closed and could not be published yet, or
  // waits for a person (W9). Published by itself it would stand beside an older one, which opening then
  // corrupts.
  enum class Database { kNone, kOpen, kLate, kWaits };
  Database database_of(const InodePtr& journal) const;
  // Whether its name keeps it from the lake for now.
  bool stays_here(const InodePtr& inode) const;
  // Journals that were held back, and whose database keeps them no more: of the database at that path, whose
  // last writer is gone; and all of them, of databases that were removed, renamed or published late. Under no
  // lock.
  void release_journals(const std::string& database);
  void release_all_journals();
  void settle_journal(const InodePtr& journal);
  Result<> wait_with_database(const InodePtr& journal);
  Result<> close_file(const std::shared_ptr<FileHandle>& handle, const Caller& caller);
  // What closing means under this name: publish, hold back or keep.
  Result<> settle(const InodePtr& inode);
  // Whether its close returns once its bytes are safe here (--writeback).
  bool is_written_back(const InodePtr& inode) const;
  // Before a change at or below that path that the lake is to know when the caller does: all that was
  // promised before it comes first (design rule 10).
  Result<> catch_up(const std::string& path);
  // What was promised or ended without a sync is on disk when this returns: before anything that comes after
  // it is on the lake. Where it fails nobody need ask: so does the next promise, which says so.
  Result<> keep_order_on_disk();
  // chmod, chown, utimens, setxattr: without the bytes (fs/attribute_operations.cpp). `change` answers
  // whether something changed that the lake keeps.
  using ChangeOfAttributes = std::function<Result<bool>(Attributes&)>;
  Result<> change_attributes(const InodePtr& inode, const ChangeOfAttributes& change);
  Result<> change_directory(const InodePtr& inode, const Attributes& after);
  Result<> settle_in_turn(const InodePtr& inode);
  // What earlier mounts left (fs/recovery.cpp).
  void recover_all(std::vector<LeftBehind> left, std::vector<RemovalRecord> removals);
  void tell_damage();  // What of it could not be read, to the log.
  // Directory renames that were cut short: undone or finished, with the staged files that belong to them.
  // What the lake does not let us do now waits for the next mount.
  void settle_left_renames(std::vector<LeftBehind>& left);
  void publish_recovered(std::vector<RemovalRecord> removals);
  // `obstacle`: why it must not be published; empty where there is none.
  void recover(LeftBehind left, const std::string& obstacle);
  // A claim of O_EXCL whose first close an earlier mount did not live to see.
  void release_claim(LeftBehind left);
  InodePtr make_path(const SpoolRecord& record, Kind kind);
  // The directory that a path lies in, as far as it is known, and the rest of the path.
  std::pair<InodePtr, std::string> nearest_directory(const std::string& path) const;
  // What is at that path changed by no operation on it: whoever knows of it asks the lake again.
  void distrust_path(const std::string& path);

  // A name held by an empty object of ours on the lake (W5), with its record on disk.
  struct Claim {
    ObjectInfo object;
    std::shared_ptr<SpoolFile> record;
  };
  Result<Claim> claim(const std::string& path, const Attributes& attributes, const Expectation& expected);
  // Claims that may be on the lake though nobody holds them (fs/released_claims.h): looked at again.
  void release_later(ReleasedClaims::Claim claim);
  // A name that says lock is another name by now, as git's index.lock: its version may come back as they may.
  void release_renamed(const ObjectInfo& old_version);
  // Gone from the lake, if what is there is this one.
  Result<> take_away(const ReleasedClaims::Claim& claim);
  void look_at_released_claims(Moment until);

  // What the lake holds where the mount shows nothing: nothing, or what a vacated name left, which is not
  // removed as long as this lives (fs/vacated_names.h).
  struct Vacancy {
    Expectation expected;
    Turns::Held stays = {};
  };
  Result<Vacancy> vacancy(const std::string& path);
  // What a vacated name left on the lake and nothing of ours has replaced since.
  std::optional<ObjectInfo> left_at(const std::string& path);
  // Whether a link of the inode at `path` has begun of which only the lake knows how it ends: what was left
  // there may be replaced. REQUIRES: the inode's mutex is held.
  static bool may_be_linked_at(const Inode& inode, const std::string& path);
  // Removes from the lake those below `prefix` whose time has come by `until`.
  void clear_vacated(const std::string& prefix, Moment until);
  void tick();

  // Renames, once the names are found and checked (fs/file_rename.cpp, fs/file_exchange.cpp,
  // fs/directory_rename.cpp, fs/directory_exchange.cpp).
  Result<> rename_file(const InodePtr& inode, const InodePtr& from, const Place& to, bool may_replace);
  // --writeback: in the journal alone; false: the lake must be asked.
  Result<bool> rename_behind(const InodePtr& inode, const InodePtr& from, const Place& to, bool may_replace);
  Result<> exchange_files(const InodePtr& one, const InodePtr& other);
  // The inode's turn, as soon as may be: an upload that is under way is dropped.
  static Result<Turns::Held> take_turn_from_upload(const InodePtr& inode);
  // Of all of them, in the order of their nodes.
  static Result<std::vector<Turns::Held>> take_turns(std::vector<InodePtr> inodes);
  // All that is below those two is on the lake, and nobody else changes it for as long as this is held.
  // REQUIRES: the turn of `directory_renames`.
  Result<StandingPaths::Held> have_alone(const std::vector<InodePtr>& tops,
                                         const std::vector<std::string>& paths);
  Result<> rename_directory(const InodePtr& directory, const InodePtr& from, const InodePtr& to,
                            const std::string& new_name, const InodePtr& replaced);
  // What a rename that failed or was interrupted has still to take away, for it to be done or undone.
  struct Rest {
    std::function<Result<>()> take_away = {};  // Null: there is nothing.
    InodePtr directory = {};                   // Where it is,
    std::string name = {};                     // under that name.
    std::string words = {};
  };
  // The same by somebody who has them alone; also of a file with its record on disk. `rest`: null: it waits
  // for the next mount.
  Result<> rename_all(const InodePtr& top, const InodePtr& from, const InodePtr& to,
                      const std::string& new_name, const InodePtr& replaced, Rest* rest);
  // Tried again behind, for a while: who waits for the rename of `top`, or changes something where the rest
  // is, waits for that.
  void settle_behind(const Rest& rest, const InodePtr& top, Turns::Held one_at_a_time,
                     StandingPaths::Held alone);
  void leave_to_next_mount(const Rest& rest, const Error& why);
  // The same at mount, of what begins with the path `from`: an object, or what is below it.
  Result<> rename_left(const std::string& from, const std::string& to, std::vector<LeftBehind>& left);
  // Where at least one of them is a directory (fs/directory_exchange.cpp).
  Result<> exchange_all(const InodePtr& one, const InodePtr& other);
  Result<> settle_held(const InodePtr& inode);
  void settle_left_exchange(RenameJournal& journal, std::vector<LeftBehind>& left);
  // Names that are changing places are there all the time: who asks for one of them waits until they have.
  Result<> wait_for_exchange(const InodePtr& directory, std::string_view name);
  // Nor does it find what a call that a signal cut off is about to change.
  Result<> wait_for_cut_off(const InodePtr& directory, std::string_view name);
  // By us: what this mount knew of that path, vacated or met, is no more.
  void removed_from_lake(const std::string& path);
  // --writeback (fs/unlink_behind.cpp): the name is gone for this mount, and the lake's object goes in its
  // turn. False: this machine cannot promise it, and nothing has changed.
  Result<bool> unlink_behind(const InodePtr& directory, const InodePtr& inode);
  // What may be on the lake under that path goes in its turn; promised when this returns.
  // kSoon: a power cut may undo it until the next sync of anything here.
  Result<> remove_behind(RemovalRecord removal, SpoolFile::Safety safety);
  // Its halves: the promise, which changes nothing yet and gives the removal its place; and what it means.
  Result<> promise_removal(RemovalRecord& removal, SpoolFile::Safety safety);
  void will_remove(RemovalRecord removal);
  // What the lake held at that path is gone, or hidden: its directory's view says so.
  void name_is_gone(const std::string& path);
  // What the write queue does of those: directories that they empty stay, as they do on any disk.
  Result<> keep_directories(const std::vector<RemovalRecord>& removals);
  Result<> remove_promised(const std::vector<RemovalRecord>& removals);
  // An rmdir of that directory waits for them: what empties it need not keep it. When it ends, and the
  // directory is still there, it is kept.
  class Leaving;
  void give_up_removal(const RemovalRecord& removal, const Error& why);
  // The name is the lake's no more, and this inode never will be published, by the next mount neither.
  void bury(const InodePtr& inode);

  // The directory's marker, so that it stays when `key` (of a directory: with its "/"), the last thing in it,
  // goes.
  Result<> keep_directory(const InodePtr& directory, const std::string& key);
  // The same where the last thing in it is not on the lake, and goes: without an answer the directory does,
  // too.
  void keep_without(const InodePtr& directory, const InodePtr& unpublished);
  // An object without bytes. A claim is looked at again before it is used. `nonce`: empty: one is drawn.
  enum class Empty { kEntry, kClaim };
  Result<ObjectInfo> publish_empty(const std::string& path, const Attributes& attributes,
                                   const Expectation& expected, Empty kind = Empty::kEntry,
                                   const std::string& nonce = "");

  // Tells log and status (F1).
  void note_failure(std::string_view operation, const Error& error, bool unseen);

  // Null: the lake is read without one.
  [[nodiscard]] CachedStore* cache() const { return dynamic_cast<CachedStore*>(&lake); }

  [[nodiscard]] Error read_only_error() const {
    return {Errc::kReadOnly, options.uri + " is mounted read-only"};
  }

  const FilesystemOptions options;
  ObjectStore& lake;
  Publisher& publisher;
  Spool* const spool;
  const NameRules rules;
  const timespec mounted_at;
  Tree tree;
  VacatedNames vacated;
  ReleasedClaims released_claims;
  std::atomic<bool> is_vacating = false;  // A worker looks after vacated names and released claims.
  Turns vacating;  // Held over the removal of a vacated name, and by who needs one to stay as it is.
  LakeView view;
  StandingPaths standing;
  std::mutex naming;  // Giving a name an inode: in-memory work only. Taken before the tree's lock.

  std::atomic<dev_t> device{0};
  std::atomic<std::uint64_t> unseen_failures{0};
  std::atomic<std::uint64_t> requests{0};

  std::atomic<bool> lends = false;  // What passthrough says.

  std::mutex mutex;  // A leaf. Guards the five below.
  std::deque<RecentFailure> failures;
  std::vector<std::pair<InodePtr, std::string>> exchanging;  // Directories and names in them.
  std::multiset<std::string> leaving;  // Paths of directories whose rmdir waits for what was promised.
  Filesystem::KernelNotes notes;
  PassthroughState passthrough;

  Turns directory_renames;  // One at a time; of an exchange, held over all of it.

  Publishing publishing;  // Its jobs use all above.
  HandleTable<FileHandle> files;
  HandleTable<DirectoryHandle> directories;

  // One at a time, too. Not of a pool, whose threads may all wait for the paths that it has.
  std::jthread settling;

  std::jthread ticker;  // Last: uses all above.
};

}  // namespace lakefuse
