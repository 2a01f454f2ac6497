#include "fs/publishing.h"

#include <algorithm>
#include <ctime>

#include "cache/cached_store.h"
#include "cache/guarded.h"
#include "client/nonce.h"
#include "client/patience.h"
#include "fs/beside_name.h"
#include "fs/disk_room.h"
#include "fs/forwarded_bytes.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kBackgroundThreads = 16;  // As many parallel copies as pay on one origin.
constexpr std::size_t kDigesters = 2;           // Of a file one at a time; what they leave, closes digest.
constexpr std::size_t kFetchBytes = 4 << 20;    // What one fill from the base takes at once.
constexpr std::uint64_t kFewBytes = 1 << 20;    // Of the local disk.
constexpr milliseconds kAheadGrain{20};         // How soon a signal is seen while an address is waited for.
constexpr seconds kLongestPause{60};
constexpr seconds kPauseForOthers{2};     // Of what must not be there before them.
constexpr seconds kPauseForAPerson{300};  // Rights and protection change when a person changes them.

bool lacks_bytes(const Staging& staging) {
  const auto lacks = [](SpoolFile& file) { return file.bytes().missing(0, UINT64_MAX).has_value(); };
  return lacks(*staging.spool) || (staging.sealed && lacks(*staging.sealed->spool));
}

// Who reads next what was published from here, or appends to it, needs no GET: as notebooks do all day.
// REQUIRES: the inode's mutex is held, and its bytes are about to be let go of.
void leave_to_readers(const Inode& inode, ObjectStore& lake, const Spool& spool, KnownVersions& versions) {
  const Staging& staging = inode.staging;
  auto* const cached = dynamic_cast<CachedStore*>(&lake);
  if (cached == nullptr || staging.dirty || staging.spoilt || inode.is_deleted || !inode.version) return;
  const ObjectInfo version = *inode.version;
  StagedFile& bytes = staging.spool->bytes();
  // A file that is held takes room that others may want sooner.
  const bool has_room = version.size_bytes <= kFewBytes || version.size_bytes <= spool.free_bytes() / 8;
  if (bytes.size() != version.size_bytes || !has_room || !versions.is_ours(version.physical_address)) return;
  if (auto frozen = bytes.freeze()) cached->was_made_of(version, *std::move(frozen));
}

// What was only appended to begins as the version below it.
class AppendedBytes final : public ForwardedBytes {
 public:
  AppendedBytes(std::shared_ptr<const ByteSource> bytes, BeginsAs begins_as)
      : ForwardedBytes(std::move(bytes)), begins_as_(std::move(begins_as)) {}

  [[nodiscard]] const BeginsAs* begins_as() const override { return &begins_as_; }

 private:
  const BeginsAs begins_as_;
};

bool is_a_conflict(Errc code) {
  return code == Errc::kExists || code == Errc::kConflict;
}

// A try that was interrupted, as by the mount's end, knows less than the one before.
void say_why(Staging& staging, const Error& why) {
  if (why.code != Errc::kInterrupted || !staging.failure) staging.failure = why;
}

}  // namespace

struct Publishing::Snapshot {
  std::optional<PublishJob> job;  // Nothing: there is nothing to publish.
  std::shared_ptr<const ByteSource> bytes;
  std::uint64_t generation = 0;
  bool exclusive = false;
  bool is_elsewhere = false;  // Not under the name that it has.
  std::shared_ptr<AskedAhead> ahead;
  std::shared_ptr<SpoolFile> spool;  // Whose bytes they are.
  HeldParts parts;                   // That are at the store already.
};

Publishing::Publishing(const FilesystemOptions& options, ObjectStore& lake, Publisher& publisher, Tree& tree,
                       LakeView& view, StandingPaths& standing, Spool* spool)
    : options_(options),
      spool_(spool),
      lake_(lake),
      publisher_(publisher),
      tree_(tree),
      view_(view),
      standing_(standing),
      slots_(options.publishes_at_once),
      digesters_(spool == nullptr ? 0 : kDigesters),
      uploads_(lake, spool != nullptr),
      versions_(spool == nullptr ? nullptr : &spool->links()),
      workers_(kBackgroundThreads) {}

