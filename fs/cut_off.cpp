#include "fs/cut_off.h"

#include <algorithm>

#include "client/patience.h"

namespace lakefuse {
namespace {

std::string_view without_slash(std::string_view path) {
  return path.substr(0, path.size() - (path.ends_with('/') ? 1 : 0));
}

}  // namespace

void CutOff::may_come_later(const std::string& path, const Error& why) {
  if (why.code != Errc::kInterrupted || !Patience::current().stop_requested()) return;
  const Moment now = clock_now();
  const std::lock_guard lock(mutex_);
  forget_locked(now);
  if (until_.size() < kMost)
    until_.insert_or_assign(std::string(without_slash(path)), now + time_);
  else
    all_until_ = now + time_;
  is_busy_ = true;
}

Result<bool> CutOff::outlast(const std::vector<std::string>& paths) {
  if (is_idle()) return false;
  bool has_waited = false;
  while (true) {
    const Moment now = clock_now();
    Moment until{};
    {
      const std::lock_guard lock(mutex_);
      forget_locked(now);
      for (const std::string& path : paths) until = std::max(until, until_locked(without_slash(path)));
    }
    if (until <= now) return has_waited;
    has_waited = true;
    if (!sleep_out(Patience::current(), std::chrono::ceil<std::chrono::milliseconds>(until - now)))
      return Error{Errc::kInterrupted, "a signal ended the wait for what an interrupted call may have done"};
  }
}

void CutOff::forget_locked(Moment now) {
  std::erase_if(until_, [&](const auto& entry) { return entry.second <= now; });
  is_busy_ = !until_.empty() || all_until_ > now;
}

Moment CutOff::until_locked(std::string_view path) const {
  Moment until = all_until_;
  const std::string own(path), below = own + "/";
  if (const auto found = until_.find(own); found != until_.end()) until = std::max(until, found->second);
  for (auto at = until_.lower_bound(below); at != until_.end() && at->first.starts_with(below); ++at)
    until = std::max(until, at->second);
  return until;
}

}  // namespace lakefuse
