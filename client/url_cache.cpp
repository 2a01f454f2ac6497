#include "client/url_cache.h"

namespace lakefuse {
namespace {

// At 1 to 2 KiB each: more than one mount reads in a quarter of an hour, and no burden.
constexpr std::size_t kMaxEntries = 10'000;

std::string key_of(const ObjectInfo& object) {
  return object.physical_address + '\n' + object.checksum;
}

}  // namespace

void UrlCache::put(const ObjectInfo& object, Secret url, Clock::time_point expiry, Clock::time_point now) {
  std::string key = key_of(object);
  std::lock_guard lock(mutex_);
  if (const auto old = by_key_.find(key); old != by_key_.end()) {
    entries_.erase(old->second);
    by_key_.erase(old);
  }
  entries_.push_back({key, std::move(url), expiry});
  by_key_.emplace(std::move(key), std::prev(entries_.end()));
  // Of one server they live equally long: those that nobody will be given are in front.
  while (entries_.size() > kMaxEntries || entries_.front().expiry - kMargin <= now) {
    drop_oldest_locked();
    if (entries_.empty()) return;
  }
}

void UrlCache::drop_oldest_locked() {
  by_key_.erase(entries_.front().key);
  entries_.pop_front();
}

std::optional<Secret> UrlCache::find(const ObjectInfo& object, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key_of(object));
  if (found == by_key_.end()) return std::nullopt;
  if (found->second->expiry - kMargin > now) return found->second->url;
  entries_.erase(found->second);
  by_key_.erase(found);
  return std::nullopt;
}

void UrlCache::drop(const ObjectInfo& object) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key_of(object));
  if (found == by_key_.end()) return;
  entries_.erase(found->second);
  by_key_.erase(found);
}

std::size_t UrlCache::size() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace lakefuse
