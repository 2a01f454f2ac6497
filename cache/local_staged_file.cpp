#include "cache/local_staged_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "cache/disk.h"

namespace lakefuse {

namespace {

constexpr std::uint64_t kLargestOffset = INT64_MAX;  // off_t's.

class Snapshot final : public ByteSource {
 public:
  explicit Snapshot(std::shared_ptr<const SetAside> moment) : moment_(std::move(moment)) {}

  std::uint64_t size() const override { return moment_->size(); }

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size()) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), size() - offset));
    if (auto got = moment_->read(offset, out); !got) return got.error();
    return out.size();
  }

 private:
  const std::shared_ptr<const SetAside> moment_;
};

Result<> check_end(std::uint64_t offset, std::uint64_t length) {
  if (offset <= kLargestOffset && length <= kLargestOffset - offset) return {};
  return Error{Errc::kTooLarge, "no file can be that large"};
}

}  // namespace

LocalStagedFile::LocalStagedFile(std::shared_ptr<const UniqueFd> directory, std::string name, UniqueFd data,
                                 std::uint64_t size, std::shared_ptr<FreeSpace> space)
    : directory_(std::move(directory)),
      name_(std::move(name)),
      space_(std::move(space)),
      data_(std::make_shared<const UniqueFd>(std::move(data))),
      size_(size) {}

Result<std::unique_ptr<LocalStagedFile>> LocalStagedFile::open(std::shared_ptr<const UniqueFd> directory,
                                                               std::string name, UniqueFd data,
                                                               const std::vector<ByteRange>& missing,
                                                               std::shared_ptr<FreeSpace> space) {
  struct stat facts {};
  if (::fstat(data.get(), &facts) != 0) return disk_error("cannot stat " + name, errno);
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  std::unique_ptr<LocalStagedFile> file(
      new LocalStagedFile(std::move(directory), std::move(name), std::move(data), size, std::move(space)));
  for (const ByteRange& range : missing) file->missing_.add({range.begin, std::min(range.end, size)});
  return file;
}

std::shared_ptr<const UniqueFd> LocalStagedFile::data() const {
  std::lock_guard lock(mutex_);
  return data_;
}

std::uint64_t LocalStagedFile::size() const {
  std::lock_guard lock(mutex_);
  return size_;
}

std::uint64_t LocalStagedFile::allocated_bytes() const {
  struct stat facts {};
  if (::fstat(data()->get(), &facts) != 0) return 0;
  return static_cast<std::uint64_t>(facts.st_blocks) * 512;
}

std::optional<ByteRange> LocalStagedFile::missing(std::uint64_t offset, std::uint64_t length) const {
  std::lock_guard lock(mutex_);
  return missing_.first_within({offset, length > UINT64_MAX - offset ? UINT64_MAX : offset + length});
}

Result<std::size_t> LocalStagedFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  std::shared_ptr<const UniqueFd> data;
  {
    std::lock_guard lock(mutex_);
    if (offset >= size_) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), size_ - offset));
    data = data_;
  }
  return read_fully(data->get(), offset, out);
}

Result<> LocalStagedFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  std::lock_guard lock(mutex_);
  return write_locked(offset, bytes);
}

Result<std::uint64_t> LocalStagedFile::append(std::span<const std::byte> bytes) {
  std::lock_guard lock(mutex_);
  const std::uint64_t offset = size_;
  if (auto wrote = write_locked(offset, bytes); !wrote) return wrote.error();
  return offset;
}

Result<> LocalStagedFile::write_locked(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  if (auto fits = check_end(offset, bytes.size()); !fits) return fits;
  const ByteRange range{offset, offset + bytes.size()};
  if (auto room = space_->admit(bytes.size()); !room) return room;
  if (auto kept = will_change(range); !kept) return kept;
  if (auto wrote = write_fully(data_->get(), offset, bytes); !wrote) {
    // What went in before the disk was full must not show as a longer file; missing bytes stay missing.
    if (range.end > size_) std::ignore = ::ftruncate(data_->get(), static_cast<off_t>(size_));
    return wrote;
  }
  missing_.remove(range);
  size_ = std::max(size_, range.end);
  return {};
}

