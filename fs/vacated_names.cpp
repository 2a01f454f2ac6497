#include "fs/vacated_names.h"

#include <algorithm>
#include <utility>

#include "cache/guarded.h"
#include "client/nonce.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {

void VacatedNames::add(Vacated name) {
  const std::lock_guard lock(mutex_);
  std::string path = name.version.path;
  names_.insert_or_assign(std::move(path), std::move(name));
}

void VacatedNames::forget(const std::string& path) {
  const std::lock_guard lock(mutex_);
  names_.erase(path);
}

void VacatedNames::forget_below(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  const auto begin = names_.lower_bound(prefix);
  auto end = begin;
  while (end != names_.end() && end->first.starts_with(prefix)) ++end;
  names_.erase(begin, end);
}

std::optional<ObjectInfo> VacatedNames::at(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? std::nullopt : std::optional(found->second.version);
}

bool VacatedNames::hides(const ObjectInfo& object) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(object.path);
  if (found != names_.end() && same_version(found->second.version, object)) return true;
  const auto [begin, end] = removals_.equal_range(object.path);
  return std::any_of(begin, end, [&](const auto& entry) {
    const RemovalRecord& removal = entry.second;
    return (removal.version && same_version(*removal.version, object)) ||
           is_nonce(nonce_of(object.metadata), removal.nonce, object.physical_address, false);
  });
}

void VacatedNames::hide(const RemovalRecord& removal) {
  const std::lock_guard lock(mutex_);
  removals_.emplace(removal.path, removal);
}

void VacatedNames::unhide(const RemovalRecord& removal) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = removals_.equal_range(removal.path);
  const auto found =
      std::find_if(begin, end, [&](const auto& entry) { return entry.second.order == removal.order; });
  if (found != end) removals_.erase(found);
}

bool VacatedNames::hides_below(const std::string& prefix) const {
  const std::lock_guard lock(mutex_);
  const auto at = removals_.lower_bound(prefix);
  return at != removals_.end() && at->first.starts_with(prefix);
}

std::vector<VacatedNames::Vacated> VacatedNames::due(const std::string& prefix, Moment now) const {
  const std::lock_guard lock(mutex_);
  std::vector<Vacated> found;
  for (auto at = names_.lower_bound(prefix); at != names_.end() && at->first.starts_with(prefix); ++at) {
    if (at->second.due <= now) found.push_back(at->second);
  }
  return found;
}

void VacatedNames::put_off(const std::string& path, Moment due) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  if (found != names_.end()) found->second.due = due;
}

std::optional<ObjectInfo> FilesystemCore::left_at(const std::string& path) {
  auto left = vacated.at(path);
  const auto last = left ? publishing.versions().last_met(path) : std::nullopt;
  if (!last || same_version(*last, *left)) return left;
  vacated.forget(path);  // Published anew, and whatever came of that since.
  return std::nullopt;
}

bool FilesystemCore::may_be_linked_at(const Inode& inode, const std::string& path) {
  return inode.staging.may_be_linked && !(inode.version && inode.version->path == path);
}

Result<FilesystemCore::Vacancy> FilesystemCore::vacancy(const std::string& path) {
  if (!left_at(path)) return Vacancy{Expectation::absent()};
  auto turn = vacating.take();
  if (!turn) return turn.error();
  const auto left = left_at(path);
  return Vacancy{left ? Expectation::of(*left) : Expectation::absent(), *std::move(turn)};
}

void FilesystemCore::tick() {
  std::ignore = keep_order_on_disk();
  release_all_journals();
  publishing.tick([this](const InodePtr& inode) { return database_of(inode) != Database::kLate; });
  if (is_vacating.exchange(true)) return;
  publishing.workers().post([this, now = std::chrono::steady_clock::now()] {
    const auto done = guarded([&] {
      clear_vacated("", now);
      look_at_released_claims(now);
    });
    if (!done) log_error("old names: " + done.error().message);
    is_vacating = false;
  });
}

void FilesystemCore::clear_vacated(const std::string& prefix, Moment until) {
  constexpr std::chrono::seconds kPause{60};  // After a failure: nobody waits for it.
  for (const auto& name : vacated.due(prefix, until)) {
    const std::string& path = name.version.path;
    auto turn = vacating.take();
    if (!turn) return;
    const auto left = left_at(path);
    if (!left || !same_version(*left, name.version)) continue;
    const InodePtr beside = tree.beside(name.directory, name.key);
    const InodePtr child = beside != nullptr ? beside : tree.child(name.directory, name.key);
    if (child != nullptr && child->is_ours) {  // It will be published anew.
      vacated.put_off(path, std::chrono::steady_clock::now() + options.temporary_age);
      continue;
    }
    const auto legal = ObjectPath::make(path);
    const auto removed = legal ? publisher.remove(*legal, *left, Publisher::Sight::kLook) : legal.error();
    if (!removed && removed.error().code != Errc::kConflict) {
      log_warn("an old name is still on the lake: " + removed.error().message);
      vacated.put_off(path, std::chrono::steady_clock::now() + kPause);
      continue;
    }
    // Before the lake's answers show it again: one that is under way may be older than this.
    if (removed)
      view.changed_object(name.directory, name.key, std::nullopt);
    else
      view.distrust(name.directory, name.key);
    vacated.forget(path);
  }
}

}  // namespace lakefuse
