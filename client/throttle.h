#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "client/error.h"
#include "client/url.h"

namespace lakefuse {

// How many requests one origin is sent side by side: as many as there are callers, until it says that these
// are too many (429, 503). Then half of those that were under way, and one more whenever so many were
// answered well, until it takes all again. Safe to use from many threads at once.
class Throttle {
 public:
  // Nobody waits longer than `patience` for others: where these hang, one too many does less harm.
  explicit Throttle(std::chrono::milliseconds patience = std::chrono::seconds(1)) : patience_(patience) {}

  // One request, from before it is sent until it is answered.
  class Turn;
  // Waits for a place. kInterrupted.
  Result<Turn> begin(const Origin& origin);

  // How many origins it remembers something of.
  [[nodiscard]] std::size_t origins() const;

 private:
  struct Line {
    std::size_t under_way = 0;
    std::size_t waiting = 0;
    double most = 0;         // 0: no limit.
    std::uint64_t cuts = 0;  // How often it was said that these are too many.
  };

  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;  // A leaf.
  std::condition_variable_any ended_;
  using Lines = std::map<Origin, Line>;
  void forget_locked(Lines::iterator line);  // Where it says nothing more.
  Lines lines_;                              // Guarded by mutex_.
};

class Throttle::Turn {
 public:
  Turn(Throttle& throttle, Lines::iterator line)
      : throttle_(&throttle), line_(line), cuts_(line->second.cuts) {}
  Turn(Turn&& other) noexcept;
  Turn& operator=(Turn&&) = delete;
  ~Turn();

  void answered(int status);

 private:
  Throttle* throttle_;  // Null: moved from.
  Lines::iterator line_;
  std::uint64_t cuts_;  // When it began.
};

}  // namespace lakefuse
