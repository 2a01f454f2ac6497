// What earlier mounts of this branch left on this machine: visible at once, published behind (design section
// 5).

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "client/byte_source.h"
#include "client/nonce.h"
#include "fs/beside_name.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

using State = SpoolRecord::State;

// Closed, or fsynced where half of what came later cannot spoil a version: half of a change over a version of
// the lake's would be a mixture.
bool may_be_published(const SpoolRecord& record) {
  if (record.state == State::kFailed || record.state == State::kHeld || record.state == State::kQueued)
    return true;
  return record.state == State::kSynced &&
         (record.expected.kind == Expectation::Kind::kAbsent || record.append_only);
}

// Files that nobody was told to be safe, and that nobody would miss.
bool is_nothing(const LeftBehind& left) {
  return left.record.state == State::kOpen && left.file->bytes().size() == 0;
}

std::string database_path(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::size_t begin = slash == path.npos ? 0 : slash + 1;
  const std::string_view name = database_of_journal(std::string_view(path).substr(begin));
  return name.empty() ? "" : path.substr(0, begin) + std::string(name);
}

// What was closed for one path and closed anew, or what another file was renamed over: the last one counts,
// and knows the others by their nonce. So does what appends were copied to, above another version. By its
// place in the queue, and else by its age (`left` is in the order in which it was made): who is renamed over
// another may be the older one. Two mounts may have closed one path each: neither gives way.
//
// And what another one was written above is on the lake: a kill -9 came between its link and the end of its
// record.
void drop_superseded(std::vector<LeftBehind>& left, bool is_bound) {
  const auto is_published = [&](const LeftBehind& one, const LeftBehind& above) {
    const std::string nonce = nonce_of(one.record.meta.metadata);
    const Expectation& expected = above.record.expected;
    return expected.kind == Expectation::Kind::kVersion && !nonce.empty() &&
           nonce != nonce_of(above.record.meta.metadata) &&
           is_nonce(nonce_of(expected.version.metadata), nonce, expected.version.physical_address, is_bound);
  };
  const auto is_closed = [](const SpoolRecord& record) {
    return record.state == State::kQueued || record.state == State::kFailed;
  };
  const auto is_same_file = [&](const LeftBehind& one, const LeftBehind& other) {
    const std::string nonce = nonce_of(one.record.meta.metadata);
    if (!nonce.empty() && nonce == nonce_of(other.record.meta.metadata))
      return one.record.state == other.record.state || (is_closed(one.record) && is_closed(other.record));
    return one.record.state == State::kQueued && is_closed(other.record) &&
           one.file->data_path().parent_path() == other.file->data_path().parent_path();
  };
  const auto is_superseded = [&](std::size_t one, std::size_t other) {
    if (is_published(left[one], left[other])) return true;
    return may_be_published(left[other].record) &&
           std::pair(left[one].record.order, one) < std::pair(left[other].record.order, other) &&
           is_same_file(left[one], left[other]);
  };
  std::map<std::string, std::vector<std::size_t>> of_path;
  for (std::size_t n = 0; n < left.size(); ++n) of_path[left[n].record.path].push_back(n);
  std::set<const SpoolFile*> superseded;
  for (const auto& [path, all] : of_path)
    for (const std::size_t one : all)
      for (const std::size_t other : all)
        if (may_be_published(left[one].record) && is_superseded(one, other))
          superseded.insert(left[one].file.get());
  std::erase_if(left, [&](const LeftBehind& one) {
    const bool goes = superseded.contains(one.file.get());
    if (goes) one.file->discard();
    return goes;
  });
}

// In hex, as the lake says it. Empty: they cannot be read, or not all of them are here.
std::string md5_of(SpoolFile& file) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr std::size_t kChunk = 1 << 20;
  const auto bytes = file.bytes().freeze();
  auto md5 = RunningMd5::begin();
  if (!bytes || !md5) return "";
  std::vector<std::byte> chunk(kChunk);
  while (md5->size() < (*bytes)->size()) {
    const auto got = (*bytes)->read(md5->size(), chunk);
    if (!got || *got == 0) return "";
    md5->add(std::span(chunk).first(*got));
  }
  std::string hex;
  for (const std::byte byte : md5->value()) {
    hex += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    hex += kDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return hex;
}