Publishing::~Publishing() {
  for (const InodePtr& inode : staged()) {  // The tree lives longer than what sends them.
    const std::lock_guard lock(inode->mutex);
    inode->staging.parts.reset();
  }
}

void Publishing::set_forget_name(ForgetName forget_name) {
  const std::lock_guard lock(mutex_);
  forget_name_ = std::move(forget_name);
}

Result<> Publishing::publish(const InodePtr& inode) {
  const auto stands = standing_.hold({inode});
  if (!stands) return stands.error();
  const auto turn = inode->turn.take();
  if (!turn) return turn.error();
  return publish_in_turn(inode);
}

Result<> Publishing::publish_in_turn(const InodePtr& inode, const std::optional<Aim>& aim) {
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(inode->mutex);
    const Staging& staging = inode->staging;
    generation = staging.generation;
    if (staging.dirty && !inode->is_deleted) {
      if (staging.spoilt) return *staging.spoilt;
      if (staging.wait == Wait::kPerson) return *staging.failure;
    }
  }
  for (int rebases = 0;; ++rebases) {
    const auto done = guarded([&] { return try_publish(inode, aim); });
    if (done) return done;
    if (!aim && rebases < kMostRebases && rebase(inode, done.error())) continue;
    cut_off_.may_come_later(aim ? aim->path : tree_.last_path(inode), done.error());
    return failed(inode, done.error(), generation, aim.has_value());
  }
}

bool Publishing::is_dropped(const InodePtr& inode, const Error& why) const {
  if (why.code != Errc::kInterrupted || Patience::current().stop_requested()) return false;
  const std::lock_guard lock(inode->mutex);
  return inode->is_deleted || inode->droppers > 0 || inode->publish_stop.stop_requested();
}

Result<> Publishing::try_publish(const InodePtr& inode, const std::optional<Aim>& aim, Which which) {
  std::stop_token unwanted;
  {
    const std::lock_guard lock(inode->mutex);
    if (!aim && inode->droppers > 0)
      return Error{Errc::kInterrupted, "the publish gives way to a change of the name"};
    inode->publish_stop = std::stop_source();
    unwanted = inode->publish_stop.get_token();
  }
  std::optional<PatienceUntil> patience(unwanted);
  const auto late = cut_off_.outlast({aim ? aim->path : tree_.last_path(inode)});
  if (!late) return late.error();
  auto taken = snapshot(inode, aim, which);
  if (!taken) return taken.error();
  if (!taken->job) return {};
  auto slot = slots_.take();
  if (!slot) return slot.error();
  patience.reset();  // The publisher goes by it itself: a link is waited for.
  if (taken->ahead && taken->ahead->is_taken.exchange(true)) {
    // A worker is asking already: its answer comes within that call's deadline. A signal ends the wait (F1),
    // and so does an unlink, which publish() tells.
    const auto is_unwanted = [&] { return taken->job->unwanted.stop_requested(); };
    while (taken->ahead->target.wait_for(kAheadGrain) != std::future_status::ready && !is_unwanted()) {
      if (Patience::current().stop_requested())
        return Error{Errc::kInterrupted, "publish of " + taken->job->path.str() +
                                             ": a signal ended the wait for an upload's address"};
    }
    if (!is_unwanted()) taken->job->target = taken->ahead->target.get();
  }
  auto published = publisher_.publish(*taken->job, *taken->bytes);
  if (!published) {
    if (published.error().code == Errc::kUntrustworthy) {  // Next time by what is in the file, all of it.
      const std::lock_guard lock(inode->mutex);
      inode->staging.digest.reset();
    }
    return published.error();
  }
  succeeded(inode, *taken, *published);
  return {};
}

