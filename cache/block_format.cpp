#include "cache/block_format.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "cache/checksum.h"
#include "cache/disk.h"

namespace lakefuse {

namespace {

constexpr std::uint64_t kChunk = BlockFormat::kChunkBytes;
constexpr std::uint64_t kSumBytes = sizeof(std::uint64_t);
constexpr std::uint64_t kFew = 4 * kChunk;
constexpr std::string_view kFormat = "lakefuse block 2";  // Another one's sums fit nothing.

std::uint64_t chunks_to(std::uint64_t bytes) {
  return (bytes + kChunk - 1) / kChunk;
}

}  // namespace

BlockFormat::BlockFormat(const BlockId& id, std::uint64_t block_bytes)
    : block_bytes_(block_bytes),
      table_begin_((block_bytes + kSumBytes - 1) / kSumBytes * kSumBytes),
      name_([&] {
        const std::string name = std::string(kFormat) + id.object + "-" + std::to_string(id.index);
        return checksum(std::as_bytes(std::span(name)));
      }()) {}

// Never 0, which means that there is none.
std::uint64_t BlockFormat::sum_of(std::uint64_t chunk, std::span<const std::byte> bytes) const {
  const std::uint64_t words[] = {name_, chunk, checksum(bytes)};
  return checksum(std::as_bytes(std::span(words))) | 1;
}

std::vector<std::uint64_t> BlockFormat::read_sums(int file, std::uint64_t first, std::uint64_t last) const {
  std::vector<std::uint64_t> sums(last - first);
  std::ignore = read_fully(file, table_begin_ + first * kSumBytes, std::as_writable_bytes(std::span(sums)));
  return sums;
}

std::size_t BlockFormat::read(int file, int table, std::uint64_t offset, std::span<std::byte> out) const {
  const std::uint64_t end = offset + out.size();
  const std::uint64_t begin = offset / kChunk * kChunk;
  // Who reads here and there waits for the disk once, and not for the sums and then for the bytes.
  if (out.size() <= kFew)
    ::posix_fadvise(file, static_cast<off_t>(begin), static_cast<off_t>(end - begin), POSIX_FADV_WILLNEED);
  const auto sums = read_sums(table, offset / kChunk, chunks_to(end));
  const auto missing = std::ranges::find(sums, std::uint64_t{0});
  const std::uint64_t held = begin + static_cast<std::uint64_t>(missing - sums.begin()) * kChunk;
  if (held <= offset) return 0;
  out = out.first(std::min(end, held) - offset);
  // Whole chunks are read to where they go; others by way of a buffer.
  const std::uint64_t whole = std::min(block_bytes_, chunks_to(offset + out.size()) * kChunk);
  if (begin == offset && whole == offset + out.size()) return read_chunks(file, offset, out, sums);
  std::vector<std::byte> buffer(whole - begin);
  const std::size_t good = read_chunks(file, begin, buffer, sums);
  const std::size_t skipped = offset - begin;
  if (good <= skipped) return 0;
  const std::size_t filled = std::min(out.size(), good - skipped);
  std::memcpy(out.data(), buffer.data() + skipped, filled);
  return filled;
}

std::size_t BlockFormat::read_chunks(int file, std::uint64_t offset, std::span<std::byte> out,
                                     std::span<const std::uint64_t> sums) const {
  const auto got = read_fully(file, offset, out);
  if (!got) return 0;
  for (std::size_t at = 0, n = 0; at < out.size(); at += kChunk, ++n) {
    const auto chunk = out.subspan(at, std::min<std::size_t>(kChunk, out.size() - at));
    if (at + chunk.size() > *got || sum_of(offset / kChunk + n, chunk) != sums[n]) return at;
  }
  return out.size();
}

std::uint64_t BlockFormat::first_written(int file, const ByteRange& range, std::size_t in_a_row) const {
  if (range.begin >= range.end) return range.end;
  const std::uint64_t first = range.begin / kChunk;
  const auto sums = read_sums(file, first, chunks_to(range.end));
  std::size_t run = 0;
  for (std::size_t n = 0; n < sums.size(); ++n) {
    run = sums[n] == 0 ? 0 : run + 1;
    if (run == in_a_row || (run > 0 && n + 1 == sums.size())) return (first + n + 1 - run) * kChunk;
  }
  return range.end;
}

std::uint64_t BlockFormat::first_unwritten(int file, const ByteRange& range) const {
  const std::uint64_t first = range.begin / kChunk;
  const auto sums = read_sums(file, first, chunks_to(range.end));
  const auto missing = std::ranges::find(sums, std::uint64_t{0});
  return std::min(range.end, (first + static_cast<std::uint64_t>(missing - sums.begin())) * kChunk);
}

Result<std::uint64_t> BlockFormat::write_table(int file) const {
  const std::vector<std::uint64_t> table(chunks_to(block_bytes_), 0);
  const auto bytes = std::as_bytes(std::span(table));
  if (auto wrote = write_fully(file, table_begin_, bytes); !wrote) return wrote.error();
  return (chunks_to(table_begin_ + bytes.size()) - table_begin_ / kChunk) * kChunk;
}

std::vector<std::uint64_t> BlockFormat::sums_of(std::uint64_t offset,
                                                std::span<const std::byte> bytes) const {
  std::vector<std::uint64_t> sums;
  sums.reserve(chunks_to(bytes.size()));
  for (std::size_t at = 0; at < bytes.size(); at += kChunk)
    sums.push_back(
        sum_of((offset + at) / kChunk, bytes.subspan(at, std::min<std::size_t>(kChunk, bytes.size() - at))));
  return sums;
}

Result<std::uint64_t> BlockFormat::write_sums(int file, std::uint64_t offset,
                                              std::span<const std::uint64_t> sums) const {
  const std::uint64_t first = offset / kChunk;
  const auto before = read_sums(file, first, first + sums.size());
  if (auto wrote = write_fully(file, table_begin_ + first * kSumBytes, std::as_bytes(sums)); !wrote)
    return wrote.error();
  std::uint64_t more = 0;
  for (std::size_t n = 0; n < sums.size(); ++n) {
    // The last chunk and the table's beginning may share a page.
    if (before[n] == 0 && first + n != table_begin_ / kChunk) more += kChunk;
  }
  return more;
}

std::uint64_t BlockFormat::shown_bytes(int file, std::uint64_t file_bytes) {
  // Each chunk takes its bytes and its sum; only the last may be shorter.
  const std::uint64_t chunks = (file_bytes + kChunk + kSumBytes - 1) / (kChunk + kSumBytes);
  if (file_bytes < chunks * kSumBytes) return 0;
  const std::uint64_t table_begin = file_bytes - chunks * kSumBytes;
  std::vector<std::uint64_t> sums(chunks);
  std::ignore = read_fully(file, table_begin, std::as_writable_bytes(std::span(sums)));
  std::uint64_t pages = chunks_to(file_bytes) - table_begin / kChunk;
  for (std::uint64_t chunk = 0; chunk < chunks; ++chunk)
    if (sums[chunk] != 0 && chunk != table_begin / kChunk) ++pages;
  return pages * kChunk;
}

}  // namespace lakefuse
