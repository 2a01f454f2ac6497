#include "cache/local_spool_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "cache/disk.h"

namespace lakefuse {

namespace {

std::int64_t now_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Result<std::shared_ptr<LocalSpoolFile>> LocalSpoolFile::create(std::shared_ptr<SpoolSlot> slot,
                                                               const SpoolRecord& record,
                                                               std::shared_ptr<FreeSpace> space) {
  LocalStagedFile::Shape shape;
  if (record.base && record.base->size_bytes > 0)
    shape = {record.base->size_bytes, {{0, record.base->size_bytes}}};
  std::shared_ptr<LocalSpoolFile> file(
      new LocalSpoolFile(std::move(slot), random_name(), now_nanoseconds(), false));
  const auto& directory = file->slot_->files();
  if (auto put = file->put(record, shape, Safety::kSoon); !put) return put.error();
  const std::string name = file->id_ + ".data";
  const auto open_bytes = [&]() -> Result<> {
    auto data = open_file(directory->get(), name, O_CREAT | O_EXCL | O_RDWR);
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
    file->discard();
    return opened.error();
  }
  return file;
}

Result<std::shared_ptr<LocalSpoolFile>> LocalSpoolFile::adopt(std::shared_ptr<SpoolSlot> slot, std::string id,
                                                              const StoredRecord& stored,
                                                              std::shared_ptr<FreeSpace> space) {
  std::shared_ptr<LocalSpoolFile> file(
      new LocalSpoolFile(std::move(slot), std::move(id), stored.created_nanoseconds, stored.durable));
  const auto& directory = file->slot_->files();
  const std::string name = file->id_ + ".data";
  auto data = open_file(directory->get(), name, O_RDWR);
  if (!data) return data.error();
  auto bytes =
      LocalStagedFile::open(directory, name, std::move(*data), stored.shape.missing, std::move(space));
  if (!bytes) return bytes.error();
  file->bytes_ = std::move(*bytes);
  return file;
}

Result<> LocalSpoolFile::save(const SpoolRecord& record, Safety safety) {
  std::lock_guard lock(mutex_);
  if (is_discarded_) return {};  // Nobody wants these bytes after a crash.
  // The shape first: what it says is here was written before the sync.
  auto shape = bytes_->shape();
  if (safety == Safety::kDurable)
    if (auto synced = bytes_->sync(); !synced) return synced;
  return put(record, std::move(shape), safety);
}

Result<> LocalSpoolFile::put(const SpoolRecord& record, LocalStagedFile::Shape shape, Safety safety) {
  const bool durable = safety == Safety::kDurable;
  const StoredRecord stored{record, std::move(shape), created_nanoseconds_, durable, boot_id()};
  // After a power cut, a record that outlived it would speak for what has changed since.
  const Put how = durable || was_durable_ ? Put::kSynced : Put::kRenamed;
  auto put = put_text(slot_->files()->get(), id_ + ".json", to_json(stored), how);
  was_durable_ = was_durable_ || (durable && put);
  return put;
}

void LocalSpoolFile::discard() {
  std::lock_guard lock(mutex_);
  if (std::exchange(is_discarded_, true)) return;
  if (bytes_) bytes_->unlink();
  ::unlinkat(slot_->files()->get(), (id_ + ".json").c_str(), 0);
  // What would outlive a power cut must not come back by one: it may be removed from the lake by then.
  if (was_durable_) ::fsync(slot_->files()->get());
}

}  // namespace lakefuse
