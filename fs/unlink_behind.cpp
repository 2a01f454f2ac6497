// --writeback: an unlink is promised here, and the lake's object goes in its turn. Until then the name is
// hidden (fs/vacated_names.h); the journal keeps the promise over a crash.

#include <algorithm>
#include <map>
#include <set>

#include "cache/guarded.h"
#include "fs/filesystem_core.h"
#include "fs/leaving.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

bool says_the_same(const RemovalRecord& one, const RemovalRecord& other) {
  const bool is_same = one.version && other.version ? same_version(*one.version, *other.version)
                                                    : one.version.has_value() == other.version.has_value();
  return is_same && one.nonce == other.nonce;
}

}  // namespace

Result<> FilesystemCore::catch_up(const std::string& path) {
  if (options.writeback == Writeback::kOff && !vacated.hides_below(path)) return {};
  if (auto drained = publishing.queue().drain(); !drained) return drained;
  std::ignore = keep_order_on_disk();
  return {};
}

Result<> FilesystemCore::keep_order_on_disk() {
  return spool != nullptr ? spool->sync() : Result<>();
}

Result<bool> FilesystemCore::unlink_behind(const InodePtr& directory, const InodePtr& inode) {
  if (auto late = publishing.cut_off().outlast({tree.last_path(inode)}); !late) return late.error();
  const Unlinking unlinking(*this, inode);
  const auto no_rename = directory_renames.take();  // Of a directory above: the path stays.
  if (!no_rename) return no_rename.error();
  const auto path = tree.path(inode);
  if (!path) return Error{Errc::kNotFound, "unlink: the name is gone"};
  const bool is_vacated = left_at(*path).has_value();
  // The promise first, for where there is no room for it nothing has changed: what is being written stays so.
  std::optional<RemovalRecord> promised;
  bool is_on_lake = false;
  while (true) {
    RemovalRecord removal{.path = *path};
    bool may_be_there = false, may_wait = true;
    {
      const std::lock_guard lock(inode->mutex);
      removal.version = inode->version;
      removal.nonce = inode->staging.nonce;  // Of a publish that has begun this tells what it made.
      is_on_lake = removal.version.has_value();
      may_be_there = is_on_lake || inode->staging.may_be_linked;
      may_wait = !is_vacated || !may_be_linked_at(*inode, *path);
      if (may_wait && (!may_be_there || (promised && says_the_same(*promised, removal)))) {
        inode->is_deleted = true;  // No publish begins any more.
        inode->publish_stop.request_stop();
        break;
      }
    }
    if (promised) spool->end_removal(promised->order);  // Published meanwhile.
    if (!may_wait) return false;
    if (auto noted = promise_removal(removal, SpoolFile::Safety::kSoon); !noted) {
      log_warn(noted.error().message + "; it waits for the lake");
      return false;
    }
    promised = std::move(removal);
  }
  // Before it goes: whether the directory stays is judged by what is left in it.
  view.changed_object(directory, inode->key, std::nullopt);
  if (promised) will_remove(*std::move(promised));
  if (!is_on_lake) keep_without(directory, inode);
  view.changed_time(directory);
  tree.unname(inode);
  bury(inode);
  return true;
}

Result<> FilesystemCore::promise_removal(RemovalRecord& removal, SpoolFile::Safety safety) {
  removal.order = publishing.queue().next();
  auto promised = spool->begin_removal(removal);
  if (promised && safety == SpoolFile::Safety::kDurable) promised = spool->sync();
  if (promised) return {};
  spool->end_removal(removal.order);
  return promised.error().in("unlink of " + removal.path);
}

void FilesystemCore::will_remove(RemovalRecord removal) {
  // What takes the name next finds nothing there, but for what is left of a file that was renamed away.
  const auto left = left_at(removal.path);
  if (left && removal.version && same_version(*left, *removal.version)) vacated.forget(removal.path);
  publishing.versions().removed(removal.path);
  vacated.hide(removal);
  name_is_gone(removal.path);  // Whoever asked before it was hidden was told of what is still there.
  publishing.queue().post_removal(std::move(removal));
}

Result<> FilesystemCore::remove_behind(RemovalRecord removal, SpoolFile::Safety safety) {
  if (auto promised = promise_removal(removal, safety); !promised) return promised;
  will_remove(std::move(removal));
  return {};
}