// Whether it can go on above what is there now. Nothing, where it may be we who removed it. A version of
// ours, by an earlier publish whose end nobody saw (a kill -9 came first): what is missing here is in it as
// well. Anybody's, for who only appended: the same bytes go to its end instead, so that a shared log keeps
// every line (design section 5).
bool Publishing::rebase(const InodePtr& inode, const Error& why) {
  if (!is_a_conflict(why.code) && why.code != Errc::kStale) return false;
  const auto text = tree_.path(inode);
  const auto path = ObjectPath::make(text.value_or(""));
  if (!path || spool_ == nullptr) return false;
  auto theirs = lake_.stat(*path, ObjectStore::Look::kForReading);
  if (!theirs && theirs.error().code == Errc::kNotFound) {
    const std::lock_guard lock(inode->mutex);
    if (!std::exchange(inode->may_be_removed, false) || inode->staging.wait == Wait::kPerson) return false;
    inode->staging.expected = Expectation::absent();
    return true;
  }
  if (!theirs) return false;
  std::shared_ptr<SpoolFile> old;
  {
    const std::lock_guard lock(
        inode->mutex);  // Held over a copy on the local disk: writes of this file wait for it.
    Staging& staging = inode->staging;
    if (staging.wait == Wait::kPerson || staging.spool == nullptr) return false;
    if (goes_on_above_locked(staging, *theirs)) return true;
    if (staging.copied_over && is_copy(*theirs, *staging.copied_over)) {
      staging.copied_over.reset();
      staging.expected = Expectation::of(*theirs);
      return true;
    }
    if (!staging.append_only || staging.exclusive) return false;
    auto fresh = copy_appended_locked(*inode, *text, *theirs);
    if (!fresh) return false;
    old = std::exchange(staging.spool, *std::move(fresh));
    staging.appended_from = 0;
    staging.base = *theirs;
    staging.expected = Expectation::of(*theirs);
    ++staging.generation;
    staging.uploading = false;
    inode->attributes.own = attributes_of(*theirs, options_).own;
    inode->version = *std::move(theirs);
  }
  old->discard();
  return true;
}

bool Publishing::goes_on_above_locked(Staging& staging, const ObjectInfo& theirs) const {
  if (!is_nonce(nonce_of(theirs.metadata), staging.nonce, theirs.physical_address, lake_.facts().can_presign))
    return false;
  if (staging.base) staging.base = theirs;
  staging.expected = Expectation::of(theirs);
  return true;
}

// It keeps the nonce: a link of the old one that comes late is ours, and where a crash leaves both, the next
// mount knows them as one (recovery). What was promised stays promised.
Result<std::shared_ptr<SpoolFile>> Publishing::copy_appended_locked(const Inode& inode,
                                                                    const std::string& path,
                                                                    const ObjectInfo& theirs) {
  const Staging& staging = inode.staging;
  SpoolRecord record = record_of(inode, path, options_);
  record.base = theirs;
  record.expected = Expectation::of(theirs);
  SpoolRecord half = record;
  half.state = SpoolRecord::State::kClean;  // After a crash the old one counts.
  auto fresh = spool_->create(half);
  if (!fresh) return fresh;
  const auto fill = [&]() -> Result<> {
    std::vector<std::byte> buffer(kFetchBytes);
    for (std::uint64_t at = std::max(staging.base ? staging.base->size_bytes : 0, staging.appended_from);;) {
      const auto got = staging.spool->bytes().read(at, buffer);
      if (!got) return got.error();
      if (*got == 0) break;
      if (auto added = (*fresh)->bytes().append(std::span(buffer).first(*got)); !added) return added.error();
      at += *got;
    }
    const bool is_open = record.state == SpoolRecord::State::kOpen;
    return (*fresh)->save(record, is_open ? SpoolFile::Safety::kSoon : SpoolFile::Safety::kDurable);
  };
  if (auto filled = fill(); !filled) {
    (*fresh)->discard();
    return filled.error();
  }
  return fresh;
}

