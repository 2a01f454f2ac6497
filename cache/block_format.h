#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lakefuse {

// Which bytes of the world a block file holds: an object's digest (installation, address, checksum, size) and
// the number of the block in it.
struct BlockId {
  std::string object;
  std::uint64_t index = 0;
  auto operator<=>(const BlockId&) const = default;
};

// How a block lies in its file: its bytes from offset 0 on, so that they can be spliced or mapped, then a
// trailer with a checksum for each 16 KiB of them, so that a small read checks little more than it returns.
// The trailer names the block, so that a file under a wrong name is found out too.

// The trailer of these bytes.
[[nodiscard]] std::vector<std::byte> block_trailer(const BlockId& id, std::span<const std::byte> bytes);

// Bytes on disk of a block and its trailer.
[[nodiscard]] std::uint64_t block_file_bytes(std::uint64_t block_bytes);

// Fills `out` from `offset` of the block in the open file. False: it is not that block, whole and undamaged.
// REQUIRES: offset + out.size() <= block_bytes.
[[nodiscard]] bool read_block(int file, const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                              std::span<std::byte> out);

}  // namespace lakefuse
