#include "cache/piece_buffers.h"

#include <sys/mman.h>

#include <new>

#include "cache/disk.h"

namespace lakefuse {
namespace {

constexpr std::align_val_t kAlignment{kDirectAlignment};

// A large page is cleared, and looked up for the disk, at once and not in 512 steps.
constexpr std::align_val_t kLargePage{2 << 20};

std::byte* make_piece(std::size_t bytes) {
  auto* const buffer = static_cast<std::byte*>(::operator new[](bytes, kLargePage));
  ::madvise(buffer, bytes, MADV_HUGEPAGE);
  return buffer;
}

void free_piece(std::byte* buffer) {
  ::operator delete[](buffer, kLargePage);
}

}  // namespace

PieceBuffers::~PieceBuffers() {
  for (std::byte* buffer : waiting_) free_piece(buffer);
}

PieceBuffers::Buffer PieceBuffers::take(std::size_t bytes) {
  if (is_piece(bytes)) {
    const std::lock_guard lock(mutex_);
    if (!waiting_.empty()) {
      std::byte* const buffer = waiting_.back();
      waiting_.pop_back();
      return {buffer, {this, bytes}};
    }
  }
  std::byte* const buffer = is_piece(bytes) ? make_piece(piece_bytes_)
                                            : static_cast<std::byte*>(::operator new[](bytes, kAlignment));
  return {buffer, {this, bytes}};
}

void PieceBuffers::give_back(std::byte* buffer, std::size_t bytes) {
  if (is_piece(bytes)) {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() < kept_) return waiting_.push_back(buffer);
  }
  is_piece(bytes) ? free_piece(buffer) : ::operator delete[](buffer, kAlignment);
}

std::size_t PieceBuffers::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

}  // namespace lakefuse