Result<Publishing::Snapshot> Publishing::snapshot(const InodePtr& inode, const std::optional<Aim>& aim,
                                                  Which which) {
  const auto own_path = aim ? std::optional(aim->path) : tree_.path(inode);
  {
    const std::lock_guard lock(inode->mutex);
    const Staging& staging = inode->staging;
    if (!staging.dirty || inode->is_deleted) return Snapshot{};
  }
  if (!own_path) {  // Another client's object has the name since, or nothing has.
    return Error{Errc::kConflict, "publish of " + tree_.last_path(inode) +
                                      ": another client replaced or removed it after it was opened"};
  }
  auto path = ObjectPath::make(*own_path);
  if (!path) return path.error();
  std::unique_lock lock(inode->mutex, std::defer_lock);
  do {  // Again where it was sealed meanwhile: the writer's copy lacks what was fetched since.
    if (lock.owns_lock()) lock.unlock();
    if (auto whole = complete_all(inode); !whole) return whole.error();
    lock.lock();
    const Staging& staging = inode->staging;
    if (!staging.dirty || staging.spool == nullptr || inode->is_deleted) return Snapshot{};
    if (which == Which::kQueued && staging.wait != Wait::kQueue) return Snapshot{};
    if (which == Which::kSealed && !staging.sealed) return Snapshot{};
  } while (lacks_bytes(inode->staging));
  Staging& staging = inode->staging;
  if (which != Which::kSealed && !aim && is_marker(staging) && queue_.is_stuck_before(staging.order))
    return Error{Errc::kBusy,
                 "publish of " + *own_path + ": what was closed before it could not be published"};
  Snapshot taken;
  taken.spool = which == Which::kSealed ? staging.sealed->spool : staging.spool;
  auto frozen = taken.spool->bytes().freeze();
  if (!frozen) return frozen.error();
  const SpoolRecord record =
      which == Which::kSealed ? staging.sealed->record : record_of(*inode, *own_path, options_);
  taken.bytes = *std::move(frozen);
  if (staging.digest && staging.digest->file() == taken.spool) {
    taken.bytes = staging.digest->go_along(std::move(taken.bytes));
    const auto* digested = taken.bytes->digested();
    if (digested != nullptr && log_is_on(LogLevel::kDebug))
      log_debug("publish of " + *own_path + ": " + std::to_string(digested->size()) + " of " +
                std::to_string(taken.bytes->size()) + " bytes were digested while they were written");
  }
  if (staging.append_only && which != Which::kSealed && staging.expected.version)
    taken.bytes = std::make_shared<AppendedBytes>(
        std::move(taken.bytes),
        BeginsAs{staging.expected.version->path, staging.expected.version.size_bytes()});
  taken.generation = staging.generation;
  taken.exclusive = staging.exclusive;
  taken.is_elsewhere = aim.has_value();
  taken.job.emplace(PublishJob{.path = *std::move(path), .meta = record.meta});
  taken.job->expected = options_.on_conflict == OnConflict::kOverwrite && !staging.exclusive
                            ? Expectation::anything()
                        : aim ? aim->expected
                              : staging.expected;
  taken.job->nonce = aim && !aim->nonce.empty() ? aim->nonce : staging.nonce;
  if (staging.ahead && staging.ahead->path == *own_path) taken.ahead = staging.ahead;
  staging.ahead.reset();
  if (staging.parts && staging.parts->file() == taken.spool) {
    taken.parts = std::move(staging.parts);
    taken.parts->close();
    if (taken.parts->is_for(taken.job->path)) taken.job->ahead = taken.parts.share();
  }
  staging.uploading = true;
  staging.may_be_linked = true;
  taken.job->unwanted = inode->publish_stop.get_token();
  return taken;
}

