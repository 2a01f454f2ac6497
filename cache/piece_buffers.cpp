#include "cache/piece_buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

#include "cache/disk.h"

namespace lakefuse {
namespace {

// A large page is cleared, and looked up for the disk, at once and not in 512 steps.
constexpr std::size_t kLargePage = 2 << 20;

std::align_val_t alignment_of(std::size_t room) {
  return std::align_val_t{room >= kLargePage ? kLargePage : kDirectAlignment};
}

std::byte* make(std::size_t room) {
  auto* const buffer = static_cast<std::byte*>(::operator new[](room, alignment_of(room)));
  if (room >= kLargePage) ::madvise(buffer, room, MADV_HUGEPAGE);
  return buffer;
}

void destroy(std::byte* buffer, std::size_t room) {
  ::operator delete[](buffer, alignment_of(room));
}

}  // namespace

PieceBuffers::~PieceBuffers() {
  for (const Waiting& one : waiting_) destroy(one.buffer, one.room);
}

PieceBuffers::Buffer PieceBuffers::take(std::size_t bytes) {
  if (!is_kept(bytes)) return {make(bytes), {this, bytes}};
  const std::size_t room = std::bit_ceil(bytes);
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                    [&](const Waiting& one) { return one.room == room; });
    if (found != waiting_.rend()) {
      std::byte* const buffer = found->buffer;
      waiting_.erase(std::next(found).base());
      waiting_bytes_ -= room;
      return {buffer, {this, bytes}};
    }
  }
  return {make(room), {this, bytes}};
}

void PieceBuffers::give_back(std::byte* buffer, std::size_t bytes) {
  if (!is_kept(bytes)) return destroy(buffer, bytes);
  const std::lock_guard lock(mutex_);
  waiting_.push_back({buffer, std::bit_ceil(bytes)});
  waiting_bytes_ += waiting_.back().room;
  while (waiting_bytes_ > most_waiting_) {
    waiting_bytes_ -= waiting_.front().room;
    destroy(waiting_.front().buffer, waiting_.front().room);
    waiting_.pop_front();
  }
}

std::size_t PieceBuffers::waiting_bytes() const {
  const std::lock_guard lock(mutex_);
  return waiting_bytes_;
}

}  // namespace lakefuse
