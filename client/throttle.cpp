#include "client/throttle.h"

#include <algorithm>
#include <utility>

#include "client/patience.h"

namespace lakefuse {
namespace {

// Who is sent so many at once needs no limit: there are no more callers.
constexpr double kNoLimit = 64;

// A server's URLs lead where it likes: not every origin is remembered that was too slow once.
constexpr std::size_t kMostLines = 64;

bool is_too_many(int status) {
  return status == 429 || status == 503;
}

}  // namespace

Result<Throttle::Turn> Throttle::begin(const Origin& origin) {
  std::unique_lock lock(mutex_);
  const auto at = lines_.try_emplace(origin).first;
  Line& line = at->second;  // Stays where it is.
  const std::stop_token stop = Patience::current();
  const auto has_place = [&] { return line.most == 0 || static_cast<double>(line.under_way) < line.most; };
  ++line.waiting;
  const bool is_interrupted = !ended_.wait_for(lock, stop, patience_, has_place) && stop.stop_requested();
  --line.waiting;
  if (is_interrupted) {
    forget_locked(at);
    return Error{Errc::kInterrupted, "interrupted while " + to_string(origin) + " takes no more at once"};
  }
  ++line.under_way;
  return Turn(*this, at);
}

std::size_t Throttle::origins() const {
  const std::lock_guard lock(mutex_);
  return lines_.size();
}

void Throttle::forget_locked(Lines::iterator line) {
  const auto& [under_way, waiting, most, cuts] = line->second;
  const bool is_idle = under_way == 0 && waiting == 0;
  if (is_idle && (most == 0 || lines_.size() > kMostLines)) lines_.erase(line);
}

Throttle::Turn::Turn(Turn&& other) noexcept
    : throttle_(std::exchange(other.throttle_, nullptr)), line_(other.line_), cuts_(other.cuts_) {}

Throttle::Turn::~Turn() {
  if (throttle_ == nullptr) return;
  {
    const std::lock_guard lock(throttle_->mutex_);
    --line_->second.under_way;
    throttle_->forget_locked(line_);
  }
  throttle_->ended_.notify_all();
}

void Throttle::Turn::answered(int status) {
  const std::lock_guard lock(throttle_->mutex_);
  Line& line = line_->second;
  if (is_too_many(status)) {
    if (cuts_ != line.cuts) return;  // Sent before the last cut: says nothing new.
    ++line.cuts;
    line.most = std::max(1.0, static_cast<double>(line.under_way) / 2);
  } else if (line.most > 0) {
    line.most += 1 / line.most;
    if (line.most >= kNoLimit) line.most = 0;
  }
}

}  // namespace lakefuse
