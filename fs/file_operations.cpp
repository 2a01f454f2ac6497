// Files: open to release. A write stays on this machine; a close brings it to the lake.

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>

#include "client/nonce.h"
#include "client/patience.h"
#include "fs/disk_room.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"
#include "fs/processes.h"

namespace lakefuse {
namespace {

// O_RDONLY | O_TRUNC empties a file as well.
bool wants_to_write(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

// For who has read it in order to have it here: the next to open it, by whatever mount, needs no call.
Result<> settle_in_cache(FilesystemCore& core, const InodePtr& inode) {
  std::optional<ObjectInfo> version;
  {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.spool == nullptr) version = inode->version;
  }
  if (!version || core.cache()->settle(*version, core.lends)) return {};
  if (Patience::current().stop_requested())
    return Error{Errc::kInterrupted, "fsync of " + version->path + ": a signal ended the wait for the cache"};
  return Error{Errc::kNoSpace, "fsync of " + version->path + ": the read cache has no room for all of it"};
}

}  // namespace

Result<> FilesystemCore::check_size(const InodePtr& inode, std::uint64_t size) const {
  const std::uint64_t largest = lake.facts().largest_object();
  if (size <= largest) return {};
  return Error{Errc::kTooLarge, "write to " + tree.last_path(inode) + ": an object on this lake ends at " +
                                    std::to_string(largest >> 30) + " GiB"};
}

std::shared_ptr<FileHandle> FilesystemCore::make_handle(const InodePtr& inode, int flags,
                                                        const Caller& caller) {
  auto handle = std::make_shared<FileHandle>();
  handle->inode = inode;
  handle->may_write = wants_to_write(flags);
  handle->appends = (flags & O_APPEND) != 0;
  // O_RSYNC, which Linux spells O_SYNC: what is read is kept on this disk, however slow that is.
  if (!handle->may_write && (flags & O_SYNC) == O_SYNC)
    if (CachedStore* const cached = cache()) handle->keeps_all = cached->keep_all();
  tree.count_handle(inode);
  if (handle->may_write) {
    const pid_t opener = caller.tid == 0 ? 0 : process_of(caller.tid).value_or(0);
    const std::lock_guard lock(inode->mutex);
    ++inode->writers;
    inode->opener = opener;
  }
  return handle;
}

OpenedFile FilesystemCore::hand_out(std::shared_ptr<FileHandle> handle) {
  const bool may_write = handle->may_write;
  return {.handle = files.add(std::move(handle)), .keep_cache = true, .no_flush = !may_write};
}

std::shared_ptr<const UniqueFd> FilesystemCore::lend(const InodePtr& inode) {
  std::optional<ObjectInfo> version;
  {
    const std::lock_guard lock(inode->mutex);
    version = inode->version;
  }
  CachedStore* const cached = cache();
  return cached != nullptr && version ? cached->lend(*version) : nullptr;
}

Result<OpenedFile> Filesystem::open(NodeId node, int flags, const Caller& caller) {
  FilesystemCore& core = *core_;
  auto found = core.tree.find(node);
  if (!found) return found.error();
  const InodePtr& inode = *found;
  if (inode->kind == Kind::kDirectory) return Error{Errc::kIsADirectory, "is a directory"};
  if (wants_to_write(flags) && core.options.read_only) return core.read_only_error();
  auto handle = core.make_handle(inode, flags, caller);
  const auto give_up = [&](const Error& why) {
    core.let_go_of(*handle);
    return why;
  };
  if (auto outlasts = core.outlast_unlink(inode); !outlasts) return give_up(outlasts.error());
  if ((flags & O_TRUNC) == 0)
    if (auto there = core.see_that_it_is_there(inode, handle->may_write); !there)
      return give_up(there.error());
  {
    // Under the lock, as a publish says it: else it might come after what is there by then. Of a file that is
    // being replaced nobody else will need it.
    const std::lock_guard lock(inode->mutex);
    if (inode->version && !inode->is_deleted) {
      const ObjectInfo version = *inode->version;
      core.publishing.versions().met(version.path, version);
    }
  }
  if (!handle->may_write) core.view.opened(inode);
  if ((flags & O_TRUNC) != 0) {
    // Of an empty file, too: a stamp that make looks at is made new this way.
    if (auto cut = core.truncate(inode, 0); !cut) return give_up(cut.error());
  }
  OpenedFile opened = core.hand_out(std::move(handle));
  // For O_DIRECT the cache's disk has rules of its own.
  if (core.lends && (flags & O_DIRECT) == 0) opened.lent = core.lend(inode);
  return opened;
}

// The record first: a claim that nobody remembers would hold the name for ever.
Result<FilesystemCore::Claim> FilesystemCore::claim(const std::string& path, const Attributes& attributes,
                                                    const Expectation& expected) {
  SpoolRecord record;
  record.path = path;
  record.is_claim = true;
  const std::string nonce = draw_nonce();
  record.meta.metadata.emplace(kNonceKey, nonce);
  auto noted = spool->create(record);
  if (!noted)
    return noted.error().in("cannot note the claim of " + path + " in " + spool->directory().string());
  auto linked = publish_empty(path, attributes, expected, Empty::kClaim, nonce);
  if (!linked) {
    // After a lost answer it may be there all the same; the next mount, if need be, finds it by the record.
    if (linked.error().code == Errc::kExists)
      (*noted)->discard();
    else
      release_later({.path = path, .nonce = nonce, .version = {}, .record = *std::move(noted)});
    return linked.error();
  }
  return Claim{*std::move(linked), *std::move(noted)};
}

Result<std::pair<NodeEntry, OpenedFile>> Filesystem::create(NodeId parent, std::string_view name, mode_t mode,
                                                            int flags, const Caller& caller) {
  FilesystemCore& core = *core_;
  auto directory = core.directory_to_change(parent);
  if (!directory) return directory.error();
  auto found = core.find(*directory, name);
  if (!found) return found.error();
  if (found->inode != nullptr) {
    if ((flags & O_EXCL) != 0)
      return Error{Errc::kExists, "create of " + core.tree.last_path(found->inode) + ": it is there"};
    auto handle = open(found->inode->node, flags & ~(O_CREAT | O_EXCL), caller);
    if (!handle) return handle.error();
    return std::pair(core.entry_for(found->inode, found->valid), *handle);
  }
  const std::string& key = found->key;
  if (auto legal = ObjectPath::make(core.tree.path_below(*directory, key)); !legal) return legal.error();

  const bool is_exclusive = (flags & O_EXCL) != 0;
  const Attributes attributes =
      core.attributes_in(*directory, S_IFREG | (mode & 07777 & ~caller.umask), caller);
  const bool is_claimed = is_exclusive && !core.rules.is_local(core.tree.path_below(*directory, key)) &&
                          (core.options.exclusive == ExclusiveMode::kClaim || core.rules.is_claimed(name));
  std::optional<FilesystemCore::Claim> claim;
  Result<StandingPaths::Held> stands(nullptr);
  if (is_claimed) {
    if (auto first = core.catch_up(core.tree.path_below(*directory, key)); !first) return first.error();
    stands = core.standing.hold({*directory});
    if (!stands) return stands.error();
    const std::string path = core.tree.path_below(*directory, key);
    const auto vacant = core.vacancy(path);
    if (!vacant) return vacant.error();
    auto claimed = core.claim(path, attributes, vacant->expected);
    if (!claimed) {
      core.view.distrust(*directory, key);
      return claimed.error();
    }
    core.vacated.forget(path);
    claim = *std::move(claimed);
  }
  InodePtr inode;
  {
    const std::lock_guard naming(core.naming);
    inode = core.tree.add(*directory, std::string(name), key, Kind::kFile);
    const std::lock_guard lock(inode->mutex);
    inode->attributes = attributes;
    inode->made_exclusively = is_exclusive;
    inode->claimed_by_us = is_claimed;
    if (claim) {
      inode->version = claim->object;
      inode->claim = claim->record;
    } else {
      inode->is_ours = true;
    }
  }
  if (is_claimed) {
    core.view.changed_object(*directory, key, claim->object);
  } else {
    auto staged = core.stage_in_time(inode, false);
    if (!staged) {
      inode->is_ours = false;
      core.tree.unname(inode);
      return staged.error();
    }
    const std::lock_guard lock(inode->mutex);
    core.touch(*inode, true);
    inode->staging.exclusive = is_exclusive;
  }
  {
    const std::lock_guard lock((*directory)->mutex);
    (*directory)->attributes.mtime = (*directory)->attributes.ctime = attributes.mtime;
  }
  auto handle = core.hand_out(core.make_handle(inode, flags, caller));
  return std::pair(core.entry_for(inode, core.view.ttl()), handle);
}

Result<BytesRead> Filesystem::read(HandleId id, std::uint64_t offset, std::span<std::byte> room) {
  auto handle = core_->files.find(id);
  if (!handle) return handle.error();
  return core_->read_bytes((*handle)->inode, offset, room);
}

Result<std::size_t> Filesystem::write(HandleId id, std::uint64_t offset, std::span<const std::byte> bytes) {
  FilesystemCore& core = *core_;
  auto handle = core.files.find(id);
  if (!handle) return handle.error();
  const InodePtr& inode = (*handle)->inode;
  if (auto fits = core.check_size(inode, offset + bytes.size()); !fits) return fits.error();
  auto change = core.begin_change(inode, true);
  if (!change) return change.error();
  auto& [lock, staged, file] = *change;
  std::uint64_t at = offset;
  const auto written = put_with_room(core.lake, [&]() -> Result<> {
    if (!(*handle)->appends) return staged.write(offset, bytes);
    const auto appended = staged.append(bytes);
    if (!appended) return appended.error();
    at = *appended;
    return {};
  });
  if (!written) {
    // Part of what the program wrote is not there: this version must not be published (F2).
    inode->staging.spoilt = written.error();
    core.touch(*inode, false);
    lock.unlock();  // It is a leaf, and people want to know which file.
    Error why = written.error().in("write to " + core.tree.last_path(inode));
    lock.lock();
    if (inode->staging.spoilt) inode->staging.spoilt = why;
    return why;
  }
  core.touch(*inode, (*handle)->appends);
  const bool has_parts = core.publishing.wrote(*inode, {at, at + bytes.size()});
  lock.unlock();
  if (has_parts && !core.stays_here(inode)) core.publishing.send_ahead(inode);
  return bytes.size();
}

Result<> Filesystem::flush(HandleId id, const Caller& caller) {
  auto handle = core_->files.find(id);
  if (!handle) return handle.error();
  const InodePtr& inode = (*handle)->inode;
  const std::string path = core_->tree.last_path(inode);
  if (auto closed = core_->close_file(*handle, caller); !closed) return closed;
  return (*handle)->may_write ? core_->publishing.untold(path) : Result<>();
}

Result<> Filesystem::fsync(HandleId id, bool) {
  auto handle = core_->files.find(id);
  if (!handle) return handle.error();
  const InodePtr& inode = (*handle)->inode;
  {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.spoilt) return *inode->staging.spoilt;
  }
  const std::string path = core_->tree.last_path(inode);
  const bool publishes = core_->options.fsync == FsyncMode::kPublish && !core_->stays_here(inode);
  if (publishes)
    if (auto first = core_->catch_up(path); !first) return first;
  auto done = publishes ? core_->publishing.publish(inode) : core_->publishing.make_safe(inode);
  if (done) done = core_->keep_order_on_disk();
  if (done && (*handle)->keeps_all) done = settle_in_cache(*core_, inode);
  return done ? core_->publishing.untold(path) : done;
}

