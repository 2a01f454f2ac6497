#include "cache/write_behind.h"

#include <utility>

namespace lakefuse {

WriteBehind::~WriteBehind() {
  for (std::uint64_t left = waiting_; left > 0; left = waiting_) waiting_.wait(left);
}

bool WriteBehind::post(std::uint64_t bytes, std::function<void()> write) {
  if (waiting_ + bytes > most_waiting_) return false;
  waiting_ += bytes;
  workers_.post([this, bytes, write = std::move(write)]() mutable {
    write();
    write = nullptr;  // What it holds is free before somebody else's may wait.
    waiting_ -= bytes;
    waiting_.notify_all();
  });
  return true;
}

}  // namespace lakefuse