void Publishing::succeeded(const InodePtr& inode, const Snapshot& snapshot, const ObjectInfo& info) {
  versions_.is_ours_now(info.physical_address);
  // First the directory's view, then the inode: a lookup in between must find the name.
  const auto [directory, name] = tree_.parent_and_name(inode);
  std::shared_ptr<SpoolFile> needless;
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    staging.uploading = false;
    // Whoever removed it knows that it may be there; without its turn it says so first, and then what the
    // directory holds.
    if (inode->is_deleted) return;
    if (directory != nullptr && tree_.path(inode) == info.path)
      view_.changed_object(directory, inode->key, info);
    versions_.met(info.path, info);  // Before it is clean: a rename over it goes by the one or the other.
    staging.failure.reset();
    staging.tries = 0;
    staging.expected = Expectation::of(info);
    staging.nonce = draw_nonce();
    staging.may_be_linked = false;
    staging.copied_over.reset();
    staging.exclusive = false;
    inode->claimed_by_us |= snapshot.exclusive;
    inode->may_be_removed = false;
    inode->version = info;
    inode->version_seen = clock_now();
    // What was sealed is there now, or something newer is.
    const bool is_needless =
        staging.sealed && (staging.sealed->spool == snapshot.spool || staging.spool == snapshot.spool);
    if (is_needless) needless = std::exchange(staging.sealed, std::nullopt)->spool;
    if (staging.spool != snapshot.spool) staging.appended_from = info.size_bytes;
    staging.dirty = staging.generation != snapshot.generation || staging.spool != snapshot.spool;
    const bool is_closed = staging.wait == Wait::kQueue || staging.wait == Wait::kRetry;
    if (!staging.dirty) {
      staging.wait = Wait::kNothing;
      staging.promised = false;  // Kept.
      staging.was_closed = false;
    } else if (!is_closed) {
      staging.wait = Wait::kClose;  // What was closed since stays closed.
    }
    // What is written from now on, or is being written, has no place yet.
    if (!staging.dirty || (!is_closed && !staging.sealed)) queue_.mend(std::exchange(staging.order, 0));
  }
  std::ignore = untold(info.path);  // It is there after all.
  if (!snapshot.is_elsewhere) took_name(inode);
  if (needless != nullptr) needless->discard(safety_of_ends());
}

void Publishing::took_name(const InodePtr& inode) {
  {
    const std::lock_guard lock(inode->mutex);
    if (!inode->staging.dirty) inode->is_ours = false;
  }
  drop_if_clean(inode);
  save(inode);  // Where it is kept for its writer, it says what it became.
}

void Publishing::retry_locked(Staging& staging, const Error& why) {
  const milliseconds pause =
      why.code == Errc::kBusy ? kPauseForOthers
      : is_passing(why.code)
          ? std::min<milliseconds>(kLongestPause, seconds(1) * (1 << std::min(staging.tries, 6)))
          : kPauseForAPerson;
  ++staging.tries;
  say_why(staging, why);
  staging.wait = Wait::kRetry;
  staging.due = clock_now() + pause;
  staging.since_seconds = std::time(nullptr);
}

Error Publishing::failed_untried(const InodePtr& inode, const Error& why, std::uint64_t generation) {
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    if (!staging.dirty || inode->is_deleted || staging.spoilt || staging.wait != Wait::kClose) return why;
    if (staging.generation != generation && inode->writers > 0) return why;
    retry_locked(staging, why);
  }
  save(inode);
  return why;
}

Error Publishing::failed(const InodePtr& inode, const Error& why, std::uint64_t generation, bool is_rename) {
  bool lost_a_race = false;
  Error told = why;
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    staging.uploading = false;
    if (inode->is_deleted) return why;
    if (is_rename) {
      // The rename fails and nothing else changes: the bytes are where they were.
      if (is_a_conflict(why.code)) told.code = Errc::kBusy;
      return told;
    }
    // Somebody made a name that was absent when it was opened here: only O_EXCL asked to be told so (W5, W6).
    if (why.code == Errc::kExists && !staging.exclusive) told.code = Errc::kConflict;
    say_why(staging, told);
    // Stale: what was not changed can be had no more, for another version is there.
    lost_a_race = is_a_conflict(told.code) || told.code == Errc::kStale;
    // Whoever is changing it meanwhile closes it again: to try it before would publish half of the change.
    const bool is_written_again = staging.generation != generation && inode->writers > 0;
    // What has a place in the queue keeps it where trying again may help.
    const bool is_in_queue = staging.wait == Wait::kQueue && is_passing(told.code);
    if ((staging.wait == Wait::kQueue || staging.sealed) && !is_passing(told.code))
      queue_.stick(staging.order);
    if (is_in_queue) staging.since_seconds = std::time(nullptr);
    if (!lost_a_race && !is_written_again && !is_in_queue) retry_locked(staging, told);
  }
  if (lost_a_race)
    set_aside(inode, told);
  else
    save(inode);
  return told;
}

