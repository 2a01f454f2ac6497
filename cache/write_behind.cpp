#include "cache/write_behind.h"

#include <tuple>
#include <utility>

#include "cache/guarded.h"

namespace lakefuse {

WriteBehind::~WriteBehind() {
  for (std::uint64_t left = waiting_; left > 0; left = waiting_) waiting_.wait(left);
}

bool WriteBehind::post(std::uint64_t bytes, std::function<void()> write) {
  if (waiting_ + bytes > most_waiting_) return false;
  waiting_ += bytes;
  const auto is_done = [this, bytes] {
    waiting_ -= bytes;
    waiting_.notify_all();
  };
  const auto posted = guarded([&] {
    workers_.post([is_done, write = std::move(write)]() mutable {
      std::ignore = guarded(write);  // What is not kept is read again.
      write = nullptr;               // What it holds is free before somebody else's may wait.
      is_done();
    });
  });
  if (!posted) is_done();
  return posted.has_value();
}

}  // namespace lakefuse
