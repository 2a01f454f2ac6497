#include "fs/publishing.h"

#include <algorithm>
#include <ctime>

#include "client/nonce.h"
#include "client/patience.h"
#include "fs/log.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kBackgroundThreads = 16;  // As many parallel copies as pay on one origin.
constexpr std::size_t kFetchBytes = 4 << 20;    // What one fill from the base takes at once.
constexpr milliseconds kTendEvery{200};         // The grain of temporary_age and of retries.
constexpr milliseconds kAheadGrain{20};         // How soon a signal is seen while an address is waited for.
constexpr seconds kLongestPause{60};
constexpr seconds kPauseForAPerson{300};         // Rights and protection change when a person changes them.
constexpr std::size_t kMetRemembered = 100'000;  // Versions opened or published, for renames over them.
constexpr int kMostRebases = 8;                  // Of one close: a log that busy is not waited for.
constexpr std::size_t kOursRemembered =
    1'000'000;  // Addresses of this mount's writes, for commit's question.

Moment clock_now() {
  return std::chrono::steady_clock::now();
}

bool is_a_conflict(Errc code) {
  return code == Errc::kExists || code == Errc::kConflict;
}

}  // namespace

struct Publishing::Snapshot {
  std::optional<PublishJob> job;  // Nothing: there is nothing to publish.
  std::shared_ptr<const ByteSource> bytes;
  std::uint64_t generation = 0;
  bool exclusive = false;
  std::shared_ptr<AskedAhead> ahead;
};

SpoolRecord record_of(const Inode& inode, const std::string& path, const FilesystemOptions& options) {
  const Staging& staging = inode.staging;
  SpoolRecord record;
  switch (staging.wait) {
    case Wait::kNothing:
    case Wait::kClose:
      record.state = staging.promised ? SpoolRecord::State::kSynced : SpoolRecord::State::kOpen;
      if (staging.wait == Wait::kNothing && !staging.dirty) record.state = SpoolRecord::State::kClean;
      break;
    case Wait::kRename:
    case Wait::kForever:
      record.state = SpoolRecord::State::kHeld;
      break;
    case Wait::kRetry:
      record.state = SpoolRecord::State::kFailed;
      break;
    case Wait::kPerson:
      record.state = SpoolRecord::State::kConflict;
      break;
  }
  if (inode.is_deleted) record.state = SpoolRecord::State::kClean;  // Nobody's, but whose who has it open.
  record.path = path;
  record.base = staging.base;
  record.expected = staging.expected;
  record.meta.mtime_seconds = inode.attributes.mtime.tv_sec;
  record.meta.content_type = inode.version ? inode.version->content_type : "";
  record.meta.metadata = metadata_of(inode.attributes, options, "");
  if (!staging.nonce.empty()) record.meta.metadata[std::string(kNonceKey)] = staging.nonce;
  record.append_only = staging.append_only;
  if (staging.failure) {
    record.reason = staging.failure->message;
    record.cause = to_word(staging.failure->code);
  }
  record.since_seconds = staging.since_seconds;
  return record;
}

Publishing::Publishing(const FilesystemOptions& options, ObjectStore& lake, Publisher& publisher, Tree& tree,
                       LakeView& view, Spool* spool)
    : options_(options),
      spool_(spool),
      lake_(lake),
      publisher_(publisher),
      tree_(tree),
      view_(view),
      slots_(options.publishes_at_once),
      workers_(kBackgroundThreads),
      tender_([this](const std::stop_token& stop) { tend(stop); }) {}

Publishing::~Publishing() {
  tender_.request_stop();
  tender_.join();
}

void Publishing::set_forget_name(ForgetName forget_name) {
  const std::lock_guard lock(mutex_);
  forget_name_ = std::move(forget_name);
}