void Publishing::set_aside(const InodePtr& inode, const Error& why) {
  if (const InodePtr spoilt = part_from_sealed(inode)) return set_aside(spoilt, why);
  const std::string path = tree_.last_path(inode);
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    staging.wait = Wait::kPerson;
    staging.failure = why;
    staging.spoilt.reset();  // A person decides about all of it.
    staging.since_seconds = std::time(nullptr);
    staging.parts.reset();
    inode->is_ours = false;
    save_locked(*inode, path);
  }
  look_at_theirs_behind(inode);
  const auto [directory, name] = tree_.parent_and_name(inode);
  tree_.unname(inode);
  // What the lake holds there now is not what we believed.
  if (directory != nullptr) give_back(directory, name);
}

void Publishing::give_back(const InodePtr& directory, const std::string& name) {
  view_.distrust(directory, name);
  if (const auto key = key_beside(name)) view_.distrust(directory, *key);
  ForgetName forget;
  {
    const std::lock_guard lock(mutex_);
    forget = forget_name_;
  }
  if (forget) forget(directory, name);
}

Result<TheirVersion> Publishing::look_at_theirs(const InodePtr& inode) {
  const auto path = ObjectPath::make(tree_.last_path(inode));
  if (!path) return path.error();
  auto found = look_at(lake_, *path);
  if (!found) return found.error();
  TheirVersion theirs{*std::move(found)};
  const std::lock_guard lock(inode->mutex);
  inode->staging.theirs = theirs;
  return theirs;
}

void Publishing::look_at_theirs_behind(const InodePtr& inode) {
  workers_.post([this, inode] { std::ignore = look_at_theirs(inode); });
}

void Publishing::drop_if_clean(const InodePtr& inode) {
  std::shared_ptr<SpoolFile> dropped;
  std::optional<Sealed> sealed;
  {
    const std::lock_guard lock(inode->mutex);
    const bool is_open = tree_.handles(inode) > 0;
    Staging& staging = inode->staging;
    if (staging.spool == nullptr || staging.wait == Wait::kPerson) return;
    const bool is_wanted = !staging.spoilt || staging.sealed || holds_promises(staging);
    if (staging.dirty && !inode->is_deleted && is_wanted) return;
    // Who still writes goes on in it; who still has a deleted file open reads it.
    if (inode->writers > 0) return;
    if ((inode->is_deleted || inode->is_kept_here) && is_open) return;
    inode->is_kept_here = false;
    leave_to_readers(*inode, lake_, *spool_, versions_);  // First, so that no reader comes in between.
    dropped = std::exchange(staging.spool, nullptr);
    sealed = std::exchange(staging.sealed, std::nullopt);
    queue_.mend(staging.order);
    staging = Staging{};
    inode->is_ours = false;
    forget_locked(inode);
  }
  tree_.tidy(inode);
  dropped->discard(safety_of_ends());
  if (sealed) sealed->spool->discard(safety_of_ends());
}

void Publishing::ask_ahead(const InodePtr& inode) {
  if (!lake_.facts().can_presign) return;
  const auto text = tree_.path(inode);
  auto path = ObjectPath::make(text.value_or(""));
  if (!path) return;
  const auto ahead = std::make_shared<AskedAhead>(*text);
  {
    const std::lock_guard lock(inode->mutex);
    inode->staging.ahead = ahead;
  }
  workers_.post([this, ahead, path = *std::move(path)] {
    if (ahead->is_taken.exchange(true)) return;
    auto target = guarded([&] { return lake_.upload_target(path); });
    // A failure is publish()'s to tell: it asks again.
    ahead->answer.set_value(target ? std::optional(*std::move(target)) : std::nullopt);
  });
}

