#include "fs/vacated_names.h"

#include <utility>

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

std::optional<ObjectInfo> VacatedNames::at(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? std::nullopt : std::optional(found->second.version);
}

bool VacatedNames::hides(const ObjectInfo& object) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(object.path);
  return found != names_.end() && same_version(found->second.version, object);
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

Result<FilesystemCore::Vacancy> FilesystemCore::vacancy(const std::string& path) {
  if (!vacated.at(path)) return Vacancy{Expectation::absent()};
  auto turn = vacating.take();
  if (!turn) return turn.error();
  const auto left = vacated.at(path);
  return Vacancy{left ? Expectation::of(*left) : Expectation::absent(), *std::move(turn)};
}

void FilesystemCore::clear_vacated(const std::string& prefix, Moment until) {
  constexpr std::chrono::seconds kPause{60};  // After a failure: nobody waits for it.
  for (const auto& name : vacated.due(prefix, until)) {
    auto turn = vacating.take();
    if (!turn) return;
    const auto still = vacated.at(name.version.path);
    if (!still || !same_version(*still, name.version)) continue;
    const auto last = publishing.last_met(name.version.path);
    if (last && !same_version(*last, name.version)) {  // Published anew.
      vacated.forget(name.version.path);
      continue;
    }
    const InodePtr child = tree.child(name.directory, name.key);
    if (child != nullptr && child->is_ours) {  // It will be.
      vacated.put_off(name.version.path, std::chrono::steady_clock::now() + options.temporary_age);
      continue;
    }
    const auto path = ObjectPath::make(name.version.path);
    const auto removed = path ? publisher.remove(*path, name.version, Publisher::Sight::kLook) : path.error();
    if (!removed && removed.error().code != Errc::kConflict) {
      log_warn("an old name is still on the lake: " + removed.error().message);
      vacated.put_off(name.version.path, std::chrono::steady_clock::now() + kPause);
      continue;
    }
    // Before the lake's answers show it again: one that is under way may be older than this.
    if (removed)
      view.changed_object(name.directory, name.key, std::nullopt);
    else
      view.distrust(name.directory, name.key);
    vacated.forget(name.version.path);
  }
}

}  // namespace lakefuse