Result<> LocalStagedFile::will_change(ByteRange range) {
  watched_.changed(range);
  const auto moment = last_snapshot_.lock();
  return moment == nullptr ? Result<>{} : moment->keep(range);
}

Result<> LocalStagedFile::truncate(std::uint64_t size) {
  if (auto fits = check_end(size, 0); !fits) return fits;
  std::lock_guard lock(mutex_);
  if (size == 0 && size_ > 0 && !last_snapshot_.expired()) return start_anew();
  if (auto kept = will_change({size, size_}); !kept) return kept;
  return resize(size);
}

Result<> LocalStagedFile::resize(std::uint64_t size) {
  if (::ftruncate(data_->get(), static_cast<off_t>(size)) != 0)
    return size > size_ && errno == EINVAL
               ? Error{Errc::kTooLarge, "no file on the local disk can be that large"}
               : disk_error("cannot set the size of a staged file", errno);
  missing_.remove({size, UINT64_MAX});
  size_ = size;
  is_doubtful_ = is_doubtful_ && size > 0;
  return {};
}

// O_TRUNC while the bytes before it are being uploaded: leaves the old file to the snapshots instead of
// copying it.
Result<> LocalStagedFile::start_anew() {
  const std::string half_made = name_ + std::string(kHalfMade);
  auto file = has_name_ ? open_file(directory_->get(), half_made, O_CREAT | O_TRUNC | O_RDWR)
                        : open_nameless_file(directory_->get());
  if (!file) return file.error();
  if (has_name_ && ::renameat(directory_->get(), half_made.c_str(), directory_->get(), name_.c_str()) != 0)
    return disk_error("cannot replace a staged file", errno);
  data_ = std::make_shared<const UniqueFd>(std::move(*file));
  last_snapshot_.reset();
  watched_.clear();
  missing_.clear();
  size_ = 0;
  is_doubtful_ = false;
  return {};
}

Result<> LocalStagedFile::fill(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (auto fits = check_end(offset, bytes.size()); !fits) return fits;
  std::lock_guard lock(mutex_);
  // No snapshot has missing bytes, so none is disturbed.
  for (const ByteRange& range : missing_.within({offset, offset + bytes.size()})) {
    const auto part = bytes.subspan(range.begin - offset, range.end - range.begin);
    if (auto room = space_->admit(part.size()); !room) return room;
    if (auto wrote = write_fully(data_->get(), range.begin, part); !wrote) return wrote;
    missing_.remove(range);
  }
  return {};
}

Result<> LocalStagedFile::zero(std::uint64_t offset, std::uint64_t length, bool keep_size) {
  if (auto fits = check_end(offset, length); !fits) return fits;
  std::lock_guard lock(mutex_);
  const std::uint64_t end = offset + length;
  const ByteRange range{offset, std::min(end, size_)};
  if (range.begin < range.end) {
    if (auto kept = will_change(range); !kept) return kept;
    if (auto wrote = write_zeros(range); !wrote) return wrote;
    missing_.remove(range);
  }
  if (!keep_size && end > size_) return resize(end);
  return {};
}

Result<> LocalStagedFile::write_zeros(ByteRange range) {
  const auto length = static_cast<off_t>(range.end - range.begin);
  if (::fallocate(data_->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.begin),
                  length) == 0)
    return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS) return disk_error("cannot make a hole in a staged file", errno);
  static constexpr std::byte kZeros[64 << 10] = {};
  for (std::uint64_t at = range.begin; at < range.end; at += sizeof kZeros) {
    const auto part = std::span(kZeros).first(std::min<std::uint64_t>(sizeof kZeros, range.end - at));
    if (auto room = space_->admit(part.size()); !room) return room;
    if (auto wrote = write_fully(data_->get(), at, part); !wrote) return wrote;
  }
  return {};
}

