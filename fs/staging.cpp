// The bytes of a file while it is written here: where they are staged, what a read of them sees, what a close
// means.

#include <chrono>
#include <ctime>

#include "client/nonce.h"
#include "client/patience.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"
#include "fs/processes.h"

namespace lakefuse {
namespace {

// An open file that small is fetched whole before its name goes; of a larger one the URL is kept, which lives
// for minutes (the data itself stays in the store until garbage collection, a day at least).
constexpr std::uint64_t kKeptWhole = 64 << 20;

// Who waits for a turn wakes up within microseconds.
constexpr std::chrono::milliseconds kUntilItIsTaken{1};

// How long until who waits for a descriptor looks whether there is one.
constexpr std::chrono::milliseconds kUntilNextTry{50};

}  // namespace

Result<std::shared_ptr<SpoolFile>> FilesystemCore::stage(const InodePtr& inode, bool keep_bytes, Stage why) {
  if (spool == nullptr) return read_only_error();
  {  // Every write comes by here: names are looked at once a file, not once a write.
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.spool != nullptr) return inode->staging.spool;
  }
  const std::string path = tree.last_path(inode);
  const bool is_litter = is_local_name(inode);
  const bool goes_to_the_lake = why == Stage::kToChange && !is_litter && !is_held_name(inode);
  const auto vacant = vacancy(path);
  if (!vacant) return vacant.error();
  std::shared_ptr<SpoolFile> file;
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    if (staging.spool != nullptr) return staging.spool;
    staging = Staging{};
    if (keep_bytes) staging.base = inode->version;
    staging.expected = inode->version ? Expectation::of(*inode->version) : vacant->expected;
    staging.nonce = draw_nonce();
    staging.since_seconds = std::time(nullptr);
    staging.wait = why == Stage::kToChange ? Wait::kClose : Wait::kNothing;
    auto made = spool->create(record_of(*inode, path, options));
    if (!made)
      return made.error().in("cannot keep the bytes of " + path + " in " + spool->directory().string());
    staging.spool = *std::move(made);
    if (!is_litter) publishing.digest_ahead(*inode);
    file = staging.spool;
    publishing.remember(inode);
  }
  if (tree.last_path(inode) != path) publishing.save(inode);  // A directory above was renamed meanwhile.
  if (goes_to_the_lake) publishing.ask_ahead(inode);
  return file;
}

Result<std::shared_ptr<SpoolFile>> FilesystemCore::stage_in_time(const InodePtr& inode, bool keep_bytes) {
  WriteQueue& queue = publishing.queue();
  while (true) {
    auto staged = stage(inode, keep_bytes);
    if (staged || staged.error().code != Errc::kTooManyOpen) return staged;
    const bool moves = queue.wait_for(queue.last(), kUntilNextTry) > 0;
    if (!moves || Patience::current().stop_requested()) return stage(inode, keep_bytes);
  }
}

Result<FilesystemCore::Change> FilesystemCore::begin_change(const InodePtr& inode, bool keep_bytes) {
  while (true) {
    auto file = stage_in_time(inode, keep_bytes);
    if (!file) return file.error();
    std::unique_lock lock(inode->mutex);
    if (inode->staging.spool != *file) continue;  // Published or based anew meanwhile.
    if (Publishing::is_open_on_disk(inode->staging, keep_bytes))
      return Change{std::move(lock), (*file)->bytes(), *file};
    lock.unlock();
    if (auto opened = publishing.reopen(inode, keep_bytes); !opened) return opened.error();
  }
}

void FilesystemCore::touch(Inode& inode, bool appended) {
  Staging& staging = inode.staging;
  staging.dirty = true;
  ++staging.generation;
  staging.append_only &= appended;
  inode.attributes.mtime = inode.attributes.ctime = now_on_the_clock();
  if (staging.wait != Wait::kPerson && !inode.is_deleted) inode.is_ours = true;
}