Result<> Publishing::publish(const InodePtr& inode) {
  auto turn = inode->turn.take();
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
    const auto done = try_publish(inode, aim);
    if (done) return {};
    if (!aim && rebases < kMostRebases && rebase_appends(inode, done.error())) continue;
    return failed(inode, done.error(), generation, aim.has_value());
  }
}

Result<> Publishing::try_publish(const InodePtr& inode, const std::optional<Aim>& aim) {
  auto taken = snapshot(inode, aim);
  if (!taken) return taken.error();
  if (!taken->job) return {};
  auto slot = slots_.take();
  if (!slot) return slot.error();
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
  if (!published) return published.error();
  succeeded(inode, *taken, *published);
  return {};
}

// Who only appended loses nothing by another version: the same bytes go to its end instead, so that a shared
// log keeps every line (design section 5).
bool Publishing::rebase_appends(const InodePtr& inode, const Error& why) {
  if (!is_a_conflict(why.code) && why.code != Errc::kStale) return false;
  const auto text = tree_.path(inode);
  const auto path = ObjectPath::make(text.value_or(""));
  if (!path || spool_ == nullptr) return false;
  auto theirs = lake_.stat(*path, ObjectStore::Look::kForReading);
  if (!theirs) return false;
  std::shared_ptr<SpoolFile> old;
  {
    const std::lock_guard lock(
        inode->mutex);  // Held over a copy on the local disk: writes of this file wait for it.
    Staging& staging = inode->staging;
    if (!staging.append_only || staging.exclusive || staging.wait == Wait::kPerson ||
        staging.spool == nullptr)
      return false;
    SpoolRecord record = record_of(*inode, *text, options_);
    record.base = *theirs;
    record.expected = Expectation::of(*theirs);
    auto fresh = spool_->create(record);
    if (!fresh) return false;
    std::vector<std::byte> buffer(kFetchBytes);
    for (std::uint64_t at = staging.base ? staging.base->size_bytes : 0;;) {
      const auto got = staging.spool->bytes().read(at, buffer);
      const bool copied = got && (*got == 0 || (*fresh)->bytes().append(std::span(buffer).first(*got)));
      if (!copied) {
        (*fresh)->discard();
        return false;
      }
      if (*got == 0) break;
      at += *got;
    }
    old = std::exchange(staging.spool, *std::move(fresh));
    staging.base = *theirs;
    staging.expected = Expectation::of(*theirs);
    staging.nonce = draw_nonce();
    ++staging.generation;
    staging.uploading = false;
    inode->attributes.own = attributes_of(*theirs, options_).own;
    inode->version = *std::move(theirs);
  }
  old->discard();
  return true;
}

Result<Publishing::Snapshot> Publishing::snapshot(const InodePtr& inode, const std::optional<Aim>& aim) {
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
  if (auto whole = complete(inode, 0, UINT64_MAX); !whole) return whole.error();

  const std::lock_guard lock(inode->mutex);
  Staging& staging = inode->staging;
  if (!staging.dirty || staging.spool == nullptr) return Snapshot{};
  auto frozen = staging.spool->bytes().freeze();
  if (!frozen) return frozen.error();
  const SpoolRecord record = record_of(*inode, *own_path, options_);
  Snapshot taken;
  taken.bytes = *std::move(frozen);
  taken.generation = staging.generation;
  taken.exclusive = staging.exclusive;
  taken.job.emplace(PublishJob{.path = *std::move(path), .meta = record.meta});
  taken.job->expected = options_.on_conflict == OnConflict::kOverwrite && !staging.exclusive
                            ? Expectation::anything()
                        : aim ? aim->expected
                              : staging.expected;
  taken.job->nonce = staging.nonce;
  if (staging.ahead && staging.ahead->path == *own_path) taken.ahead = staging.ahead;
  staging.ahead.reset();
  staging.uploading = true;
  inode->publish_stop = std::stop_source();
  taken.job->unwanted = inode->publish_stop.get_token();
  return taken;
}