void Filesystem::release(HandleId id) {
  if (const auto handle = core_->files.remove(id)) core_->let_go_of(*handle);
}

void FilesystemCore::let_go_of(const FileHandle& handle) {
  const InodePtr& inode = handle.inode;
  bool is_left = false, is_last_writer = false;
  std::optional<Error> spoilt, keeps_promises;
  {
    const std::lock_guard lock(inode->mutex);
    is_last_writer = handle.may_write && --inode->writers == 0;
    const Staging& staging = inode->staging;
    is_left = staging.dirty && inode->writers == 0 && !inode->is_deleted && staging.wait == Wait::kClose;
    // The writer was told so at write and at close; the lake keeps its version.
    if (is_left) spoilt = staging.spoilt;
    if (spoilt && Publishing::holds_promises(staging)) keeps_promises = std::exchange(spoilt, std::nullopt);
  }
  if (keeps_promises && is_local_name(inode)) {
    publishing.keep_here(inode);  // As on any disk.
  } else if (keeps_promises) {
    publishing.set_aside(inode, keeps_promises->in("what was closed or synced before is kept"));
  } else if (spoilt) {
    if (const InodePtr parted = publishing.part_from_sealed(inode))
      bury(parted);
    else
      inode->is_ours = false;
  } else if (is_left) {
    // What became dirty after the last flush: mapped pages, duplicated descriptors. Whoever wrote it is gone.
    if (auto settled = settle(inode); !settled) note_failure("release", settled.error(), true);
  }
  tree.drop_handle(inode);
  if (is_last_writer) release_journals(tree.last_path(inode));
  publishing.drop_if_clean(inode);
  tree.tidy(inode);
}

