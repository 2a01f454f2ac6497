#include "cache/piece_buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <new>

#include "cache/disk.h"

namespace lakefuse {
namespace {

// A large page is cleared, and looked up for the disk, at once and not in 512 steps.
constexpr std::size_t kLargePage = 2 << 20;

constexpr std::align_val_t kAlignment{kDirectAlignment};

// Large ones come from the kernel and go back to it: among malloc's they would leave holes as large.
std::byte* map(std::size_t room) {
  void* const mapped =
      ::mmap(nullptr, room + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(mapped);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % kLargePage;
  if (before > 0) ::munmap(begin, before);
  std::byte* const buffer = begin + before;
  ::munmap(buffer + room, kLargePage - before);
  ::madvise(buffer, room, MADV_HUGEPAGE);
  return buffer;
}

std::size_t whole_pages(std::size_t room) {
  return (room + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

std::byte* make(std::size_t room) {
  if (room >= kLargePage) return map(whole_pages(room));
  return static_cast<std::byte*>(::operator new[](room, kAlignment));
}

void destroy(std::byte* buffer, std::size_t room) {
  if (room >= kLargePage)
    ::munmap(buffer, whole_pages(room));
  else
    ::operator delete[](buffer, kAlignment);
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
    used_bytes_ += room;
    const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                    [&](const Waiting& one) { return one.room == room; });
    if (found != waiting_.rend()) {
      std::byte* const buffer = found->buffer;
      waiting_.erase(std::next(found).base());
      waiting_bytes_ -= room;
      return {buffer, {this, bytes}};
    }
  }
  try {
    return {make(room), {this, bytes}};
  } catch (const std::bad_alloc&) {
    const std::lock_guard lock(mutex_);
    used_bytes_ -= room;
    throw;
  }
}

void PieceBuffers::give_back(std::byte* buffer, std::size_t bytes) {
  if (!is_kept(bytes)) return destroy(buffer, bytes);
  const std::lock_guard lock(mutex_);
  const std::size_t room = std::bit_ceil(bytes);
  used_bytes_ -= room;
  try {
    waiting_.push_back({buffer, room});
  } catch (const std::bad_alloc&) {
    return destroy(buffer, room);
  }
  waiting_bytes_ += room;
  while (waiting_bytes_ > most_waiting()) {
    waiting_bytes_ -= waiting_.front().room;
    destroy(waiting_.front().buffer, waiting_.front().room);
    waiting_.pop_front();
  }
}

std::size_t PieceBuffers::most_waiting() const {
  const std::size_t left = used_bytes_ == 0 ? 0 : most_in_all_ - std::min(most_in_all_, used_bytes_);
  return std::max(2 * piece_bytes_, left);
}

std::size_t PieceBuffers::waiting_bytes() const {
  const std::lock_guard lock(mutex_);
  return waiting_bytes_;
}

}  // namespace lakefuse
