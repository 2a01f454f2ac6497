#include "client/batch_removal.h"

#include <algorithm>

namespace lakefuse {
namespace {

constexpr std::size_t kPage = 1000;  // lakeFS's largest.
// From so many names of one directory on, a page is cheaper than a look at each: 15 ms against 4.
constexpr std::size_t kNeighbours = 4;

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/') + 1);  // npos + 1 is 0.
}

// The longest text that surely comes before `path`: without its last character.
std::string before(std::string path) {
  while (!path.empty() && (static_cast<unsigned char>(path.back()) & 0xc0) == 0x80) path.pop_back();
  if (!path.empty()) path.pop_back();
  return path;
}

}  // namespace

bool BatchRemoval::is_unwanted(const Removal& removal, const ObjectInfo& found) const {
  if (removal.version && same_version(*removal.version, found)) return true;
  return is_nonce(nonce_of(found.metadata), removal.nonce, found.physical_address, lake_.facts().can_presign);
}

Result<> BatchRemoval::look_at_one(const ObjectPath& path) {
  auto found = look_at(lake_, path);
  if (!found) return found.error();
  if (*found) found_.insert_or_assign(path.str(), **std::move(found));
  return {};
}

Result<> BatchRemoval::look_at_neighbours(std::span<const Removal* const> neighbours) {
  const std::string directory = directory_of(neighbours.front()->path.str());
  std::string after;
  while (!neighbours.empty()) {
    if (neighbours.size() < kNeighbours) {
      for (const Removal* one : neighbours)
        if (auto looked = look_at_one(one->path); !looked) return looked;
      return {};
    }
    const ObjectPath& next = neighbours.front()->path;
    if (const std::string near = before(next.str()); near.size() > directory.size())
      after = std::max(after, near);
    // Of few no page full of those between them.
    const std::size_t amount = std::min(kPage, 2 * neighbours.size());
    const auto page = lake_.list({.prefix = directory, .after = after, .delimited = true, .amount = amount});
    if (!page) return page.error();
    for (const ListEntry& entry : page->entries)
      if (!entry.is_prefix) found_.insert_or_assign(entry.object.path, entry.object);
    if (!page->has_more) return {};
    const auto is_covered = [&](const Removal* one) { return one->path.str() <= page->next; };
    const auto rest = std::find_if_not(neighbours.begin(), neighbours.end(), is_covered);
    if (rest == neighbours.begin()) {  // More than a page lies before it.
      if (auto looked = look_at_one(next); !looked) return looked;
      neighbours = neighbours.subspan(1);
    } else {
      neighbours = neighbours.subspan(static_cast<std::size_t>(rest - neighbours.begin()));
    }
    after = page->next;
  }
  return {};
}

Result<std::vector<ObjectPath>> BatchRemoval::look() {
  found_.clear();
  others_.clear();
  std::vector<const Removal*> sorted;
  for (const Removal& removal : removals_) sorted.push_back(&removal);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Removal* a, const Removal* b) {
    const std::string one = directory_of(a->path.str()), other = directory_of(b->path.str());
    return one != other ? one < other : a->path.str() < b->path.str();
  });
  for (auto at = sorted.begin(); at != sorted.end();) {
    const std::string directory = directory_of((*at)->path.str());
    const auto end = std::find_if(
        at, sorted.end(), [&](const Removal* one) { return directory_of(one->path.str()) != directory; });
    if (auto looked = look_at_neighbours(std::span<const Removal* const>(at, end)); !looked)
      return looked.error();
    at = end;
  }
  std::vector<ObjectPath> there;
  for (const Removal* removal : sorted) {
    const auto found = found_.find(removal->path.str());
    if (found == found_.end()) continue;
    if (!is_unwanted(*removal, found->second)) {
      others_.push_back(removal->path.str());
      continue;
    }
    if (there.empty() || there.back().str() != removal->path.str()) there.push_back(removal->path);
  }
  return there;
}

Result<std::vector<ObjectPath>> BatchRemoval::all() const {
  std::vector<ObjectPath> paths;
  for (const Removal& removal : removals_) paths.push_back(removal.path);
  return paths;
}

Result<std::vector<std::string>> BatchRemoval::run(Publisher::Sight sight) {
  for (int lost_answers = 0;;) {
    const bool is_seen = sight == Publisher::Sight::kJustNow && lost_answers == 0;
    const auto there = is_seen ? all() : look();
    if (!there) return there.error();
    if (there->empty()) return others_;
    auto removed = there->size() == 1 ? lake_.remove(there->front()) : lake_.remove_all(*there);
    if (removed) return others_;
    const bool is_lost = may_be_done(removed.error().code) && ++lost_answers < kMaxLostAnswers;
    if (!is_lost) return removed.error();
    if (auto slept = sleep_(kUntilSecondLook); !slept) return slept.error().in(removed.error().message);
  }
}

}  // namespace lakefuse
