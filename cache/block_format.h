#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cache/byte_range.h"
#include "client/error.h"

namespace lakefuse {

// Which bytes of the world a block file holds: an object's digest (installation, address, checksum, size) and
// the number of the block in it.
struct BlockId {
  std::string object;
  std::uint64_t index = 0;
  auto operator<=>(const BlockId&) const = default;
};

// How a block lies in its file: its bytes from offset 0 on, so that they can be spliced or mapped, then a
// table with a sum for each chunk of 4 KiB. The file is sparse: chunks come in any order, from any process. A
// chunk is there when its sum fits its bytes; a sum fits nothing but these bytes at this place of this block.
// So nothing else has to say what is there, and what is half written, damaged or swapped is not there.
class BlockFormat {
 public:
  static constexpr std::uint64_t kChunkBytes = 4096;  // A page: the least that the kernel asks for.

  // `id` must outlive this.
  BlockFormat(const BlockId& id, std::uint64_t block_bytes);

  // Fills `out` from `offset` of the block, and returns how many bytes from its beginning on are there.
  // REQUIRES: offset + out.size() <= block_bytes. The table may lie in a file of its own, at the same place.
  [[nodiscard]] std::size_t read(int file, std::uint64_t offset, std::span<std::byte> out) const {
    return read(file, file, offset, out);
  }
  [[nodiscard]] std::size_t read(int file, int table, std::uint64_t offset, std::span<std::byte> out) const;

  // Of the chunks of a range, which begins with one: where the first one begins that was written (whether or
  // not it is damaged), and is followed by so many others or by the range's end; and the first that was not.
  // The range's end where there is none.
  [[nodiscard]] std::uint64_t first_written(int file, const ByteRange& range, std::size_t in_a_row) const;
  [[nodiscard]] std::uint64_t first_unwritten(int file, const ByteRange& range) const;

  // An empty table, in a new file. Returns what the file takes on disk.
  Result<std::uint64_t> write_table(int file) const;

  // Chunks are written at their offset, where nobody sees them, and then shown by their sums. The latter
  // returns what the file takes on disk more than before the chunks. REQUIRES: `offset` is a chunk's
  // beginning, and offset + bytes.size() the beginning of another or the block's end; nobody else writes sums
  // into this file at the same time.
  [[nodiscard]] std::vector<std::uint64_t> sums_of(std::uint64_t offset,
                                                   std::span<const std::byte> bytes) const;
  Result<std::uint64_t> write_sums(int file, std::uint64_t offset, std::span<const std::uint64_t> sums) const;

  // The sum of what these two returned since the file of so many bytes was made: its table, and the chunks
  // that it shows.
  [[nodiscard]] static std::uint64_t shown_bytes(int file, std::uint64_t file_bytes);

 private:
  [[nodiscard]] std::uint64_t sum_of(std::uint64_t chunk, std::span<const std::byte> bytes) const;
  [[nodiscard]] std::vector<std::uint64_t> read_sums(int file, std::uint64_t first, std::uint64_t last) const;
  [[nodiscard]] std::size_t read_chunks(int file, std::uint64_t offset, std::span<std::byte> out,
                                        std::span<const std::uint64_t> sums) const;

  const std::uint64_t block_bytes_;
  const std::uint64_t table_begin_;
  const std::uint64_t name_;  // A sum of the id.
};

}  // namespace lakefuse
