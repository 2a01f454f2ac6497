#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>

namespace lakefuse {

// Memory for bytes that arrive, as the disk takes them without a copy. That of long pieces is used again, for
// new memory costs the kernel as much as a fifth of the read does: it clears each page, and is asked for
// each. Safe to use from many threads at once. REQUIRES: lives as long as what it gave.
class PieceBuffers {
 public:
  // Pieces of more than this are long.
  static constexpr std::size_t kShortBytes = 128 << 10;

  // Of up to `piece_bytes`. While any is in use, so much memory waits for the next that both are no more than
  // `most_in_all`; two pieces at any time. Those that were used last.
  PieceBuffers(std::size_t piece_bytes, std::size_t most_in_all)
      : piece_bytes_(piece_bytes), most_in_all_(most_in_all) {}
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

  [[nodiscard]] std::size_t waiting_bytes() const;

 private:
  struct Waiting {
    std::byte* buffer;
    std::size_t room;
  };
  [[nodiscard]] bool is_kept(std::size_t bytes) const { return bytes > kShortBytes && bytes <= piece_bytes_; }
  void give_back(std::byte* buffer, std::size_t bytes);
  // REQUIRES: mutex_.
  [[nodiscard]] std::size_t most_waiting() const;

  const std::size_t piece_bytes_;
  const std::size_t most_in_all_;

  mutable std::mutex mutex_;     // A leaf. Guards all below.
  std::deque<Waiting> waiting_;  // Used last: last.
  std::size_t waiting_bytes_ = 0;
  std::size_t used_bytes_ = 0;  // Of long pieces.
};

}  // namespace lakefuse
