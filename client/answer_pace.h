#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace lakefuse {

// How long the body of an answer may take: each byte gives the time that it would take at the slowest pace,
// and nobody is more than `idle` ahead. So a server that says nothing, or drips, has `idle` from the moment
// at which it became slow, and one that keeps the pace has all the time that it needs. Used by one thread at
// a time; asks no clock.
class AnswerPace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // Over a line of 100 KiB/s a dozen pieces that are fetched ahead, and a few that are waited for, have 6
  // KiB/s each: that is to work.
  static constexpr std::uint64_t kSlowestBytesPerSecond = 4'096;

  AnswerPace(std::chrono::milliseconds idle, Time now) : idle_(idle), end_(now + idle) {}

  void came(std::uint64_t bytes, Time now) {
    const std::chrono::microseconds earned(bytes * 1'000'000 / kSlowestBytesPerSecond);
    end_ = std::min(end_ + earned, now + idle_);
  }
  // Not above zero: its time is over.
  [[nodiscard]] std::chrono::milliseconds left(Time now) const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(end_ - now);
  }

 private:
  const std::chrono::milliseconds idle_;
  Time end_;
};

}  // namespace lakefuse