void Publishing::succeeded(const InodePtr& inode, const Snapshot& snapshot, const ObjectInfo& info) {
  is_ours_now(info.physical_address);
  met(info.path, info);
  // First the directory's view, then the inode: a lookup in between must find the name.
  const auto [directory, name] = tree_.parent_and_name(inode);
  if (directory != nullptr && tree_.path(inode) == info.path)
    view_.changed_object(directory, inode->key, info);
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    staging.uploading = false;
    staging.failure.reset();
    staging.tries = 0;
    staging.wait = Wait::kNothing;
    staging.expected = Expectation::of(info);
    staging.nonce = draw_nonce();
    staging.exclusive = false;
    inode->claimed_by_us |= snapshot.exclusive;
    inode->version = info;
    inode->version_seen = clock_now();
    staging.dirty = staging.generation != snapshot.generation;
    if (staging.dirty) {
      staging.wait = Wait::kClose;
    } else {
      staging.promised = false;  // Kept.
      inode->is_ours = false;
    }
  }
  drop_if_clean(inode);
  save(inode);  // Where it is kept for its writer, it says what it became.
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
    staging.failure = told;
    // Stale: what was not changed can be had no more, for another version is there.
    lost_a_race = is_a_conflict(told.code) || told.code == Errc::kStale;
    // Whoever is changing it meanwhile closes it again: to try it before would publish half of the change.
    const bool is_written_again = staging.generation != generation && inode->writers > 0;
    if (!lost_a_race && !is_written_again) {
      staging.wait = Wait::kRetry;
      const milliseconds pause =
          is_passing(told.code)
              ? std::min<milliseconds>(kLongestPause, seconds(1) * (1 << std::min(staging.tries, 6)))
              : kPauseForAPerson;
      ++staging.tries;
      staging.due = clock_now() + pause;
      staging.since_seconds = std::time(nullptr);
    }
  }
  if (lost_a_race)
    set_aside(inode, told);
  else
    save(inode);
  return told;
}

void Publishing::set_aside(const InodePtr& inode, const Error& why) {
  const std::string path = tree_.last_path(inode);
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    staging.wait = Wait::kPerson;
    staging.failure = why;
    staging.since_seconds = std::time(nullptr);
    inode->is_ours = false;
    save_locked(*inode, path);
  }
  look_at_theirs(inode);
  const auto [directory, name] = tree_.parent_and_name(inode);
  tree_.unname(inode);
  // What the lake holds there now is not what we believed.
  if (directory != nullptr) give_back(directory, name);
}

void Publishing::give_back(const InodePtr& directory, const std::string& name) {
  view_.distrust(directory, name);
  ForgetName forget;
  {
    const std::lock_guard lock(mutex_);
    forget = forget_name_;
  }
  if (forget) forget(directory, name);
}

void Publishing::look_at_theirs(const InodePtr& inode) {
  auto path = ObjectPath::make(tree_.last_path(inode));
  if (!path) return;
  workers_.post([this, inode, path = *std::move(path)] {
    const auto theirs = lake_.stat(path, ObjectStore::Look::kEntry);
    std::string words;
    if (theirs)
      words = format_bytes(theirs->size_bytes) + " of " + format_time(theirs->mtime_seconds) + ", " +
              theirs->physical_address;
    else if (theirs.error().code == Errc::kNotFound)
      words = "nothing is there";
    const std::lock_guard lock(inode->mutex);
    inode->staging.theirs = std::move(words);
  });
}

Result<> Publishing::make_safe(const InodePtr& inode) {
  const auto path = tree_.last_path(inode);
  const std::lock_guard lock(
      inode->mutex);  // Held over an fsync: a write of this file waits for it, as on any disk.
  Staging& staging = inode->staging;
  if (!staging.dirty || staging.spool == nullptr || inode->is_deleted) return {};
  const bool was_promised = std::exchange(staging.promised, true);
  auto saved = staging.spool->save(record_of(*inode, path, options_), SpoolFile::Safety::kDurable);
  if (!saved) staging.promised = was_promised;
  return saved;
}