void Publishing::digest_ahead(Inode& inode) {
  inode.staging.digest = std::make_shared<FileDigest>(digesters_, inode.staging.spool);
}

void Publishing::digest_locked(Staging& staging, ByteRange range) {
  if (!staging.digest) return;
  if (lake_.facts().can_presign_multipart && range.end >= kMultipartFrom) {
    staging.digest.reset();  // Parts have digests of their own.
    return;
  }
  if (staging.digest->file() != staging.spool) {
    if (staging.sealed) return;  // It is of what was promised.
    staging.digest = std::make_shared<FileDigest>(digesters_, staging.spool);
  }
  staging.digest->wrote(range);
}

bool Publishing::wrote(Inode& inode, ByteRange range) {
  Staging& staging = inode.staging;
  if (inode.is_deleted || staging.wait != Wait::kClose) return false;
  digest_locked(staging, range);
  if (!uploads_.is_offered()) return false;
  if (staging.parts && staging.parts->file() != staging.spool) {
    if (staging.sealed) return false;  // They are of what was promised.
    staging.parts.reset();
  }
  if (!staging.parts) staging.parts = HeldParts(std::make_shared<FileParts>(uploads_, staging.spool));
  return staging.parts->wrote(range) && staging.spool->bytes().size() >= kMultipartFrom;
}

void Publishing::send_ahead(const InodePtr& inode) {
  const auto text = tree_.path(inode);
  const auto path = ObjectPath::make(text.value_or(""));
  if (!path) return;
  const std::lock_guard lock(inode->mutex);
  Staging& staging = inode->staging;
  if (!staging.parts || staging.parts->file() != staging.spool || inode->is_deleted) return;
  if (staging.wait != Wait::kClose || staging.spoilt) return;
  if (!staging.parts->send(*path)) staging.parts.reset();  // Renamed since.
}

Result<> Publishing::complete(const InodePtr& inode, std::uint64_t offset, std::uint64_t length) {
  auto completed = complete_from_base(inode, offset, length);
  if (completed || completed.error().code != Errc::kStale) return completed;
  // An earlier mount may have brought it there, and was not told: what is missing is in that, too.
  const auto path = ObjectPath::make(tree_.last_path(inode));
  if (!path) return completed;
  const auto theirs = lake_.stat(*path, ObjectStore::Look::kForReading);
  if (!theirs) return completed;
  {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.spool == nullptr) return {};  // Published meanwhile.
    if (!goes_on_above_locked(inode->staging, *theirs)) return completed;
  }
  return complete_from_base(inode, offset, length);
}

Result<> Publishing::complete_from_base(const InodePtr& inode, std::uint64_t offset, std::uint64_t length) {
  while (true) {
    std::shared_ptr<SpoolFile> spool;
    std::optional<ObjectInfo> base;
    {
      const std::lock_guard lock(inode->mutex);
      spool = inode->staging.spool;
      base = inode->staging.base;
    }
    auto completed = spool == nullptr ? Result<>() : complete(*spool, base, offset, length);
    if (completed || !base) return completed;
    const std::lock_guard lock(inode->mutex);
    const KeptObject& now = inode->staging.base;
    if (!now || now->path == base->path) return completed;  // Else a directory above was renamed meanwhile.
  }
}

// What is promised and what is being written, too: the base cannot be read any more once another version is
// in its place.
Result<> Publishing::complete_all(const InodePtr& inode) {
  if (auto whole = complete(inode, 0, UINT64_MAX); !whole) return whole;
  std::optional<Sealed> sealed;
  {
    const std::lock_guard lock(inode->mutex);
    sealed = inode->staging.sealed;
  }
  return sealed ? complete(*sealed->spool, sealed->record.base, 0, UINT64_MAX) : Result<>();
}

