#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "cache/free_space.h"
#include "cache/local_staged_file.h"
#include "cache/spool.h"
#include "cache/spool_record.h"
#include "cache/spool_slot.h"

namespace lakefuse {

// The largest record that is read: room for some million missing ranges.
inline constexpr std::size_t kMostRecordBytes = 64 << 20;

// A SpoolFile in a slot, which it keeps taken.
class LocalSpoolFile final : public SpoolFile {
 public:
  // A new file: first its record, then its bytes, so that bytes without a record are always damage.
  static Result<std::shared_ptr<LocalSpoolFile>> create(std::shared_ptr<SpoolSlot> slot,
                                                        const SpoolRecord& record,
                                                        std::shared_ptr<FreeSpace> space,
                                                        std::shared_ptr<RemovalJournal> removals);

  // The file that an earlier mount left under this id, with its record at `place` or in a file of its own.
  static Result<std::shared_ptr<LocalSpoolFile>> adopt(std::shared_ptr<SpoolSlot> slot, std::string id,
                                                       const StoredRecord& stored,
                                                       std::shared_ptr<FreeSpace> space,
                                                       std::shared_ptr<RemovalJournal> removals,
                                                       SpoolJournal::Place place);

  const std::string& id() const override { return id_; }
  std::filesystem::path data_path() const override { return slot_->path() / "spool" / (id_ + ".data"); }
  StagedFile& bytes() override { return *bytes_; }
  Result<> save(const SpoolRecord& record, Safety safety) override;
  void discard(Safety safety) override;

 private:
  LocalSpoolFile(std::shared_ptr<SpoolSlot> slot, std::shared_ptr<RemovalJournal> removals, std::string id,
                 std::int64_t created_nanoseconds, bool durable)
      : slot_(std::move(slot)),
        removals_(std::move(removals)),
        id_(std::move(id)),
        created_nanoseconds_(created_nanoseconds),
        was_durable_(durable) {}

  Result<> put(const SpoolRecord& record, LocalStagedFile::Shape shape, Safety safety);
  // `promised`: the size of the file, all of whose bytes go with it.
  Result<> put_in_journal(std::string_view record, std::optional<std::uint64_t> promised);
  Result<> put_in_file(StoredRecord stored, bool is_durable);
  Result<> end_in_journal(Safety safety);

  const std::shared_ptr<SpoolSlot> slot_;
  const std::shared_ptr<RemovalJournal> removals_;
  const std::string id_;
  const std::int64_t created_nanoseconds_;
  std::unique_ptr<LocalStagedFile> bytes_;  // Constant once made.
  bool is_of_this_mount_ = true;            // Constant once made.

  std::mutex mutex_;           // Held across the syncs: records reach the disk in the order of the calls.
  bool was_durable_;           // Guarded by mutex_. The record on disk must not get lost by replacing it.
  bool is_discarded_ = false;  // Guarded by mutex_.
  // Guarded by mutex_. A record is in the journal first; once it has a file of its own it stays there, and
  // where a crash leaves both, the file counts.
  SpoolJournal::Place place_;
  bool has_record_file_ = false;  // Guarded by mutex_.
};

}  // namespace lakefuse