void FilesystemCore::name_is_gone(const std::string& path) {
  const auto [directory, rest] = nearest_directory(path);
  if (rest.find('/') == rest.npos) view.changed_object(directory, rest, std::nullopt);
}

FilesystemCore::Leaving::Leaving(FilesystemCore& core, InodePtr directory, std::string path)
    : core_(core), directory_(std::move(directory)), path_(std::move(path)) {
  const std::lock_guard lock(core_.mutex);
  core_.leaving.insert(path_);
}

FilesystemCore::Leaving::~Leaving() {
  {
    const std::lock_guard lock(core_.mutex);
    core_.leaving.erase(core_.leaving.find(path_));
  }
  if (is_gone_) return;
  // By a worker: whoever waited for the rmdir may be interrupted.
  std::ignore = guarded([&] {
    core_.publishing.workers().post([&core = core_, directory = directory_] {
      const auto stands = core.standing.hold({directory});
      const auto kept = stands ? core.keep_directory(directory, "") : stands.error();
      if (!kept) log_warn("a directory that rmdir could not remove may be gone: " + kept.error().message);
    });
  });
}

Result<> FilesystemCore::keep_directories(const std::vector<RemovalRecord>& removals) {
  std::map<std::string, std::set<std::string>> going;  // By directory.
  for (const RemovalRecord& removal : removals) {
    const std::string directory = removal.path.substr(0, removal.path.rfind('/') + 1);
    if (directory.size() > options.prefix.size()) going[directory].insert(removal.path);
  }
  for (const auto& [path, names] : going) {
    {
      const std::lock_guard lock(mutex);
      if (leaving.contains(path)) continue;
    }
    const auto [directory, rest] = nearest_directory(path);
    const bool is_known = rest.empty();
    const bool will_stay = is_known && tree.with_view(directory, [](const DirectoryView& known) {
      return known.marker || known.knows_another_than("");
    });
    if (will_stay) continue;
    bool has_others = false, has_any = false;
    ListRequest request{.prefix = path};
    for (bool has_more = true; has_more && !has_others;) {
      const auto page = lake.list(request);
      if (!page) return page.error();
      for (const ListEntry& entry : page->entries)
        has_others |= entry.is_prefix || !names.contains(entry.object.path);
      has_any |= !page->entries.empty();
      has_more = page->has_more;
      request.after = page->next;
    }
    if (has_others || !has_any) continue;
    Attributes attributes = directory_attributes(nullptr, options, mounted_at);
    if (is_known) {
      const std::lock_guard lock(directory->mutex);
      attributes = directory->attributes;
    }
    const auto marker = publish_empty(path, attributes, Expectation::absent());
    if (!marker && marker.error().code != Errc::kExists) return marker.error();
    if (marker && is_known) view.changed_marker(directory, *marker);
  }
  return {};
}

Result<> FilesystemCore::remove_promised(const std::vector<RemovalRecord>& removals) {
  std::ignore = keep_order_on_disk();
  if (auto kept = keep_directories(removals); !kept) return kept;
  std::vector<Removal> wanted;
  for (const RemovalRecord& removal : removals)
    if (auto path = ObjectPath::make(removal.path))
      wanted.push_back({*std::move(path), removal.version, removal.nonce});
  const auto others = publisher.remove_all(wanted);
  if (!others) return others.error();
  for (const RemovalRecord& removal : removals) {
    const bool is_others = std::find(others->begin(), others->end(), removal.path) != others->end();
    // Before the lake's answers show it again: one that is under way may be older than this.
    if (!is_others) name_is_gone(removal.path);
    vacated.unhide(removal);
    spool->end_removal(removal.order);
    if (is_others) distrust_path(removal.path);
    if (removal.version && !is_others) release_renamed(*removal.version);
  }
  return {};
}

void FilesystemCore::give_up_removal(const RemovalRecord& removal, const Error& why) {
  note_failure("unlink", why.in("unlink of " + removal.path + ", which is still there"), true);
  publishing.will_tell(removal.path, why);
  vacated.unhide(removal);
  spool->end_removal(removal.order);
  distrust_path(removal.path);
}

}  // namespace lakefuse
