#pragma once

#include <chrono>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "client/boot_clock.h"
#include "client/object_store.h"
#include "client/secret.h"

namespace lakefuse {

// Presigned URLs for reading, by what they lead to, for as long as they live. They are bearer credentials:
// kept in memory only, up to 10,000 and 64 MiB of them, and handed to nobody but the reader. Safe to use from
// many threads at once; never blocks.
class UrlCache {
 public:
  using Clock = BootClock;

  // A URL is not given out in the last seconds of its life, for a read takes time to arrive.
  static constexpr std::chrono::seconds kMargin{15};

  void put(const ObjectInfo& object, Secret url, Clock::time_point expiry,
           Clock::time_point now = Clock::now());
  [[nodiscard]] std::optional<Secret> find(const ObjectInfo& object, Clock::time_point now = Clock::now());
  void drop(const ObjectInfo& object);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    std::string key;
    Secret url;
    Clock::time_point expiry;
  };

  static std::size_t bytes_of(const Entry& entry);
  void drop_locked(std::list<Entry>::iterator entry);

  mutable std::mutex mutex_;
  std::list<Entry> entries_;                                            // Guarded by mutex_. Oldest first.
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;  // Guarded by mutex_.
  std::size_t bytes_ = 0;                                               // Guarded by mutex_.
};

}  // namespace lakefuse