Result<BytesRead> FilesystemCore::read_bytes(const InodePtr& inode, std::uint64_t offset,
                                             std::span<std::byte> room) {
  std::optional<ObjectInfo> version;
  while (true) {
    std::shared_ptr<SpoolFile> file;
    {
      const std::lock_guard lock(inode->mutex);
      note_access(inode->attributes);
      file = inode->staging.spool;
      version = inode->version;
    }
    if (file == nullptr) {
      if (!version || offset >= version->size_bytes) return BytesRead{};
      const std::uint64_t length = std::min<std::uint64_t>(room.size(), version->size_bytes - offset);
      auto got = lake.read_in_place(*version, offset, room.first(length));
      if (got) return got;
      {
        // A directory above was renamed meanwhile: the version is at another path.
        const std::lock_guard lock(inode->mutex);
        if (inode->version && inode->version->path != version->path) continue;
      }
      if (got.error().code != Errc::kStale || inode->is_ours) return got;
      // Whoever opens it next is to find what took its place.
      if (const auto [directory, key] = tree.parent_and_key(inode); directory != nullptr)
        view.distrust(directory, key);
      return got;
    }
    if (auto whole = publishing.complete(inode, offset, room.size()); !whole) {
      if (whole.error().code != Errc::kNoSpace) return whole.error();
      // Without room for them here the lake's bytes go to their reader only.
      auto got = publishing.read_past(inode, *file, offset, room);
      if (!got) return got.error();
      return BytesRead{.bytes = room.first(*got)};
    }
    // Another has taken its place where appends went above another version meanwhile.
    if (file->bytes().missing(offset, room.size())) continue;
    const auto filled = file->bytes().read(offset, room);
    if (!filled) return filled.error();
    return BytesRead{.bytes = room.first(*filled)};
  }
}

// Its version may have been replaced up to a TTL ago. No call reads by address: what the first read would ask
// the lake is asked now, while the name can still be looked up again, and the URL that comes along serves
// that read. Who changes a part of a file, or appends to it, begins with what is there: several machines do
// so in turns, by a lock on the lake.
Result<> FilesystemCore::see_that_it_is_there(const InodePtr& inode, bool will_write) {
  while (true) {
    const auto [directory, key] = tree.parent_and_key(inode);
    // Whoever of ours is about to take its name knows what he replaces, and leaves a way to read it.
    if (directory == nullptr || inode->is_ours || inode->turn.are_taken()) return {};
    std::optional<ObjectInfo> version;
    {
      const std::lock_guard lock(inode->mutex);
      if (inode->staging.spool != nullptr || inode->is_being_unlinked || !inode->version) return {};
      version = inode->version;
    }
    const auto replaced = [&] {
      return Error{Errc::kStale, "open of " + version->path + ": another version is there by now"};
    };
    if (view.doubts(directory, key)) return replaced();
    CachedStore* const cached = cache();
    const bool reads_the_lake = version->size_bytes > 0 && lake.facts().can_presign &&
                                (cached == nullptr || !cached->has_some(*version));
    if (options.immutable_ref || !(will_write || reads_the_lake)) return {};
    const auto path = ObjectPath::make(version->path);
    if (!path) return path.error();
    const auto found = lake.stat(*path, ObjectStore::Look::kForReading);
    if (found && same_version(*found, *version)) return {};
    // A writer goes on here, whatever becomes of the lake: his close tells.
    if (!found && found.error().code != Errc::kNotFound) {
      if (will_write) return {};
      return found.error();
    }
    if (inode->turn.are_taken() || tree.parent_and_key(inode).first == nullptr) continue;
    {
      // It was removed, renamed or written here meanwhile, or a directory above was renamed.
      const std::lock_guard lock(inode->mutex);
      if (inode->is_being_unlinked || !inode->version || !inode->version.is_same_version(*version) ||
          inode->version->path != version->path)
        continue;
    }
    view.distrust(directory, key);
    return replaced();
  }
}

bool FilesystemCore::keep_readable(const InodePtr& inode) {
  if (inode->kind != Kind::kFile || tree.handles(inode) == 0) return true;
  std::optional<ObjectInfo> version;
  {
    const std::lock_guard lock(inode->mutex);
    inode->is_kept_here = true;  // Also from a publish that ends, or a close, before the name has gone.
    version = inode->version;
  }
  if (!version || version->size_bytes == 0) return true;
  if (version->size_bytes <= kKeptWhole && spool != nullptr) {
    auto file = stage(inode, true, Stage::kToRead);
    const bool is_whole = file && publishing.complete(inode, 0, UINT64_MAX);
    publishing.drop_if_clean(inode);  // Where it was closed before it was staged.
    if (is_whole) return true;
  }
  const auto path = ObjectPath::make(version->path);
  const auto found = path ? lake.stat(*path, ObjectStore::Look::kForReading) : path.error();
  return found && same_version(*found, *version);
}

FilesystemCore::Unlinking::Unlinking(FilesystemCore& core, InodePtr inode) : inode_(std::move(inode)) {
  {
    const std::lock_guard lock(inode_->mutex);
    inode_->is_being_unlinked = true;
  }
  core.keep_readable(inode_);
}

FilesystemCore::Unlinking::~Unlinking() {
  const std::lock_guard lock(inode_->mutex);
  inode_->is_being_unlinked = inode_->is_deleted;
}

