// --writeback: what a close has promised is safe on this machine and reaches the lake in its turn. While it
// waits it may be written again: then what was promised is sealed, and the writer goes on in a copy.

#include <algorithm>
#include <ctime>
#include <utility>

#include "cache/guarded.h"
#include "client/nonce.h"
#include "fs/log.h"
#include "fs/publishing.h"

namespace lakefuse {
namespace {

constexpr std::size_t kCopyBytes = 1 << 20;

// Bytes that this machine has; those that are still the base's stay so.
Result<> copy_bytes(StagedFile& from, StagedFile& to) {
  const std::uint64_t size = from.size();
  if (to.size() != size)
    if (auto cut = to.truncate(size); !cut) return cut;
  std::vector<std::byte> buffer(kCopyBytes);
  for (std::uint64_t at = 0; at < size;) {
    const auto missing = from.missing(at, size - at);
    if (missing && missing->begin == at) {
      at = missing->end;
      continue;
    }
    const std::uint64_t end = std::min(missing ? missing->begin : size, at + kCopyBytes);
    const auto got = from.read(at, std::span(buffer).first(end - at));
    if (!got) return got.error();
    if (*got == 0) return Error{Errc::kLocalIo, "a staged file ends before its size"};
    if (auto written = to.write(at, std::span(buffer).first(*got)); !written) return written;
    at += *got;
  }
  return {};
}

}  // namespace

Result<bool> Publishing::publish_behind(const InodePtr& inode, WriteQueue::Kind kind) {
  const auto path = tree_.path(inode);
  if (!path) return false;
  std::optional<Sealed> superseded;
  WriteQueue::Order order = 0;
  {
    const std::lock_guard lock(inode->mutex);  // Held over the syncs, as in make_safe().
    Staging& staging = inode->staging;
    if (!staging.dirty || staging.spool == nullptr || inode->is_deleted) return true;
    if (staging.spoilt) return *staging.spoilt;
    if (staging.wait == Wait::kPerson) return *staging.failure;
    if (staging.wait == Wait::kQueue) return true;
    const Wait before = std::exchange(staging.wait, Wait::kQueue);
    order = queue_.keeps_place(staging.order) ? staging.order : queue_.next();
    const WriteQueue::Order order_before = std::exchange(staging.order, order);
    const bool was_barrier = staging.is_barrier;
    // One that keeps its place stays what it is there.
    staging.is_barrier = kind == WriteQueue::Kind::kBarrier || (was_barrier && order == order_before);
    staging.since_seconds = std::time(nullptr);
    auto saved = staging.spool->save(record_of(*inode, *path, options_), SpoolFile::Safety::kDurable);
    if (!saved) {
      staging.wait = before;
      staging.order = order_before;
      staging.is_barrier = was_barrier;
      log_warn("close of " + *path + " waits for the lake: " + saved.error().message);
      return false;
    }
    superseded = std::exchange(staging.sealed, std::nullopt);
  }
  if (superseded) superseded->spool->discard();
  if (tree_.last_path(inode) != *path) save(inode);  // Renamed meanwhile.
  post(inode);
  return true;
}

void Publishing::post(const InodePtr& inode) {
  WriteQueue::Order order = 0;
  auto kind = WriteQueue::Kind::kPlain;
  {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.spool == nullptr) return;
    order = inode->staging.order;
    // An empty file may say that all before it is there (Spark's _SUCCESS).
    if (inode->staging.is_barrier || is_marker(inode->staging)) kind = WriteQueue::Kind::kBarrier;
  }
  queue_.post(order, kind, [this, inode, order, kind] {
    if (kind == WriteQueue::Kind::kBarrier) std::ignore = spool_->sync();
    return publish_queued(inode, order);
  });
}

bool Publishing::is_marker(const Staging& staging) {
  return staging.expected.kind == Expectation::Kind::kAbsent && staging.spool->bytes().size() == 0;
}

