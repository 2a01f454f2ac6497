#include "cache/piece_buffers.h"

#include <new>

#include "cache/disk.h"

namespace lakefuse {
namespace {

constexpr std::align_val_t kAlignment{kDirectAlignment};

}  // namespace

PieceBuffers::~PieceBuffers() {
  for (std::byte* buffer : waiting_) ::operator delete[](buffer, kAlignment);
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
  const std::size_t room = is_piece(bytes) ? piece_bytes_ : bytes;
  return {static_cast<std::byte*>(::operator new[](room, kAlignment)), {this, bytes}};
}

void PieceBuffers::give_back(std::byte* buffer, std::size_t bytes) {
  if (is_piece(bytes)) {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() < kept_) return waiting_.push_back(buffer);
  }
  ::operator delete[](buffer, kAlignment);
}

std::size_t PieceBuffers::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

}  // namespace lakefuse