Result<> FilesystemCore::outlast_unlink(const InodePtr& inode) {
  enum class Unlink { kNone, kUnderWay, kDone };
  const auto unlink = [&] {
    const std::lock_guard lock(inode->mutex);
    return !inode->is_being_unlinked ? Unlink::kNone : inode->is_deleted ? Unlink::kDone : Unlink::kUnderWay;
  };
  if (unlink() == Unlink::kNone || keep_readable(inode)) return {};
  Unlink now = unlink();
  for (; now == Unlink::kUnderWay; now = unlink())
    if (!sleep_out(Patience::current(), kUntilItIsTaken))
      return Error{Errc::kInterrupted, "open: while the file was being removed"};
  if (now == Unlink::kNone) return {};
  // By /proc/PID/fd it can be opened yet: what was kept for who has it open, such as a URL, is there for all.
  std::byte first{};
  const auto read = read_bytes(inode, 0, std::span(&first, 1));
  if (read || read.error().code != Errc::kStale) return {};
  return Error{Errc::kStale, "open: the file was removed"};
}

Result<> FilesystemCore::truncate(const InodePtr& inode, std::uint64_t size) {
  if (auto fits = check_size(inode, size); !fits) return fits;
  auto change = begin_change(inode, size != 0);
  if (!change) return change.error();
  if (auto cut = change->bytes.truncate(size); !cut) return cut.error();
  if (size == 0) {  // Begun anew.
    inode->staging.spoilt.reset();
    inode->staging.was_closed = false;
    inode->staging.parts.reset();
    if (inode->staging.digest) publishing.digest_ahead(*inode);
  }
  touch(*inode, false);
  return {};
}

bool FilesystemCore::is_local_name(const InodePtr& inode) const {
  return rules.is_local(tree.shown_path(inode));
}

bool FilesystemCore::is_held_name(const InodePtr& inode) const {
  const auto [directory, name] = tree.parent_and_name(inode);
  if (directory == nullptr) return false;
  const std::lock_guard lock(inode->mutex);
  const bool is_claim = inode->made_exclusively && rules.is_claimed(name);
  return rules.is_temporary(name, inode->made_exclusively) && !is_claim;
}

FilesystemCore::Database FilesystemCore::database_of(const InodePtr& journal) const {
  const auto [directory, name] = tree.parent_and_name(journal);
  const auto database_name = database_of_journal(name);
  if (directory == nullptr || database_name.empty()) return Database::kNone;
  if (const InodePtr database = tree.child(directory, database_name)) {
    const std::lock_guard lock(database->mutex);
    if (database->writers > 0) return Database::kOpen;
  }
  const std::string path = tree.path_below(directory, database_name);
  for (const InodePtr& staged : publishing.staged()) {
    if (tree.last_path(staged) != path) continue;
    const std::lock_guard lock(staged->mutex);
    const Staging& staging = staged->staging;
    if (staging.wait == Wait::kPerson) return staged->writers > 0 ? Database::kOpen : Database::kWaits;
    // Or its last writer closes it just now.
    const bool is_closing =
        staging.wait == Wait::kClose && staging.dirty && !staging.spoilt && !staged->is_deleted;
    if (staging.wait == Wait::kRetry || is_closing) return Database::kLate;
  }
  return Database::kNone;
}

void FilesystemCore::release_journals(const std::string& database) {
  const auto [directory, name] = nearest_directory(database);
  if (name.empty() || name.find('/') != name.npos) return;
  for (const char* ending : {"-journal", "-wal", "-shm"})
    if (const InodePtr journal = tree.child(directory, name + ending)) settle_journal(journal);
}

void FilesystemCore::release_all_journals() {
  for (const InodePtr& inode : publishing.staged()) {
    {
      const std::lock_guard lock(inode->mutex);
      if (inode->staging.wait != Wait::kRename || inode->staging.due != Moment::max()) continue;
    }
    if (database_of_journal(tree.parent_and_name(inode).second).empty()) continue;
    const Database database = database_of(inode);
    if (database != Database::kOpen && database != Database::kLate && !inode->turn.are_taken())
      publishing.workers().post([this, inode] { settle_journal(inode); });
  }
}

void FilesystemCore::settle_journal(const InodePtr& journal) {
  const auto is_held = [&] {
    const std::lock_guard lock(journal->mutex);
    return journal->staging.wait == Wait::kRename && journal->writers == 0;
  };
  if (!is_held()) return;
  const auto settled = [&]() -> Result<> {
    const auto stands = standing.hold({journal});
    if (!stands) return stands.error();
    const auto turn = journal->turn.take();
    if (!turn) return turn.error();
    if (!is_held()) return {};
    const auto promised = is_written_back(journal) ? publishing.publish_behind(journal) : false;
    return promised && *promised ? Result<>() : settle_in_turn(journal);
  }();
  if (!settled) log_warn("a journal is not on the lake: " + settled.error().message);
}

