#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "cache/byte_range.h"

namespace lakefuse {

// Sees who reads in a row, and says what to fetch before it is asked for.
//
// A stream is a place in an object where reads follow each other; it is found by object and place, so that
// several readers of one object are several streams, and a reader that jumps begins another one. The kernel
// sends the requests of one reader side by side, so they may come in any order: a large read belongs to a
// stream when it begins near where the stream has got to. Once it is seen to be a row, a stream's window is
// as large as all that it has read so far: little is fetched in vain however early the reader stops, and a
// long reader soon keeps several connections busy.
//
// Only decides; fetches nothing. Safe to use from many threads at once; takes microseconds.
class ReadAhead {
 public:
  // All windows together reach so far ahead at most.
  explicit ReadAhead(std::uint64_t most_ahead) : most_ahead_(most_ahead) {}

  // Pieces are this long at most, a power of two, and end at multiples of it.
  static constexpr std::uint64_t kLongestPiece = 4 << 20;

  struct Advice {
    std::uint64_t fetch_to = 0;    // If what is read has to be fetched: to here at once.
    std::vector<ByteRange> ahead;  // To be fetched behind, in this order.
  };
  // A read of [offset, offset + length) of an object of `size` bytes. REQUIRES: it lies in the object.
  Advice read(const std::string& object, std::uint64_t size, std::uint64_t offset, std::uint64_t length);

 private:
  struct Stream {
    std::string object;
    std::uint64_t reached = 0;    // Where the furthest read ended.
    std::uint64_t asked_for = 0;  // Where the last piece ends.
    std::uint64_t in_a_row = 0;   // Bytes read.
    std::uint64_t last_read = 0;  // By the count of all reads.
    bool is_sequential = false;
  };
  [[nodiscard]] std::list<Stream>::iterator find(const std::string& object, std::uint64_t offset,
                                                 std::uint64_t length);
  [[nodiscard]] std::uint64_t window_of(const Stream& stream) const;

  const std::uint64_t most_ahead_;

  std::mutex mutex_;           // A leaf. Guards all below.
  std::list<Stream> streams_;  // Latest first.
  std::uint64_t reads_ = 0;
};

}  // namespace lakefuse
