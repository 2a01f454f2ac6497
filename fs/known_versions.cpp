#include "fs/known_versions.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>

#include "cache/digest.h"

namespace lakefuse {
namespace {

// Of a cryptographic hash, so that nobody can choose an address that is taken for one of ours.
std::uint64_t number_of(const std::string& address) {
  const std::string text = digest({address});
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + 16, number, 16);
  return number;
}

std::uint64_t hash_of(const std::string& path) {
  return std::hash<std::string>{}(path);
}

}  // namespace

void KnownVersions::Numbers::insert(std::uint64_t number) {
  auto& row = by_first_byte_[number >> 56];
  const auto place = std::ranges::lower_bound(row, number);
  if (place != row.end() && *place == number) return;
  row.insert(place, number);
  ++size_;
}

bool KnownVersions::Numbers::contains(std::uint64_t number) const {
  return std::ranges::binary_search(by_first_byte_[number >> 56], number);
}

bool KnownVersions::knows_locked(std::uint64_t number) const {
  return ours_.young.contains(number) || ours_.old.contains(number);
}

void KnownVersions::add_locked(std::uint64_t number) {
  ours_.grow(ours_bound_);
  ours_.young.insert(number);
}

bool KnownVersions::is_ours(const std::string& physical_address) {
  const auto number = number_of(physical_address);
  const std::lock_guard lock(mutex_);
  if (knows_locked(number)) return true;
  if (links_ == nullptr) return false;
  for (const auto news : links_->take_news()) add_locked(news);
  return knows_locked(number);
}

void KnownVersions::is_ours_now(const std::string& physical_address) {
  const auto number = number_of(physical_address);
  if (links_ != nullptr) links_->add(number);
  const std::lock_guard lock(mutex_);
  add_locked(number);
}

void KnownVersions::met(const std::string& path, const ObjectInfo& version) {
  const auto hash = hash_of(path);
  KeptObject kept(version);
  const std::lock_guard lock(mutex_);
  met_.old.erase(hash);
  met_.grow(met_bound_);
  met_.young[hash] = std::move(kept);
}

void KnownVersions::removed(const std::string& path) {
  const auto hash = hash_of(path);
  const std::lock_guard lock(mutex_);
  met_.young.erase(hash);
  met_.old.erase(hash);
}

std::optional<ObjectInfo> KnownVersions::last_met(const std::string& path) const {
  const auto hash = hash_of(path);
  const std::lock_guard lock(mutex_);
  for (const auto* kept : {&met_.young, &met_.old}) {
    const auto found = kept->find(hash);
    if (found == kept->end()) continue;
    ObjectInfo version = *found->second;
    if (version.path == path) return version;  // Else another path has this hash.
  }
  return std::nullopt;
}

}  // namespace lakefuse
