// What is staged, as it stands on disk for the next mount, and as it is told to people.

#include <algorithm>
#include <ctime>

#include "client/nonce.h"
#include "fs/log.h"
#include "fs/publishing.h"
#include "fs/quantity.h"

namespace lakefuse {

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
    case Wait::kQueue:
      record.state = SpoolRecord::State::kQueued;
      break;
    case Wait::kPerson:
      record.state = SpoolRecord::State::kConflict;
      break;
  }
  if (inode.is_deleted) record.state = SpoolRecord::State::kClean;  // Nobody's, but whose who has it open.
  record.path = path;
  record.is_beside_prefix = inode.is_beside_prefix;
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
  // What is written over a sealed promise has no place yet.
  record.order = staging.sealed && staging.wait == Wait::kClose ? 0 : staging.order;
  record.is_barrier = staging.is_barrier;
  record.since_seconds = staging.since_seconds;
  return record;
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
    if (staging.wait == Wait::kQueue) return seal_locked(*inode, path, keeps_bytes);
    // A record that outlives a power cut gives way to one that does, before the bytes change.
    const bool is_durable = staging.promised || staging.wait == Wait::kRename;
    const bool is_closed =
        staging.wait == Wait::kRename || staging.wait == Wait::kRetry || staging.wait == Wait::kForever;
    staging.was_closed = keeps_bytes && (staging.was_closed || staging.promised || is_closed);
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
    inode->staging.spoilt.reset();  // What is there is all that there is to have.
    inode->staging.since_seconds = std::time(nullptr);
  }
  save(inode);
}

void Publishing::save(const InodePtr& inode) {
  const bool is_named = tree_.is_named(inode);
  const std::string path = tree_.last_path(inode);
  const std::lock_guard lock(inode->mutex);
  if (is_named || inode->staging.wait == Wait::kPerson) save_locked(*inode, path);
}

void Publishing::save_locked(Inode& inode, const std::string& path) {
  Staging& staging = inode.staging;
  if (staging.spool == nullptr) return;
  const SpoolRecord record = record_of(inode, path, options_);
  // What says that bytes survive a power cut must not say more than is on the disk, nor less than it said.
  const bool is_promise = record.state == SpoolRecord::State::kSynced || staging.wait == Wait::kQueue ||
                          staging.wait == Wait::kRename;
  const auto safety = is_promise ? SpoolFile::Safety::kDurable : SpoolFile::Safety::kSoon;
  auto saved = staging.spool->save(record, safety);
  if (saved && staging.sealed && staging.sealed->record.path != path) {  // A directory above was renamed.
    staging.sealed->record.path = path;
    saved = staging.sealed->spool->save(staging.sealed->record, SpoolFile::Safety::kDurable);
  }
  if (!saved) log_error("the record of " + path + " cannot be written: " + saved.error().message);
}

std::string to_words(const TheirVersion& theirs) {
  if (!theirs.object) return "nothing is there";
  return format_bytes(theirs.object->size_bytes) + " of " + format_time(theirs.object->mtime_seconds) + ", " +
         theirs.object->physical_address;
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
    case Wait::kQueue:
      file.state = staging.failure ? "failed" : "queued";
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
  if (file.state == "conflict" && staging.theirs) file.theirs = to_words(*staging.theirs);
  return file;
}

}  // namespace lakefuse
