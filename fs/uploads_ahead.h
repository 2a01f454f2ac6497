#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>

#include "cache/workers.h"
#include "client/object_store.h"

namespace lakefuse {

// What the parts of all files that go up while they are written share (fs/file_parts.h): the lake, and a few
// threads of their own, so that no close waits behind them. Safe to use from many threads at once.
class UploadsAhead {
 public:
  // Without `is_wanted`, or where the lake cannot take parts so, nothing goes up ahead.
  UploadsAhead(ObjectStore& lake, bool is_wanted);

  [[nodiscard]] bool is_offered() const { return is_offered_; }
  [[nodiscard]] ObjectStore& lake() const { return lake_; }

  // Behind, from any thread; returns at once.
  void post(std::function<void()> job) { workers_.post(std::move(job)); }

  // Frees, behind, the parts of an upload that nobody will complete. Where that fails they stay, for the
  // store's owner to clear away.
  void abandon(const ObjectPath& path, const PartsTarget& target);
  [[nodiscard]] bool is_abandoning();
  // Waits until all of them are free, or the thread's Patience ends.
  void wait_for_abandoned();

 private:
  ObjectStore& lake_;
  const bool is_offered_;

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any freed_;
  std::size_t abandoned_ = 0;  // Guarded by mutex_. And not free yet.

  Workers workers_;  // Last: its jobs use all above.
};

}  // namespace lakefuse
