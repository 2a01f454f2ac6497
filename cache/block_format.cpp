#include "cache/block_format.h"

#include <algorithm>
#include <cstring>

#include "cache/checksum.h"
#include "cache/disk.h"

namespace lakefuse {

namespace {

constexpr std::uint64_t kChunkBytes = 16 << 10;
constexpr std::uint64_t kMagic = 0x31304b4c42464c0a;  // "\nLFBLK01": the format and the byte order.

// Stands at the end of the file, after the checksums of the chunks.
struct Ending {
  std::uint64_t magic;
  std::uint64_t block_bytes;
  std::uint64_t name;     // Checksum of the id.
  std::uint64_t trailer;  // Checksum of the chunks' checksums and of the three words above.
};

std::uint64_t chunk_count(std::uint64_t block_bytes) {
  return (block_bytes + kChunkBytes - 1) / kChunkBytes;
}

Ending ending_of(const BlockId& id, std::uint64_t block_bytes, std::span<const std::uint64_t> chunks) {
  const std::string name = id.object + "-" + std::to_string(id.index);
  Ending ending{kMagic, block_bytes, checksum(std::as_bytes(std::span(name))), 0};
  const std::uint64_t words[] = {ending.magic, ending.block_bytes, ending.name,
                                 checksum(std::as_bytes(chunks))};
  ending.trailer = checksum(std::as_bytes(std::span(words)));
  return ending;
}

// The chunks' checksums, when the file's trailer is that of this block.
bool read_trailer(int file, const BlockId& id, std::uint64_t block_bytes,
                  std::vector<std::uint64_t>& chunks) {
  std::vector<std::byte> bytes(block_file_bytes(block_bytes) - block_bytes +
                               1);  // One more: a longer file is damaged.
  auto got = read_fully(file, block_bytes, bytes);
  if (!got || *got != bytes.size() - 1) return false;
  chunks.resize(chunk_count(block_bytes));
  std::memcpy(chunks.data(), bytes.data(), chunks.size() * sizeof chunks[0]);
  const Ending wanted = ending_of(id, block_bytes, chunks);
  return std::memcmp(&wanted, bytes.data() + chunks.size() * sizeof chunks[0], sizeof wanted) == 0;
}

}  // namespace

std::vector<std::byte> block_trailer(const BlockId& id, std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> chunks;
  for (std::uint64_t at = 0; at < bytes.size(); at += kChunkBytes)
    chunks.push_back(checksum(bytes.subspan(at, std::min<std::uint64_t>(kChunkBytes, bytes.size() - at))));
  const Ending ending = ending_of(id, bytes.size(), chunks);
  const auto sums = std::as_bytes(std::span(chunks));
  const auto end = std::as_bytes(std::span(&ending, 1));
  std::vector<std::byte> trailer(sums.begin(), sums.end());
  trailer.insert(trailer.end(), end.begin(), end.end());
  return trailer;
}

std::uint64_t block_file_bytes(std::uint64_t block_bytes) {
  return block_bytes + chunk_count(block_bytes) * sizeof(std::uint64_t) + sizeof(Ending);
}

bool read_block(int file, const BlockId& id, std::uint64_t block_bytes, std::uint64_t offset,
                std::span<std::byte> out) {
  std::vector<std::uint64_t> chunks;
  if (!read_trailer(file, id, block_bytes, chunks)) return false;
  const std::uint64_t begin = offset / kChunkBytes * kChunkBytes;
  const std::uint64_t end =
      std::min(block_bytes, (offset + out.size() + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
  // Whole chunks are read to where they go; others by way of a buffer.
  const bool is_aligned = begin == offset && end == offset + out.size();
  std::vector<std::byte> buffer(is_aligned ? 0 : end - begin);
  const std::span<std::byte> bytes = is_aligned ? out : std::span(buffer);
  auto got = read_fully(file, begin, bytes);
  if (!got || *got != bytes.size()) return false;
  for (std::uint64_t at = begin; at < end; at += kChunkBytes) {
    const auto chunk = bytes.subspan(at - begin, std::min(kChunkBytes, end - at));
    if (checksum(chunk) != chunks[at / kChunkBytes]) return false;
  }
  if (!is_aligned) std::memcpy(out.data(), buffer.data() + (offset - begin), out.size());
  return true;
}

}  // namespace lakefuse
