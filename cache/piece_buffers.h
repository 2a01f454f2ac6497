#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace lakefuse {

// Memory for bytes that arrive, as the disk takes them without a copy. That of the longest pieces is used
// again, for new memory costs the kernel as much as a third of the read does: it clears each page, and is
// asked for each. Safe to use from many threads at once. REQUIRES: lives as long as what it gave.
class PieceBuffers {
 public:
  // `kept`: how many buffers of `piece_bytes` wait for the next piece.
  PieceBuffers(std::size_t piece_bytes, std::size_t kept) : piece_bytes_(piece_bytes), kept_(kept) {}
  ~PieceBuffers();
  PieceBuffers(const PieceBuffers&) = delete;
  PieceBuffers& operator=(const PieceBuffers&) = delete;

  struct GiveBack {
    PieceBuffers* to;
    std::size_t bytes;
    void operator()(std::byte* buffer) const { to->give_back(buffer, bytes); }
  };
  using Buffer = std::unique_ptr<std::byte[], GiveBack>;
  // Room for so many bytes, not cleared.
  Buffer take(std::size_t bytes);

  [[nodiscard]] std::size_t waiting() const;

 private:
  [[nodiscard]] bool is_piece(std::size_t bytes) const {
    return bytes <= piece_bytes_ && bytes > piece_bytes_ / 2;
  }
  void give_back(std::byte* buffer, std::size_t bytes);

  const std::size_t piece_bytes_;
  const std::size_t kept_;

  mutable std::mutex mutex_;         // A leaf.
  std::vector<std::byte*> waiting_;  // Guarded by mutex_. Last used last.
};

}  // namespace lakefuse