// What has another place by now, or none, is another job's.
Result<> Publishing::publish_queued(const InodePtr& inode, WriteQueue::Order order) {
  const auto stands = standing_.hold({inode});
  if (!stands) return stands.error();
  const auto turn = inode->turn.take();
  if (!turn) return turn.error();
  for (int rebases = 0;;) {
    auto which = Which::kQueued;
    std::uint64_t generation = 0;
    {
      const std::lock_guard lock(inode->mutex);
      const Staging& staging = inode->staging;
      if (!staging.dirty || inode->is_deleted || staging.order != order) return {};
      if (staging.wait != Wait::kQueue && !staging.sealed) return {};
      if (staging.wait != Wait::kQueue) which = Which::kSealed;
      generation = staging.generation;
    }
    const auto done = guarded([&] { return try_publish(inode, std::nullopt, which); });
    if (done) continue;
    {
      const std::lock_guard lock(inode->mutex);
      // Nobody wants it under this name any more: whoever took the name away sees to the rest, or it comes
      // again.
      const bool is_unwanted =
          inode->publish_stop.stop_requested() && done.error().code == Errc::kInterrupted;
      if (is_unwanted) inode->staging.uploading = false;
      if (inode->is_deleted) return {};
      if (is_unwanted) return done;
    }
    if (which == Which::kQueued && rebases++ < kMostRebases && rebase(inode, done.error())) continue;
    const std::string path = tree_.last_path(inode);
    const Error told = which == Which::kSealed ? failed_sealed(inode, done.error())
                                               : failed(inode, done.error(), generation, false);
    will_tell(path, told);
    log_warn("not on the lake: " + told.message);
    return told;
  }
}

InodePtr Publishing::part(Sealed bytes, Attributes attributes) {
  const InodePtr parted = tree_.add_nameless(bytes.record.path);
  {
    const std::lock_guard lock(parted->mutex);
    parted->attributes = std::move(attributes);
    Staging& staging = parted->staging;
    staging.spool = std::move(bytes.spool);
    staging.dirty = true;
    staging.base = bytes.record.base;
    staging.expected = bytes.record.expected;
    staging.nonce = draw_nonce();
    staging.order = bytes.record.order;
    staging.append_only = false;
  }
  remember(parted);
  return parted;
}

InodePtr Publishing::part_from_sealed(const InodePtr& inode) {
  const std::string path = tree_.last_path(inode);
  std::optional<Sealed> spoilt;
  Attributes attributes;
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    if (!staging.sealed) return nullptr;
    SpoolRecord record = record_of(*inode, path, options_);
    record.order = 0;
    Sealed promised = *std::exchange(staging.sealed, std::nullopt);
    spoilt = Sealed{std::exchange(staging.spool, promised.spool), std::move(record)};
    attributes = inode->attributes;
    staging.base = promised.record.base;
    staging.spoilt.reset();
    staging.wait = Wait::kQueue;
    ++staging.generation;
  }
  post(inode);
  return part(*std::move(spoilt), std::move(attributes));
}

// The writer goes on; what was promised waits as a file of its own where only a person can help.
Error Publishing::failed_sealed(const InodePtr& inode, const Error& why) {
  std::optional<Sealed> sealed;
  Attributes attributes;
  {
    const std::lock_guard lock(inode->mutex);
    Staging& staging = inode->staging;
    staging.uploading = false;
    if (is_passing(why.code)) {
      staging.failure = why;
      return why;
    }
    queue_.stick(staging.order);
    sealed = std::exchange(staging.sealed, std::nullopt);
    attributes = inode->attributes;
  }
  if (!sealed) return why;
  set_aside(part(*std::move(sealed), std::move(attributes)), why);
  return why;
}

Result<> Publishing::seal_locked(Inode& inode, const std::string& path, bool keeps_bytes) {
  Staging& staging = inode.staging;
  SpoolRecord promised = record_of(inode, path, options_);
  SpoolRecord open = promised;
  open.state = SpoolRecord::State::kOpen;
  open.order = 0;
  if (!keeps_bytes) open.base.reset();
  auto fresh = spool_->create(open);
  if (!fresh) return fresh.error();
  if (keeps_bytes) {
    if (auto copied = copy_bytes(staging.spool->bytes(), (*fresh)->bytes()); !copied) {
      (*fresh)->discard();
      return copied;
    }
  } else {
    staging.base.reset();
  }
  staging.sealed = Sealed{std::exchange(staging.spool, *std::move(fresh)), std::move(promised)};
  staging.wait = Wait::kClose;
  staging.promised = staging.was_closed = false;
  ++staging.generation;
  return {};
}

void Publishing::will_tell(const std::string& path, const Error& failure) {
  const std::lock_guard lock(mutex_);
  untold_.insert_or_assign(path, failure);
}

Result<> Publishing::untold(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = untold_.find(path);
  if (found == untold_.end()) return {};
  Error failure = std::move(found->second);
  untold_.erase(found);
  return failure;
}

std::optional<Error> Publishing::peek_untold(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = untold_.find(path);
  return found == untold_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace lakefuse
