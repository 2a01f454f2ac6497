#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "cache/free_space.h"
#include "cache/range_set.h"
#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// The blocks of a staged file as they were at one moment, kept once the file is about to lose them. Snapshots
// that are older than another one look into its blocks as well, for what was kept there had not changed since
// their moment either: hence the chain. It lives as long as a snapshot at or before its moment does.
//
// One writer (under the staged file's lock) and any number of readers at once; neither waits for the other's
// disk.
class SetAside {
 public:
  SetAside(std::shared_ptr<const UniqueFd> directory, std::shared_ptr<const UniqueFd> data,
           std::uint64_t size, std::shared_ptr<FreeSpace> space)
      : directory_(std::move(directory)), data_(std::move(data)), size_(size), space_(std::move(space)) {}

  // Copies what of `range` is not kept yet, in whole blocks. The writer calls it before it changes that
  // range.
  Result<> keep(ByteRange range);

  // The moment that came after this one. The writer calls it before it keeps anything there.
  void set_next(std::shared_ptr<SetAside> next);

  // Fills `out` with the file's bytes of this moment.
  // REQUIRES: offset + out.size() <= size().
  Result<> read(std::uint64_t offset, std::span<std::byte> out) const;

  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  [[nodiscard]] std::shared_ptr<const SetAside> next() const;
  Result<> overlay(std::uint64_t offset, std::span<std::byte> out) const;
  Result<> copy(ByteRange range);

  const std::shared_ptr<const UniqueFd> directory_;
  const std::shared_ptr<const UniqueFd> data_;
  const std::uint64_t size_;
  const std::shared_ptr<FreeSpace> space_;

  mutable std::mutex mutex_;        // Never held during a disk access.
  RangeSet kept_;                   // Guarded by mutex_. Only grows; kept bytes never change.
  UniqueFd file_;                   // Set under mutex_ before kept_ is first not empty, then constant.
  std::shared_ptr<SetAside> next_;  // Guarded by mutex_.
};

}  // namespace lakefuse