bool Publishing::is_open_on_disk(const Staging& staging, bool keeps_bytes) {
  if (staging.wait == Wait::kPerson) return true;  // Never published by itself, whatever it holds.
  return staging.wait == Wait::kClose && (keeps_bytes || !staging.promised);
}

Result<> Publishing::reopen(const InodePtr& inode, bool keeps_bytes) {
  const std::string path = tree_.last_path(inode);
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    if (staging.spool == nullptr || is_open_on_disk(staging, keeps_bytes)) return {};
    // A record that outlives a power cut gives way to one that does, before the bytes change.
    const bool is_durable = staging.promised || staging.wait == Wait::kRename;
    staging.promised = false;
    staging.wait = Wait::kClose;
    auto saved = staging.spool->save(record_of(*inode, path, options_),
                                     is_durable ? SpoolFile::Safety::kDurable : SpoolFile::Safety::kSoon);
    if (!saved) return saved;
  }
  if (tree_.last_path(inode) != path) save(inode);  // Renamed meanwhile.
  return {};
}

Result<> Publishing::hold_back(const InodePtr& inode, bool ages) {
  const auto path = tree_.path(inode);
  if (!path) return {};
  const std::lock_guard lock(inode->mutex);
  Staging& staging = inode->staging;
  if (!staging.dirty || staging.spool == nullptr) return {};
  if (staging.spoilt) return *staging.spoilt;
  if (staging.wait == Wait::kPerson) return *staging.failure;
  staging.wait = Wait::kRename;
  staging.since_seconds = std::time(nullptr);
  staging.due = ages ? clock_now() + options_.temporary_age : Moment::max();
  return staging.spool->save(record_of(*inode, *path, options_), SpoolFile::Safety::kDurable);
}

void Publishing::keep_here(const InodePtr& inode) {
  {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.spool == nullptr) return;
    inode->staging.wait = Wait::kForever;
    inode->staging.since_seconds = std::time(nullptr);
  }
  save(inode);
}

void Publishing::save(const InodePtr& inode) {
  const auto path = tree_.path(inode);
  if (!path) return;
  const std::lock_guard lock(inode->mutex);
  save_locked(*inode, *path);
}

void Publishing::save_locked(Inode& inode, const std::string& path) {
  if (inode.staging.spool == nullptr) return;
  const SpoolRecord record = record_of(inode, path, options_);
  // What says that bytes survive a power cut must not say more than is on the disk.
  const bool is_promise = record.state == SpoolRecord::State::kSynced;
  const auto safety = is_promise ? SpoolFile::Safety::kDurable : SpoolFile::Safety::kSoon;
  if (auto saved = inode.staging.spool->save(record, safety); !saved)
    log_error("the record of " + path + " cannot be written: " + saved.error().message);
}

void Publishing::drop_if_clean(const InodePtr& inode) {
  std::shared_ptr<SpoolFile> dropped;
  const bool is_open = tree_.handles(inode) > 0;
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    if (staging.spool == nullptr || staging.wait == Wait::kPerson) return;
    if (staging.dirty && !inode->is_deleted && !staging.spoilt) return;
    // Who still writes goes on in it; who still has a deleted file open reads it.
    if (inode->writers > 0) return;
    if (inode->is_deleted && is_open) return;
    dropped = std::exchange(staging.spool, nullptr);
    staging = Staging{};
    inode->is_ours = false;
  }
  abandon(inode);
  dropped->discard();
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
    auto target = lake_.upload_target(path);
    // A failure is publish()'s to tell: it asks again.
    ahead->answer.set_value(target ? std::optional(*std::move(target)) : std::nullopt);
  });
}