bool FilesystemCore::is_written_back(const InodePtr& inode) const {
  if (options.writeback == Writeback::kOff || stays_here(inode)) return false;
  if (options.writeback == Writeback::kAll) return true;
  const std::lock_guard lock(inode->mutex);
  return !inode->staging.exclusive;  // Whoever asked for O_EXCL is told who won (W5).
}

Result<> FilesystemCore::settle(const InodePtr& inode) {
  if (is_written_back(inode)) {
    const auto promised = publishing.publish_behind(inode);
    if (!promised) return promised.error();
    if (*promised) return {};
  }
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(inode->mutex);
    generation = inode->staging.generation;
  }
  const bool goes_to_the_lake = !stays_here(inode);
  const auto first = goes_to_the_lake ? catch_up(tree.last_path(inode)) : Result<>();
  while (true) {
    const auto stands = first ? standing.hold({inode}) : first.error();
    auto turn = stands ? inode->turn.take() : stands.error();
    if (!turn)
      return goes_to_the_lake ? publishing.failed_untried(inode, turn.error(), generation) : turn.error();
    auto settled = settle_in_turn(inode);
    if (settled || !publishing.is_dropped(inode, settled.error())) return settled;
    // Whoever takes the name has the turn next. Then there is nothing left to publish, or all of it again.
    turn = Turns::Held();
    if (!sleep_out(Patience::current(), kUntilItIsTaken)) return settled;
  }
}

bool FilesystemCore::stays_here(const InodePtr& inode) const {
  return is_local_name(inode) || database_of(inode) != Database::kNone || is_held_name(inode);
}

Result<> FilesystemCore::wait_with_database(const InodePtr& journal) {
  {
    const std::lock_guard lock(journal->mutex);
    if (!journal->staging.dirty) return {};
  }
  const Error why{Errc::kConflict,
                  "publish of " + tree.last_path(journal) + ": its database waits for a person"};
  publishing.set_aside(journal, why);
  return why;
}

Result<> FilesystemCore::settle_in_turn(const InodePtr& inode) {
  if (is_local_name(inode)) {
    publishing.keep_here(inode);
    return {};
  }
  switch (database_of(inode)) {
    case Database::kNone:
      break;
    case Database::kOpen:
    case Database::kLate:
      return publishing.hold_back(inode, false);
    case Database::kWaits:
      return wait_with_database(inode);
  }
  if (is_held_name(inode)) return publishing.hold_back(inode, true);
  return publishing.publish_in_turn(inode);
}

Result<> FilesystemCore::close_file(const std::shared_ptr<FileHandle>& handle, const Caller& caller) {
  const InodePtr& inode = handle->inode;
  pid_t opener = 0;
  bool is_half_a_file = false, is_empty = false;
  std::shared_ptr<SpoolFile> claim;
  {
    const std::lock_guard lock(inode->mutex);
    if (handle->may_write) claim = std::move(inode->claim);
  }
  if (claim != nullptr) claim->discard();  // Whoever made it lives to close it: it stays.
  {
    const std::lock_guard lock(inode->mutex);
    const Staging& staging = inode->staging;
    if (!staging.dirty || inode->is_deleted) return {};
    if (!handle->may_write) return {};
    if (staging.spoilt) return *staging.spoilt;
    if (staging.wait == Wait::kPerson) return *staging.failure;
    opener = inode->opener;
    is_empty = staging.spool != nullptr && staging.spool->bytes().size() == 0;
    is_half_a_file = staging.expected.kind == Expectation::Kind::kVersion && !staging.append_only;
  }
  if (is_half_a_file && caller.tid != 0 && is_killed_by_signal(caller.tid)) {
    const Error why{Errc::kInterrupted,
                    "close of " + tree.last_path(inode) +
                        ": its writer was killed by a signal, so that it may be half written"};
    publishing.set_aside(inode, why);
    return why;
  }
  const auto closer = caller.tid == 0 ? std::nullopt : process_of(caller.tid);
  const auto still_open = [&](pid_t process) -> std::optional<bool> {
    // Few hold any inode of that number, and the list of mounts is long.
    if (const auto any = holds_descriptor(process, std::nullopt, inode->ino); any == false) return false;
    const auto mount = mount_id_of(process, device);
    return mount ? holds_descriptor(process, *mount, inode->ino) : std::nullopt;
  };
  // One that is gone holds nothing; of one that cannot be read only the opener's close counts.
  bool is_held_open = false;
  if (closer) {
    const auto held = still_open(*closer);
    is_held_open = held ? *held : (opener != 0 && *closer != opener);
    if (!is_held_open && opener != 0 && opener != *closer) is_held_open = still_open(opener).value_or(false);
  }
  if (!is_held_open) return settle(inode);
  // Where there are no bytes yet nothing can be lost, and after a crash an empty file that nobody had closed
  // would be published (W4).
  return is_empty ? Result<>() : publishing.make_safe(inode);
}

}  // namespace lakefuse