Result<> Filesystem::fallocate(HandleId id, int mode, std::uint64_t offset, std::uint64_t length) {
  FilesystemCore& core = *core_;
  auto handle = core.files.find(id);
  if (!handle) return handle.error();
  if (!(*handle)->may_write) return Error{Errc::kBadHandle, "not open for writing"};
  const bool keeps_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  const bool zeroes = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
    return Error{Errc::kUnsupported, "fallocate: only KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE"};
  const InodePtr& inode = (*handle)->inode;
  if (auto fits = core.check_size(inode, offset + length); !fits) return fits.error();
  auto change = core.begin_change(inode, true);
  if (!change) return change.error();
  StagedFile& staged = change->bytes;
  if (zeroes) {
    if (auto done = staged.zero(offset, length, keeps_size); !done) return done.error();
  } else {
    // Nothing is set aside; but who asks for more than there is hears so now, as on any disk.
    const std::uint64_t end = offset + length, held = staged.allocated_bytes();
    if (end > held && std::min(length, end - held) > core.spool->free_bytes())
      return Error{Errc::kNoSpace,
                   "fallocate of " + core.tree.last_path(inode) + ": the local disk is too full"};
    if (keeps_size || end <= staged.size()) return {};  // Room ahead is no change.
    if (auto done = staged.truncate(end); !done) return done.error();
  }
  core.touch(*inode, false);
  return {};
}

Result<std::uint64_t> Filesystem::lseek(HandleId id, std::uint64_t offset, int whence) {
  auto handle = core_->files.find(id);
  if (!handle) return handle.error();
  const InodePtr& inode = (*handle)->inode;
  std::shared_ptr<SpoolFile> file;
  std::uint64_t size = 0;
  {
    const std::lock_guard lock(inode->mutex);
    file = inode->staging.spool;
    size = file ? file->bytes().size() : inode->version ? inode->version->size_bytes : 0;
  }
  if (offset >= size) return Error{Errc::kPastTheEnd, "lseek past the end"};
  if (whence == SEEK_DATA) return file ? file->bytes().seek_data(offset) : Result<std::uint64_t>(offset);
  if (whence == SEEK_HOLE) return file ? file->bytes().seek_hole(offset) : Result<std::uint64_t>(size);
  return Error{Errc::kInvalid, "lseek: only SEEK_DATA and SEEK_HOLE"};
}

}  // namespace lakefuse
