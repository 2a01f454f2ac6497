#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cache/free_space.h"
#include "cache/range_set.h"
#include "cache/set_aside.h"
#include "cache/staged_file.h"
#include "cache/unique_fd.h"
#include "cache/watched_ranges.h"

namespace lakefuse {

// The StagedFile of the spool: a sparse file whose length is the size, and the set of bytes that are missing
// from it. Bytes only ever leave that set (by a write, a fill, a cut), so what was cut off never comes back
// from the base.
class LocalStagedFile final : public StagedFile {
 public:
  // What a file is beside its bytes: must be written down with them to go on after a crash.
  struct Shape {
    std::uint64_t size = 0;
    std::vector<ByteRange> missing;
  };

  // `data` is the file `name` in `directory`, of which `missing` is to come from the base.
  static Result<std::unique_ptr<LocalStagedFile>> open(std::shared_ptr<const UniqueFd> directory,
                                                       std::string name, UniqueFd data,
                                                       const std::vector<ByteRange>& missing,
                                                       std::shared_ptr<FreeSpace> space);

  std::uint64_t size() const override;
  std::uint64_t allocated_bytes() const override;
  std::optional<ByteRange> missing(std::uint64_t offset, std::uint64_t length) const override;
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override;
  Result<> write(std::uint64_t offset, std::span<const std::byte> bytes) override;
  Result<std::uint64_t> append(std::span<const std::byte> bytes) override;
  Result<> truncate(std::uint64_t size) override;
  Result<> fill(std::uint64_t offset, std::span<const std::byte> bytes) override;
  Result<> zero(std::uint64_t offset, std::uint64_t length, bool keep_size) override;
  Result<std::uint64_t> seek_data(std::uint64_t offset) const override;
  Result<std::uint64_t> seek_hole(std::uint64_t offset) const override;
  Result<std::shared_ptr<const ByteSource>> freeze() override;
  Watch watch(ByteRange range) override;
  bool is_unchanged(const Watch& watch) const override;
  bool extend(Watch& watch, std::uint64_t end) override;
  Result<> sync() override;

  [[nodiscard]] Shape shape() const;

  // Removes the name; the bytes stay readable and writable as long as this object lives.
  void unlink();

 private:
  LocalStagedFile(std::shared_ptr<const UniqueFd> directory, std::string name, UniqueFd data,
                  std::uint64_t size, std::shared_ptr<FreeSpace> space);

  std::shared_ptr<const UniqueFd> data() const;

  // REQUIRE mutex_.
  Result<> write_locked(std::uint64_t offset, std::span<const std::byte> bytes);
  Result<> will_change(ByteRange range);  // For all who want the old bytes.
  Result<> resize(std::uint64_t size);
  Result<> start_anew();
  Result<> write_zeros(ByteRange range);
  Result<std::uint64_t> seek(std::uint64_t offset, int whence) const;

  const std::shared_ptr<const UniqueFd> directory_;
  const std::string name_;
  const std::shared_ptr<FreeSpace> space_;

  mutable std::mutex mutex_;              // Held while the disk is written, not while it is read.
  std::shared_ptr<const UniqueFd> data_;  // Guarded by mutex_, as all below. Snapshots hold it too.
  std::uint64_t size_;
  RangeSet missing_;  // All below size_.
  bool has_name_ = true;
  bool is_doubtful_ = false;  // A sync failed: what the kernel dropped then, the next one would call safe.
  std::weak_ptr<SetAside> last_snapshot_;  // Gone: nobody reads old bytes of data_.
  WatchedRanges watched_;
};

}  // namespace lakefuse