Result<> Publishing::complete(const InodePtr& inode, std::uint64_t offset, std::uint64_t length) {
  std::shared_ptr<SpoolFile> spool;
  std::optional<ObjectInfo> base;
  {
    const std::lock_guard lock(inode->mutex);
    spool = inode->staging.spool;
    base = inode->staging.base;
  }
  if (spool == nullptr) return {};
  std::vector<std::byte> buffer;
  while (const auto missing = spool->bytes().missing(offset, length)) {
    if (!base) return Error{Errc::kLocalIo, "the staged file lacks bytes of a version that is not known"};
    buffer.resize(std::min<std::uint64_t>(kFetchBytes, missing->end - missing->begin));
    const auto got = lake_.read(*base, missing->begin, buffer);
    if (!got) return got.error();
    if (*got == 0) return Error{Errc::kUntrustworthy, "the object " + base->path + " ends before its size"};
    if (auto filled = spool->bytes().fill(missing->begin, std::span(buffer).first(*got)); !filled)
      return filled.error();
  }
  return {};
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

void Publishing::abandon(const InodePtr& inode) {
  {
    const std::lock_guard lock(mutex_);
    staged_.erase(inode->node);
  }
  tree_.tidy(inode);
}

bool Publishing::is_ours(const std::string& physical_address) const {
  const std::lock_guard lock(mutex_);
  return ours_.contains(physical_address);
}

void Publishing::is_ours_now(const std::string& physical_address) {
  const std::lock_guard lock(mutex_);
  if (ours_.size() < kOursRemembered) ours_.insert(physical_address);
}

void Publishing::met(const std::string& path, const ObjectInfo& version) {
  const std::lock_guard lock(mutex_);
  if (met_.size() >= kMetRemembered && !met_.contains(path)) met_.erase(met_.begin());
  met_[path] = version;
}

void Publishing::removed(const std::string& path) {
  const std::lock_guard lock(mutex_);
  met_.erase(path);
}

std::optional<ObjectInfo> Publishing::last_met(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = met_.find(path);
  return found == met_.end() ? std::nullopt : std::optional(found->second);
}

PendingFile Publishing::describe(const InodePtr& inode) const {
  PendingFile file;
  file.path = tree_.last_path(inode);
  const std::lock_guard lock(inode->mutex);
  const Staging& staging = inode->staging;
  switch (staging.wait) {
    case Wait::kNothing:
    case Wait::kClose:
      file.state = staging.dirty ? inode->writers > 0 ? "open" : "dirty" : "clean";
      break;
    case Wait::kRename:
      file.state = "held";
      break;
    case Wait::kRetry:
      file.state = "failed";
      break;
    case Wait::kPerson:
      file.state = "conflict";
      break;
    case Wait::kForever:
      file.state = "local";
      break;
  }
  if (staging.uploading) file.state = "uploading";
  if (inode->is_deleted) file.state = "clean";  // Whoever has it open reads it; nobody else will.
  if (staging.spool != nullptr) {
    file.size_bytes = staging.spool->bytes().size();
    file.kept_in = staging.spool->data_path();
    file.is_whole = !staging.spool->bytes().missing(0, UINT64_MAX).has_value();
  }
  if (staging.failure) {
    file.cause = to_word(staging.failure->code);
    file.reason = staging.failure->message;
  }
  file.since_seconds = staging.since_seconds;
  if (file.state == "conflict") file.theirs = staging.theirs;
  return file;
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
void Publishing::tend(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  while (!stop.stop_requested()) {
    for (const InodePtr& inode : due_now()) {
      {
        const std::lock_guard lock(inode->mutex);
        inode->staging.due = clock_now() + kLongestPause;  // Not again while it is under way.
      }
      workers_.post([this, inode] {
        if (auto done = publish(inode); !done) log_warn("still not on the lake: " + done.error().message);
      });
    }
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, kTendEvery, [] { return false; });
  }
}

}  // namespace lakefuse
