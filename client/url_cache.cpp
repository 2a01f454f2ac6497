#include "client/url_cache.h"

namespace lakefuse {
namespace {

// At 1 to 2 KiB each: more than one mount reads in a quarter of an hour, and no burden.
constexpr std::size_t kMaxEntries = 10'000;
// A server may say longer ones.
constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

std::string key_of(const ObjectInfo& object) {
  return object.physical_address + '\n' + object.checksum;
}

}  // namespace

std::size_t UrlCache::bytes_of(const Entry& entry) {
  return 2 * entry.key.size() + entry.url.reveal().size();
}

void UrlCache::put(const ObjectInfo& object, Secret url, Clock::time_point expiry, Clock::time_point now) {
  std::string key = key_of(object);
  std::lock_guard lock(mutex_);
  if (const auto old = by_key_.find(key); old != by_key_.end()) drop_locked(old->second);
  entries_.push_back({key, std::move(url), expiry});
  by_key_.emplace(std::move(key), std::prev(entries_.end()));
  bytes_ += bytes_of(entries_.back());
  // Of one server they live equally long: those that nobody will be given are in front.
  while (entries_.size() > kMaxEntries || bytes_ > kMaxBytes || entries_.front().expiry - kMargin <= now) {
    drop_locked(entries_.begin());
    if (entries_.empty()) return;
  }
}

void UrlCache::drop_locked(std::list<Entry>::iterator entry) {
  bytes_ -= bytes_of(*entry);
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

std::optional<Secret> UrlCache::find(const ObjectInfo& object, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key_of(object));
  if (found == by_key_.end()) return std::nullopt;
  if (found->second->expiry - kMargin > now) return found->second->url;
  drop_locked(found->second);
  return std::nullopt;
}

void UrlCache::drop(const ObjectInfo& object) {
  std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key_of(object)); found != by_key_.end()) drop_locked(found->second);
}

std::size_t UrlCache::size() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace lakefuse
