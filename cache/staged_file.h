#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "cache/byte_range.h"
#include "client/byte_source.h"
#include "client/error.h"

namespace lakefuse {

// The bytes of one file while this machine writes them: a sparse file in the spool, and which of its bytes
// are not in it because they are still those of the version it began as (its base). It does no network:
// whoever reads asks missing() first, fetches that from the base and gives it to fill().
//
// Safe to use from many threads at once; calls take as long as the local disk does. Fails with kNoSpace or
// kLocalIo.
class StagedFile {
 public:
  virtual ~StagedFile() = default;

  [[nodiscard]] virtual std::uint64_t size() const = 0;

  // Bytes of local disk in use, for status and st_blocks.
  [[nodiscard]] virtual std::uint64_t allocated_bytes() const = 0;

  // The first run of bytes inside [offset, offset + length) and below size() that must come from the base;
  // nothing when all of it is here. Bytes past the base's end (or past where the file was once cut) are
  // holes: they read as zeros and are never missing.
  [[nodiscard]] virtual std::optional<ByteRange> missing(std::uint64_t offset,
                                                         std::uint64_t length) const = 0;

  // Fills `out`; fewer bytes only at the end. Bytes that are missing() come out as zeros: callers fill()
  // first.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const = 0;

  // Writes all or fails: kNoSpace when the disk is full or the spool's floor of free space is reached.
  virtual Result<> write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  // Appends at the size of this moment, atomically towards other writers; returns the offset it wrote at.
  virtual Result<std::uint64_t> append(std::span<const std::byte> bytes) = 0;

  virtual Result<> truncate(std::uint64_t size) = 0;

  // Base bytes, stored only where they are still missing; anything written meanwhile stays.
  virtual Result<> fill(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  // fallocate(2) with PUNCH_HOLE or ZERO_RANGE: the range reads as zeros; the size grows only for !keep_size.
  virtual Result<> zero(std::uint64_t offset, std::uint64_t length, bool keep_size) = 0;

  // lseek(2) with SEEK_DATA / SEEK_HOLE. Missing bytes count as data. kPastTheEnd where there is no data any
  // more, and from the end on.
  virtual Result<std::uint64_t> seek_data(std::uint64_t offset) const = 0;
  virtual Result<std::uint64_t> seek_hole(std::uint64_t offset) const = 0;

  // The bytes of this moment, unchanged by any later write (design rule 6): blocks are copied aside before
  // they are overwritten. Costs nothing itself; a write never waits for its reader. Lives on its own:
  // outlives the StagedFile. Any number of them at once. kInvalid when something is missing.
  virtual Result<std::shared_ptr<const ByteSource>> freeze() = 0;

  // Bytes that are on their way elsewhere while others are still written: is_unchanged() says true until a
  // byte of the range is written, zeroed or cut off, or a range that overlaps it is watched.
  // REQUIRES: the range is not empty.
  struct Watch {
    ByteRange range;
    std::uint64_t id = 0;
  };
  virtual Watch watch(ByteRange range) = 0;
  [[nodiscard]] virtual bool is_unchanged(const Watch& watch) const = 0;
  // Watches the bytes up to `end` as well. False: the range has changed, and nothing is watched.
  [[nodiscard]] virtual bool extend(Watch& watch, std::uint64_t end) = 0;

  // fdatasync(2) of the bytes.
  virtual Result<> sync() = 0;
};

}  // namespace lakefuse