// A kill -9 that comes between a link and what the record would have said of it leaves bytes for a person
// that the lake has: all of them, by us.
void drop_where_published(FilesystemCore& core, const InodePtr& inode) {
  const auto theirs = core.publishing.look_at_theirs(inode);
  if (!theirs || !theirs->object) return;
  const ObjectInfo& there = *theirs->object;
  const auto turn = inode->turn.take();
  if (!turn) return;
  std::shared_ptr<SpoolFile> file;
  {
    const std::lock_guard lock(inode->mutex);
    const Staging& staging = inode->staging;
    const bool is_ours = is_nonce(nonce_of(there.metadata), staging.nonce, there.physical_address,
                                  core.lake.facts().can_presign);
    if (is_ours && staging.wait == Wait::kPerson) file = staging.spool;
  }
  if (file == nullptr || file->bytes().size() != there.size_bytes || md5_of(*file) != there.checksum) return;
  log_info(there.path + " of an earlier mount was on the lake already");
  core.bury(inode);
}

}  // namespace

void FilesystemCore::recover_all(std::vector<LeftBehind> left, std::vector<RemovalRecord> removals) {
  for (const RemovalRecord& removal : removals) {
    vacated.hide(removal);
    publishing.queue().comes_after(removal.order);
  }
  std::erase_if(left, [this](const LeftBehind& one) {
    const bool goes = one.record.is_claim || is_nothing(one);
    if (one.record.is_claim)
      release_claim(one);
    else if (goes)
      one.file->discard();
    return goes;
  });
  drop_superseded(left, lake.facts().can_presign);
  std::set<std::string> promised, stay_here;
  for (const LeftBehind& one : left)
    if (one.record.state == State::kQueued) promised.insert(one.record.path);
  for (const LeftBehind& one : left)
    if (!may_be_published(one.record)) stay_here.insert(one.record.path);
  for (LeftBehind& one : left) {
    // A newer journal beside an old database corrupts it on opening (W9): they wait together.
    const std::string database = database_path(one.record.path);
    const bool is_alone = !database.empty() && stay_here.contains(database);
    // Half of a change over what was closed before would be a mixture, on the lake or not yet.
    const bool is_half = one.record.state == State::kSynced && promised.contains(one.record.path);
    publishing.queue().comes_after(one.record.order);
    recover(std::move(one), is_alone  ? "its database waits for a person"
                            : is_half ? "it was being written over a version that was closed"
                                      : "");
  }
  publish_recovered(std::move(removals));
}

// What has a place in the queue, in that order; the retries publish the rest.
void FilesystemCore::publish_recovered(std::vector<RemovalRecord> removals) {
  std::map<std::uint64_t, std::function<void()>> in_order;
  for (const InodePtr& inode : publishing.staged()) {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.wait != Wait::kQueue) continue;
    in_order.emplace(inode->staging.order, [this, inode] { publishing.post(inode); });
  }
  for (RemovalRecord& removal : removals)
    in_order.emplace(removal.order, [this, removal] { publishing.queue().post_removal(removal); });
  for (const auto& [order, post] : in_order) post();
}

