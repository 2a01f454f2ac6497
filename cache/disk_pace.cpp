#include "cache/disk_pace.h"

#include <iterator>

namespace lakefuse {

std::optional<DiskPace::Write> DiskPace::begin() {
  const auto now = now_();
  const std::lock_guard lock(mutex_);
  if (!begun_.empty() && now - begun_.front() >= kLasts) last_lasted_ = now;
  const bool is_probe_due = begun_.empty() && last_lasted_ && now - *last_lasted_ >= kAWhile;
  if (last_lasted_ && !is_probe_due) return std::nullopt;
  begun_.push_back(now);
  return Write(*this, std::prev(begun_.end()));
}

void DiskPace::end(std::list<Clock::time_point>::iterator place) {
  const auto now = now_();
  const std::lock_guard lock(mutex_);
  if (now - *place >= kLasts)
    last_lasted_ = now;
  else if (last_lasted_ && *place >= *last_lasted_ + kAWhile)
    last_lasted_.reset();
  begun_.erase(place);
}

}  // namespace lakefuse
