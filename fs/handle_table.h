#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "client/error.h"
#include "fs/filesystem.h"

namespace lakefuse {

// What the kernel's handle numbers stand for. A number is never used twice. Safe to use from many threads at
// once.
template <class Handle>
class HandleTable {
 public:
  HandleId add(std::shared_ptr<Handle> handle) {
    const std::lock_guard lock(mutex_);
    handles_.emplace(++last_, std::move(handle));
    return HandleId{last_};
  }

  Result<std::shared_ptr<Handle>> find(HandleId id) const {
    const std::lock_guard lock(mutex_);
    const auto found = handles_.find(static_cast<std::uint64_t>(id));
    if (found == handles_.end()) return Error{Errc::kBadHandle, "the handle is not open"};
    return found->second;
  }

  // Nothing when it was not open.
  std::shared_ptr<Handle> remove(HandleId id) {
    const std::lock_guard lock(mutex_);
    auto node = handles_.extract(static_cast<std::uint64_t>(id));
    return node.empty() ? nullptr : std::move(node.mapped());
  }

 private:
  mutable std::mutex mutex_;  // A leaf.
  std::unordered_map<std::uint64_t, std::shared_ptr<Handle>> handles_;
  std::uint64_t last_ = 0;
};

}  // namespace lakefuse