Result<> Publishing::complete(SpoolFile& file, const std::optional<ObjectInfo>& base, std::uint64_t offset,
                              std::uint64_t length) {
  std::vector<std::byte> buffer;
  while (const auto missing = file.bytes().missing(offset, length)) {
    if (!base) return Error{Errc::kLocalIo, "the staged file lacks bytes of a version that is not known"};
    buffer.resize(std::min<std::uint64_t>(kFetchBytes, missing->end - missing->begin));
    const auto got = lake_.read(*base, missing->begin, buffer);
    if (!got) return got.error();
    if (*got == 0) return Error{Errc::kUntrustworthy, "the object " + base->path + " ends before its size"};
    const auto bytes = std::span(buffer).first(*got);
    const auto filled = put_with_room(lake_, [&] { return file.bytes().fill(missing->begin, bytes); });
    if (!filled) return filled.error();
  }
  return {};
}

Result<std::size_t> Publishing::read_past(const InodePtr& inode, SpoolFile& file, std::uint64_t offset,
                                          std::span<std::byte> out) {
  std::vector<ByteRange> lakes;  // Asked for first: what is written meanwhile is a later state.
  for (std::uint64_t at = offset, end = offset + out.size(); at < end; at = lakes.back().end) {
    const auto missing = file.bytes().missing(at, end - at);
    if (!missing) break;
    lakes.push_back(*missing);
  }
  std::optional<ObjectInfo> base;
  {
    const std::lock_guard lock(inode->mutex);
    base = inode->staging.base;
  }
  const auto here = file.bytes().read(offset, out);
  if (!here || lakes.empty()) return here;
  if (!base) return Error{Errc::kLocalIo, "the staged file lacks bytes of a version that is not known"};
  for (const ByteRange& range : lakes) {
    const std::uint64_t end = std::min(range.end, offset + *here);
    for (std::uint64_t at = range.begin; at < end;) {
      const auto got = lake_.read(*base, at, out.subspan(at - offset, end - at));
      if (!got) return got.error();
      if (*got == 0) return Error{Errc::kUntrustworthy, "the object " + base->path + " ends before its size"};
      at += *got;
    }
  }
  return here;
}

std::vector<InodePtr> Publishing::staged() const {
  const std::lock_guard lock(mutex_);
  std::vector<InodePtr> all;
  for (const auto& [node, inode] : staged_) all.push_back(inode);
  return all;
}

void Publishing::remember(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  staged_[inode->node] = inode;
}

void Publishing::forget_locked(const InodePtr& inode) {
  const std::lock_guard lock(mutex_);
  staged_.erase(inode->node);
}

std::vector<InodePtr> Publishing::due_now() {
  std::vector<InodePtr> due;
  const Moment now = clock_now();
  for (const InodePtr& inode : staged()) {
    const std::lock_guard lock(inode->mutex);
    const Staging& staging = inode->staging;
    const bool waits = staging.wait == Wait::kRetry || (staging.wait == Wait::kRename && inode->writers == 0);
    if (waits && staging.due <= now && !staging.uploading) due.push_back(inode);
  }
  return due;
}

// Nobody waits for these: their failures were told already, or are told by status.
void Publishing::tick(const std::function<bool(const InodePtr&)>& may_go) {
  for (const InodePtr& inode : due_now()) {
    if (!may_go(inode)) continue;
    {
      const std::lock_guard lock(inode->mutex);
      inode->staging.due = clock_now() + kLongestPause;  // Not again while it is under way.
    }
    workers_.post([this, inode] {
      const auto done = guarded([&]() -> Result<> {
        const auto promised = options_.writeback != Writeback::kOff ? publish_behind(inode) : false;
        return promised && *promised ? Result<>() : publish(inode);
      });
      if (!done) log_warn("still not on the lake: " + done.error().message);
    });
  }
  queue_.tick();
}

}  // namespace lakefuse
