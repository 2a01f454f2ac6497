#include "cache/read_ahead.h"

#include <algorithm>
#include <bit>

namespace lakefuse {

namespace {

// More readers at once are to be served one request at a time.
constexpr std::size_t kMostStreams = 64;

// A stream that has not read for so many reads of others leaves the room to them.
constexpr std::uint64_t kActiveReads = 128;

// So much read in a row is no accident. (Whoever reads 4 KiB here and there hits upon the end of an earlier
// read now and then.)
constexpr std::uint64_t kRow = 64 << 10;

// How far from its place a stream's next read may begin: the kernel has a few requests of a reader on the
// way. It makes them large for whoever reads in a row; small ones must fit exactly.
constexpr std::uint64_t kNearLengths = 4;
constexpr std::uint64_t kMostNear = 512 << 10;

std::uint64_t near(std::uint64_t length) {
  return length < kRow ? 0 : std::min(kNearLengths * length, kMostNear);
}

// Below, a request costs more than its bytes; four pieces of a window are on their way side by side.
constexpr std::uint64_t kShortestPiece = 256 << 10;
constexpr std::uint64_t kPiecesPerWindow = 4;

std::uint64_t piece_of(std::uint64_t window) {
  return std::clamp(std::bit_floor(window / kPiecesPerWindow), kShortestPiece, ReadAhead::kLongestPiece);
}

std::uint64_t piece_end(std::uint64_t offset, std::uint64_t piece, std::uint64_t size) {
  return std::min(size, (offset / piece + 1) * piece);
}

}  // namespace

std::list<ReadAhead::Stream>::iterator ReadAhead::find(const std::string& object, std::uint64_t offset,
                                                       std::uint64_t length) {
  return std::ranges::find_if(streams_, [&, slack = near(length)](const Stream& stream) {
    return offset + slack >= stream.reached && offset <= stream.reached + slack && stream.object == object;
  });
}

std::uint64_t ReadAhead::window_of(const Stream& stream) const {
  const auto active = std::ranges::count_if(streams_, [&](const Stream& other) {
    return other.is_sequential && other.last_read + kActiveReads >= reads_;
  });
  // Several fill the wire with less, and each has a piece in hand besides.
  const std::uint64_t share =
      active > 1 ? most_ahead_ / 4 * 3 / static_cast<std::uint64_t>(active) : most_ahead_;
  return std::clamp(stream.in_a_row, kShortestPiece, std::max(share, kShortestPiece));
}

ReadAhead::Advice ReadAhead::read(const std::string& object, std::uint64_t size, std::uint64_t offset,
                                  std::uint64_t length) {
  const std::uint64_t end = offset + length;
  const std::lock_guard lock(mutex_);
  const auto found = find(object, offset, length);
  if (found == streams_.end()) {
    streams_.push_front(
        {.object = object, .reached = end, .asked_for = end, .in_a_row = length, .last_read = ++reads_});
    if (streams_.size() > kMostStreams) streams_.pop_back();
    return {.fetch_to = end, .ahead = {}};
  }
  streams_.splice(streams_.begin(), streams_, found);
  Stream& stream = *found;
  stream.in_a_row += length;
  stream.is_sequential = stream.in_a_row >= kRow;
  stream.reached = std::max(stream.reached, end);
  stream.last_read = ++reads_;
  if (!stream.is_sequential) return {.fetch_to = end, .ahead = {}};

  const std::uint64_t window = window_of(stream);
  const std::uint64_t piece = piece_of(window);
  Advice advice{.fetch_to = std::max(end, piece_end(offset, piece, size)), .ahead = {}};
  stream.asked_for = std::max({stream.asked_for, stream.reached, advice.fetch_to});
  while (stream.asked_for < size) {
    const std::uint64_t next = piece_end(stream.asked_for, piece, size);
    // Whole pieces only, but always one.
    if (next > stream.reached + window && stream.asked_for > advice.fetch_to) break;
    advice.ahead.push_back({stream.asked_for, next});
    stream.asked_for = next;
  }
  return advice;
}

}  // namespace lakefuse
