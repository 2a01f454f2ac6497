#include "fs/file_parts.h"

#include <algorithm>

#include "cache/guarded.h"
#include "client/patience.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

// Of somebody who writes here and there in no order: nothing of it is whole soon.
constexpr std::size_t kMostRanges = 256;

ByteRange range_of(std::size_t index) {
  return {PartPlan::begin(index), PartPlan::end(index)};
}

// As they stand: who sends them looks afterwards whether they changed meanwhile.
class LiveBytes final : public ByteSource {
 public:
  LiveBytes(StagedFile& file, ByteRange range) : file_(file), range_(range) {}
  [[nodiscard]] std::uint64_t size() const override { return range_.end - range_.begin; }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size()) return std::size_t{0};
    return file_.read(range_.begin + offset, out.first(std::min<std::uint64_t>(out.size(), size() - offset)));
  }

 private:
  StagedFile& file_;
  const ByteRange range_;
};

}  // namespace

bool FileParts::wrote(ByteRange range) {
  if (range.begin >= range.end) return false;
  const std::lock_guard lock(mutex_);
  if (is_closed_) return false;
  written_.add(range);
  const std::size_t last = PartPlan::index_of(range.end - 1);
  for (std::size_t index = PartPlan::index_of(range.begin); index <= last; ++index) {
    if (!written_.gaps(range_of(index)).empty()) continue;
    written_.remove(range_of(index));
    ready_.insert(index);
  }
  if (written_.count() > kMostRanges) written_.clear();
  return !ready_.empty();
}

bool FileParts::is_for(const ObjectPath& path) {
  const std::lock_guard lock(mutex_);
  return path_ && path_->str() == path.str();
}

bool FileParts::send(const ObjectPath& path) {
  const std::lock_guard lock(mutex_);
  if (path_ && path_->str() != path.str()) return false;
  if (is_closed_) return true;
  if (path_) {
    post_locked();
    return true;
  }
  path_ = path;
  stop_ = std::stop_source();
  uploads_.post([self = shared_from_this()] { self->begin(); });
  return true;
}

void FileParts::post_locked() {
  if (!target_) return;  // begin() posts when it has one.
  for (; senders_ < ready_.size(); ++senders_)
    uploads_.post([self = shared_from_this()] { self->send_one(); });
}

// Not ended early, so that it is known what there is to free.
void FileParts::begin() {
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
  }
  auto target = guarded([&] { return uploads_.lake().begin_parts(*path_); });
  const std::lock_guard lock(mutex_);
  if (!target) {
    log_debug("no parts go up ahead of a close: " + target.error().message);
    is_closed_ = true;
    return;
  }
  target_ = *std::move(target);
  free_if_dropped_locked();
  if (!is_closed_) post_locked();
}

std::optional<std::size_t> FileParts::next_locked() {
  for (const std::size_t index : ready_) {
    const auto part = parts_.find(index);
    if (part != parts_.end() && part->second.is_under_way) continue;  // It is sent again when it is there.
    ready_.erase(index);
    return index;
  }
  return std::nullopt;
}

void FileParts::send_one() {
  StagedFile& bytes = file_->bytes();
  std::unique_lock lock(mutex_);
  --senders_;
  if (is_closed_) return;
  const auto index = next_locked();
  if (!index) return;
  const ByteRange range = range_of(*index);
  if (range.end > bytes.size() || bytes.missing(range.begin, range.end - range.begin)) return;  // Cut since.
  Part& part = parts_[*index];
  part = {bytes.watch(range), "", true};
  ++under_way_;
  lock.unlock();

  const auto etag = guarded([&] {
    const PatienceUntil patience(stop_.get_token());
    return uploads_.lake().upload_part(*path_, *target_, *index, LiveBytes(bytes, range));
  });

  lock.lock();
  part.is_under_way = false;
  --under_way_;
  if (etag) {
    part.etag = *etag;
  } else if (!is_closed_ && bytes.is_unchanged(part.watch)) {
    log_debug("what is left goes up with the close: " + etag.error().message);
    close_locked();
  }
  post_locked();
  free_if_dropped_locked();
  changed_.notify_all();
}

void FileParts::free_if_dropped_locked() {
  if (!is_dropped_ || is_taken_ || under_way_ > 0 || !target_) return;
  uploads_.abandon(*path_, *target_);
  is_taken_ = true;
}

void FileParts::close_locked() {
  is_closed_ = true;
  ready_.clear();
}

void FileParts::close() {
  const std::lock_guard lock(mutex_);
  close_locked();
}

void FileParts::drop() {
  const std::lock_guard lock(mutex_);
  close_locked();
  is_dropped_ = true;
  if (!is_taken_) stop_.request_stop();
  free_if_dropped_locked();
}

std::optional<PartsTarget> FileParts::take() {
  const std::lock_guard lock(mutex_);
  close_locked();
  if (!target_) {
    is_dropped_ = true;  // What begins just now is not waited for.
    return std::nullopt;
  }
  is_taken_ = true;
  return target_;
}

bool FileParts::is_under_way(std::size_t index) {
  const std::lock_guard lock(mutex_);
  const auto part = parts_.find(index);
  return part != parts_.end() && part->second.is_under_way;
}

std::optional<std::string> FileParts::etag(std::size_t index) {
  std::unique_lock lock(mutex_);
  const auto part = parts_.find(index);
  if (part == parts_.end()) return std::nullopt;
  if (!changed_.wait(lock, Patience::current(), [&] { return !part->second.is_under_way; }))
    return std::nullopt;
  if (part->second.etag.empty() || !file_->bytes().is_unchanged(part->second.watch)) return std::nullopt;
  return part->second.etag;
}

void FileParts::end() {
  std::unique_lock lock(mutex_);
  is_closed_ = true;
  stop_.request_stop();
  changed_.wait(lock, [this] { return under_way_ == 0; });
}

}  // namespace lakefuse
