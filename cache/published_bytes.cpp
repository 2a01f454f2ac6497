#include "cache/published_bytes.h"

#include <sys/resource.h>

#include <algorithm>
#include <vector>

namespace lakefuse {

namespace {

// To copy so much takes microseconds, and a descriptor each would be too many.
constexpr std::uint64_t kSmall = 64 << 10;
constexpr std::uint64_t kMostInMemory = 8 << 20;
constexpr std::uint64_t kBookkeeping = 512;  // What each takes beside its bytes.

constexpr std::size_t kMostFiles = 32;
constexpr rlim_t kShareOfDescriptors = 32;

std::size_t most_files() {
  struct rlimit descriptors {};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return kMostFiles;
  return std::min<rlim_t>(kMostFiles, descriptors.rlim_cur / kShareOfDescriptors);
}

}  // namespace

class PublishedBytes::Bytes {
 public:
  explicit Bytes(std::vector<std::byte> copy) : copy_(std::move(copy)) {}
  explicit Bytes(std::shared_ptr<const ByteSource> source) : source_(std::move(source)) {}

  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> out) const {
    if (source_ == nullptr) {
      if (offset > copy_.size() || out.size() > copy_.size() - offset) return false;
      std::ranges::copy(std::span(copy_).subspan(offset, out.size()), out.begin());
      return true;
    }
    const std::lock_guard lock(mutex_);
    const auto got = source_->read(offset, out);
    return got && *got == out.size();
  }

 private:
  const std::vector<std::byte> copy_;
  const std::shared_ptr<const ByteSource> source_;  // Null: the copy counts.
  mutable std::mutex mutex_;                        // A source has one reader at a time.
};

PublishedBytes::PublishedBytes(std::uint64_t most_in_files)
    : memory_{kMostInMemory, SIZE_MAX}, files_{most_in_files, most_files()} {}

void PublishedBytes::keep(const std::string& object, std::shared_ptr<const ByteSource> bytes) {
  const std::uint64_t size = bytes->size();
  const bool is_small = size <= kSmall;
  Shelf& shelf = is_small ? memory_ : files_;
  const std::uint64_t charge = is_small ? size + kBookkeeping : size;
  if (size == 0 || charge > shelf.most || shelf.most_kept == 0) return;
  std::shared_ptr<const Bytes> kept;
  if (is_small) {
    std::vector<std::byte> copy(size);
    if (const auto got = bytes->read(0, copy); !got || *got != size) return;
    kept = std::make_shared<const Bytes>(std::move(copy));
  } else {
    kept = std::make_shared<const Bytes>(std::move(bytes));
  }
  std::list<Kept> gone;
  const std::lock_guard lock(mutex_);
  if (const auto before = places_.find(object); before != places_.end())
    take_out_locked(Place(before->second), gone);
  shelf.kept.push_back({object, std::move(kept), charge});
  shelf.taken += charge;
  places_.insert_or_assign(object, Place{&shelf, std::prev(shelf.kept.end())});
  trim_locked(shelf, gone);
}

bool PublishedBytes::read(const std::string& object, std::uint64_t offset, std::span<std::byte> out) {
  std::shared_ptr<const Bytes> bytes;
  {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(object);
    if (found == places_.end()) return false;
    const auto& [shelf, at] = found->second;
    shelf->kept.splice(shelf->kept.end(), shelf->kept, at);
    bytes = at->bytes;
  }
  return bytes->read(offset, out);
}

bool PublishedBytes::give_back() {
  std::list<Kept> gone;
  const std::lock_guard lock(mutex_);
  while (!files_.kept.empty()) take_out_locked({&files_, files_.kept.begin()}, gone);
  return !gone.empty();
}

void PublishedBytes::take_out_locked(const Place& place, std::list<Kept>& gone) {
  const auto [shelf, at] = place;
  shelf->taken -= at->charge;
  places_.erase(at->object);
  gone.splice(gone.end(), shelf->kept, at);
}

void PublishedBytes::trim_locked(Shelf& shelf, std::list<Kept>& gone) {
  while (shelf.taken > shelf.most || shelf.kept.size() > shelf.most_kept)
    take_out_locked({&shelf, shelf.kept.begin()}, gone);
}

}  // namespace lakefuse
