#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "client/error.h"
#include "client/publisher.h"
#include "fs/moment.h"

namespace lakefuse {

// Changes of the lake that a signal cut off: what was asked for may be done a moment later (design rule 1).
// Whoever changes the same path next waits until it has come, and so does who looks the name up: they meet
// what the call came to. Paths are those of the branch; a directory's end with "/" or do not. Safe to use
// from many threads at once.
class CutOff {
 public:
  // So many are known by their paths; while there are more, all paths wait.
  static constexpr std::size_t kMost = 1000;

  // `time`: how long until nothing comes any more.
  explicit CutOff(std::chrono::milliseconds time = kUntilSecondLook) : time_(time) {}

  // To be said of a change that failed. Only of one that a signal ended it is noted, and only by who waited
  // for it: what is merely unwanted ends before its link. Does not block.
  void may_come_later(const std::string& path, const Error& why);

  // Waits until nothing can come any more at these paths or below them, and answers whether there was
  // anything to wait for. kInterrupted.
  Result<bool> outlast(const std::vector<std::string>& paths);

  // Nothing was cut off lately.
  [[nodiscard]] bool is_idle() const { return !is_busy_; }

 private:
  void forget_locked(Moment now);  // What has come by then.
  [[nodiscard]] Moment until_locked(std::string_view path) const;

  const std::chrono::milliseconds time_;
  std::atomic<bool> is_busy_ = false;

  std::mutex mutex_;                     // A leaf. Guards all below.
  std::map<std::string, Moment> until_;  // By path, without the "/" at its end.
  Moment all_until_{};                   // Of all paths.
};

}  // namespace lakefuse
