#pragma once

#include <mutex>
#include <string>
#include <unordered_set>

namespace lakefuse {

// Addresses outside the storage namespace that the server itself has told us: the only such ones that are
// linked, for it takes any text for an address and then fails every listing. Forgets all when it grows large,
// which costs one more stat. Safe to use from many threads at once.
class KnownAddresses {
 public:
  void add(const std::string& address) {
    std::lock_guard lock(mutex_);
    if (addresses_.size() >= kMax) addresses_.clear();
    addresses_.insert(address);
  }
  [[nodiscard]] bool has(const std::string& address) const {
    std::lock_guard lock(mutex_);
    return addresses_.contains(address);
  }

 private:
  static constexpr std::size_t kMax = 65'536;  // About 10 MiB.

  mutable std::mutex mutex_;
  std::unordered_set<std::string> addresses_;  // Guarded by mutex_.
};

}  // namespace lakefuse
