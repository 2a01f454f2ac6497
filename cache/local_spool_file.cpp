#include "cache/local_spool_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "cache/boot_id.h"
#include "cache/disk.h"

namespace lakefuse {

namespace {

std::int64_t now_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

using State = SpoolRecord::State;

// Closed, and told so with an error.
bool waits_closed(const SpoolRecord& record) {
  return record.state == State::kFailed || record.state == State::kConflict;
}

// What may stay for days must not keep a journal for so long.
bool may_last(const SpoolRecord& record, bool is_durable) {
  return waits_closed(record) || (record.state == State::kHeld && !is_durable);  // Litter.
}

}  // namespace

Result<std::shared_ptr<LocalSpoolFile>> LocalSpoolFile::create(std::shared_ptr<SpoolSlot> slot,
                                                               const SpoolRecord& record,
                                                               std::shared_ptr<FreeSpace> space,
                                                               std::shared_ptr<RemovalJournal> removals) {
  LocalStagedFile::Shape shape;
  if (record.base && record.base->size_bytes > 0)
    shape = {record.base->size_bytes, {{0, record.base->size_bytes}}};
  std::shared_ptr<LocalSpoolFile> file(
      new LocalSpoolFile(std::move(slot), std::move(removals), random_name(), now_nanoseconds(), false));
  const auto& directory = file->slot_->files();
  if (auto put = file->put(record, shape, Safety::kSoon); !put) return put.error();
  const std::string name = file->id_ + ".data";
  const auto open_bytes = [&]() -> Result<> {
    auto data = open_to_stay(directory->get(), name, O_CREAT | O_EXCL | O_RDWR);
    if (!data) return data.error();
    if (shape.size > INT64_MAX ||
        (shape.size > 0 && ::ftruncate(data->get(), static_cast<off_t>(shape.size)) != 0))
      return Error{Errc::kTooLarge,
                   "the local disk cannot hold a file of " + std::to_string(shape.size) + " bytes"};
    auto bytes = LocalStagedFile::open(directory, name, std::move(*data), shape.missing, std::move(space));
    if (!bytes) return bytes.error();
    file->bytes_ = std::move(*bytes);
    return {};
  };
  if (auto opened = open_bytes(); !opened) {
    file->discard(Safety::kDurable);
    return opened.error();
  }
  return file;
}

Result<std::shared_ptr<LocalSpoolFile>> LocalSpoolFile::adopt(std::shared_ptr<SpoolSlot> slot, std::string id,
                                                              const StoredRecord& stored,
                                                              std::shared_ptr<FreeSpace> space,
                                                              std::shared_ptr<RemovalJournal> removals,
                                                              SpoolJournal::Place place) {
  std::shared_ptr<LocalSpoolFile> file(new LocalSpoolFile(std::move(slot), std::move(removals), std::move(id),
                                                          stored.created_nanoseconds, stored.durable));
  file->is_of_this_mount_ = false;
  const auto& directory = file->slot_->files();
  const std::string name = file->id_ + ".data";
  auto data = open_to_stay(directory->get(), name, O_RDWR);
  if (!data) return data.error();
  auto bytes =
      LocalStagedFile::open(directory, name, std::move(*data), stored.shape.missing, std::move(space));
  if (!bytes) return bytes.error();
  file->bytes_ = std::move(*bytes);
  file->has_record_file_ = place.file == nullptr;
  file->place_ = std::move(place);
  return file;
}

Result<> LocalSpoolFile::save(const SpoolRecord& record, Safety safety) {
  std::lock_guard lock(mutex_);
  if (is_discarded_) return {};  // Nobody wants these bytes after a crash.
  // The shape first: what it says is here was written before the sync.
  return put(record, bytes_->shape(), safety);
}

Result<> LocalSpoolFile::put(const SpoolRecord& record, LocalStagedFile::Shape shape, Safety safety) {
  const bool is_durable = safety == Safety::kDurable;
  StoredRecord stored{record, std::move(shape), created_nanoseconds_, is_durable, boot_id()};
  // After a power cut, a record that outlived it would speak for what has changed since.
  const bool is_promise = is_durable || was_durable_;
  // A promise may rely on a removal before it: of what had its name, say.
  if (is_promise)
    if (auto synced = removals_->sync(); !synced) return synced;
  const bool is_small = stored.shape.missing.empty() && stored.shape.size <= kMostJournaledBytes;
  if (!has_record_file_ && !may_last(record, is_durable) && (is_small || !is_promise))
    if (const std::string text = to_json(stored); text.size() <= kMostJournaledRecord)
      return put_in_journal(text, is_promise ? std::optional(stored.shape.size) : std::nullopt);
  return put_in_file(std::move(stored), is_durable);
}

Result<> LocalSpoolFile::put_in_journal(std::string_view record, std::optional<std::uint64_t> promised) {
  std::vector<std::byte> bytes(promised.value_or(0));
  if (!bytes.empty()) {
    const auto got = bytes_->read(0, bytes);
    if (!got) return got.error();
    if (*got != bytes.size()) return Error{Errc::kLocalIo, "a staged file ends before its size"};
  }
  const auto carried = promised ? std::optional(std::span<const std::byte>(bytes)) : std::nullopt;
  auto put = slot_->journal().put(place_, id_, record, carried);
  was_durable_ = was_durable_ || (promised && put);
  return put;
}

Result<> LocalSpoolFile::put_in_file(StoredRecord stored, bool is_durable) {
  // What the journal carried so far has to be in the file itself.
  const bool must_be_safe = is_durable || place_.is_promise;
  // And what an fsync was promised is to be trusted after a power cut, whatever became of its close.
  stored.durable = must_be_safe || (was_durable_ && waits_closed(stored.record));
  if (stored.durable)
    if (auto synced = bytes_->sync(); !synced) {
      if (must_be_safe) return synced;
      stored.durable = false;
    }
  const std::string text = to_json(stored);
  if (text.size() > kMostRecordBytes)
    return Error{Errc::kTooLarge, "too many ranges of this file were changed for its record"};
  const Put how = stored.durable || was_durable_ ? Put::kSynced : Put::kRenamed;
  if (auto put = put_text(slot_->files()->get(), id_ + ".json", text, how); !put) return put;
  has_record_file_ = true;
  was_durable_ = was_durable_ || stored.durable;
  if (place_.file == nullptr) return {};
  // Durably, or it came back once this record is gone.
  auto ended = SpoolJournal::end(place_, id_, JournalEnd::kMoved);
  SpoolJournal::leave(place_);
  return ended;
}

void LocalSpoolFile::discard(Safety safety) {
  std::lock_guard lock(mutex_);
  if (std::exchange(is_discarded_, true)) return;
  // The removal that takes the name away comes first: else a power cut might leave neither it nor the bytes.
  if (was_durable_) std::ignore = removals_->sync();
  // What would outlive a power cut must not come back by one: it may be removed from the lake by then.
  if (place_.file != nullptr) std::ignore = end_in_journal(safety);
  if (bytes_) bytes_->unlink();
  if (has_record_file_) {
    if (was_durable_) std::ignore = slot_->journal().sync_ends();  // Never without the older ones.
    ::unlinkat(slot_->files()->get(), (id_ + ".json").c_str(), 0);
    if (was_durable_) ::fsync(slot_->files()->get());
  }
  SpoolJournal::leave(place_);
}

// Ends are in order within the journal of this mount only.
Result<> LocalSpoolFile::end_in_journal(Safety safety) {
  if (safety == Safety::kSoon && is_of_this_mount_) return slot_->journal().end_soon(place_, id_);
  return SpoolJournal::end(place_, id_, JournalEnd::kGone);
}

}  // namespace lakefuse