// REQUIRES offset < size_. Where the local file has no more data: size_.
Result<std::uint64_t> LocalStagedFile::seek(std::uint64_t offset, int whence) const {
  const off_t at = ::lseek(data_->get(), static_cast<off_t>(offset), whence);
  if (at >= 0) return std::min(static_cast<std::uint64_t>(at), size_);
  if (errno == ENXIO) return size_;
  return disk_error("cannot look for holes in a staged file", errno);
}

Result<std::uint64_t> LocalStagedFile::seek_data(std::uint64_t offset) const {
  std::lock_guard lock(mutex_);
  const Error past_end{Errc::kPastTheEnd, "no data at or after this offset"};
  if (offset >= size_) return past_end;
  auto local = seek(offset, SEEK_DATA);
  if (!local) return local;
  const auto base = missing_.first_within({offset, size_});
  const std::uint64_t found = std::min(*local, base ? base->begin : size_);
  if (found >= size_) return past_end;
  return found;
}

Result<std::uint64_t> LocalStagedFile::seek_hole(std::uint64_t offset) const {
  std::lock_guard lock(mutex_);
  if (offset >= size_) return Error{Errc::kPastTheEnd, "this offset is past the file's end"};
  while (offset < size_) {
    auto hole = seek(offset, SEEK_HOLE);
    if (!hole) return hole;
    const auto base = missing_.first_within({*hole, *hole + 1});
    if (!base) return hole;
    offset =
        missing_.first_within({*hole, size_})->end;  // A hole here, but not in the base: goes on behind it.
  }
  return size_;
}

// Never FICLONE, though some file systems can: XFS and Btrfs first write all that is dirty to the disk, so
// that each close would wait for it. Copying aside costs nothing until somebody overwrites.
Result<std::shared_ptr<const ByteSource>> LocalStagedFile::freeze() {
  std::lock_guard lock(mutex_);
  if (!missing_.empty())
    return Error{Errc::kInvalid, "a staged file lacks bytes of its base and cannot be frozen"};
  auto moment = std::make_shared<SetAside>(directory_, data_, size_, space_);
  if (auto older = last_snapshot_.lock()) older->set_next(moment);
  last_snapshot_ = moment;
  return std::shared_ptr<const ByteSource>(std::make_shared<Snapshot>(std::move(moment)));
}

LocalStagedFile::Watch LocalStagedFile::watch(ByteRange range) {
  std::lock_guard lock(mutex_);
  return watched_.add(range);
}

bool LocalStagedFile::is_unchanged(const Watch& watch) const {
  std::lock_guard lock(mutex_);
  return watched_.has(watch);
}

bool LocalStagedFile::extend(Watch& watch, std::uint64_t end) {
  std::lock_guard lock(mutex_);
  return watched_.extend(watch, end);
}

Result<> LocalStagedFile::sync() {
  const auto file = data();
  {
    const std::lock_guard lock(mutex_);
    if (is_doubtful_) return Error{Errc::kLocalIo, "an earlier sync of a staged file failed"};
  }
  if (::fdatasync(file->get()) == 0) return {};
  Error why = disk_error("cannot sync a staged file", errno);
  const std::lock_guard lock(mutex_);
  is_doubtful_ = is_doubtful_ || data_ == file;
  return why;
}

LocalStagedFile::Shape LocalStagedFile::shape() const {
  std::lock_guard lock(mutex_);
  return {size_, missing_.all()};
}

void LocalStagedFile::unlink() {
  std::lock_guard lock(mutex_);
  if (std::exchange(has_name_, false)) ::unlinkat(directory_->get(), name_.c_str(), 0);
}

}  // namespace lakefuse