void FilesystemCore::recover(LeftBehind left, const std::string& obstacle) {
  const SpoolRecord& record = left.record;
  if (!record.path.starts_with(options.prefix)) {
    log_warn("bytes for " + record.path + " wait for a mount of that prefix; see `lakefuse pending`");
    return;
  }
  const std::string shown = record.is_beside_prefix ? beside_name(record.path) : record.path;
  const bool is_litter = rules.is_local(shown.substr(options.prefix.size()));
  const bool may_publish = !is_litter && may_be_published(record) && obstacle.empty();
  ObjectInfo says;
  says.size_bytes = left.file->bytes().size();
  says.metadata = record.meta.metadata;
  says.mtime_seconds = record.meta.mtime_seconds;
  const Attributes attributes = attributes_of(says, options);
  const InodePtr inode =
      may_publish || is_litter ? make_path(record, kind_of(attributes.mode)) : tree.add_nameless(record.path);
  {
    const std::lock_guard lock(inode->mutex);
    inode->attributes = attributes;
    if (record.expected.kind == Expectation::Kind::kVersion) inode->version = record.expected.version;
    Staging& staging = inode->staging;
    staging.spool = left.file;
    staging.dirty = true;
    staging.base = record.base;
    staging.expected = record.expected;
    staging.nonce = nonce_of(record.meta.metadata);
    if (staging.nonce.empty()) staging.nonce = draw_nonce();
    staging.append_only = record.append_only;
    staging.promised = record.state != State::kOpen;
    staging.since_seconds = record.since_seconds;
    staging.order = record.order;
    staging.is_barrier = record.is_barrier;
    staging.may_be_linked = true;  // As far as we know.
    staging.wait = is_litter                        ? Wait::kForever
                   : !may_publish                   ? Wait::kPerson
                   : record.state == State::kQueued ? Wait::kQueue
                                                    : Wait::kRetry;
    // It had given up its place: what says that all before it is there goes on waiting.
    const bool is_stuck = staging.wait == Wait::kPerson || staging.wait == Wait::kRetry;
    if (is_stuck && record.order > 0) publishing.queue().stick(record.order);
    // Of an earlier failure nobody asks what keeps half of a file.
    const bool is_news = staging.wait == Wait::kPerson && record.state != State::kConflict;
    std::string reason = is_news ? "" : record.reason;
    if (staging.wait == Wait::kPerson && reason.empty())
      reason = record.path + (obstacle.empty() ? " was being written when an earlier mount ended"
                                               : " was left by an earlier mount, and " + obstacle);
    if (!reason.empty() && !is_litter)
      staging.failure = Error{may_publish ? Errc::kUnavailable : Errc::kConflict, reason};
  }
  publishing.remember(inode);
  if (!may_publish && !is_litter) {
    publishing.workers().post([this, inode] { drop_where_published(*this, inode); });
    log_warn("bytes of " + record.path + " wait for a person; see `lakefuse pending`");
    return;
  }
  inode->is_ours = true;
  if (!is_litter)
    log_info("recovered " + record.path + " from an earlier mount; publishing it");  // The retries do it.
}

void FilesystemCore::tell_damage() {
  for (const DamagedFile& damaged : spool->damaged())
    log_error("left by an earlier mount: " + damaged.reason + "; kept in " + damaged.path.string() +
              "; `cp` copies it out, `lakefuse discard` drops it");
  if (const auto& trouble = spool->links().trouble())
    log_warn("which changes of the branch are this user's is not known in full: " + trouble->message);
}

void FilesystemCore::release_claim(LeftBehind left) {
  ReleasedClaims::Claim claim{.path = left.record.path,
                              .nonce = nonce_of(left.record.meta.metadata),
                              .version = {},
                              .record = std::move(left.file)};
  const auto gone = take_away(claim);
  if (gone) return claim.record->discard();
  note_failure("mount", gone.error().in("a claim of an earlier mount may still be there"), true);
  release_later(std::move(claim));
}

void FilesystemCore::distrust_path(const std::string& path) {
  if (!path.starts_with(options.prefix)) return;
  const auto [directory, rest] = nearest_directory(path);
  publishing.give_back(directory, rest.substr(0, rest.find('/')));
}

std::pair<InodePtr, std::string> FilesystemCore::nearest_directory(const std::string& path) const {
  InodePtr at = tree.root();
  if (!path.starts_with(options.prefix)) return {at, "/" + path};
  std::string rest = path.substr(options.prefix.size());
  for (auto slash = rest.find('/'); slash != rest.npos; slash = rest.find('/')) {
    const InodePtr next = tree.child(at, rest.substr(0, slash));
    if (next == nullptr || next->kind != Kind::kDirectory) break;
    rest.erase(0, slash + 1);
    at = next;
  }
  return {at, rest};
}

// An inode of that record's path, and the directories on the way: the lake may lack them.
InodePtr FilesystemCore::make_path(const SpoolRecord& record, Kind kind) {
  InodePtr at = tree.root();
  std::string rest = record.path.substr(options.prefix.size());
  for (auto slash = rest.find('/'); slash != rest.npos; slash = rest.find('/')) {
    const std::string name = rest.substr(0, slash);
    rest.erase(0, slash + 1);
    InodePtr next = tree.child(at, name);
    if (next == nullptr) {
      next = tree.add(at, name, name, Kind::kDirectory);
      const std::lock_guard lock(next->mutex);
      next->attributes = directory_attributes(nullptr, options, mounted_at);
      next->is_local_directory = rules.is_local_directory(name) || at->is_local_directory;
    }
    at = next;
  }
  return tree.add(at, record.is_beside_prefix ? beside_name(rest) : rest, rest, kind);
}

}  // namespace lakefuse
