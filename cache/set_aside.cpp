#include "cache/set_aside.h"

#include <algorithm>
#include <vector>

#include "cache/disk.h"

namespace lakefuse {

namespace {

// What is copied for one overwritten byte, and the largest request that the kernel's read-ahead makes: a
// program that rewrites a file from its start pays one copy per block, a random writer at most 128 KiB a
// write.
constexpr std::uint64_t kBlockBytes = 128 << 10;

bool is_all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

Result<> SetAside::keep(ByteRange range) {
  range.end = std::min(range.end, size_);
  if (range.begin >= range.end) return {};
  range.begin -= range.begin % kBlockBytes;
  range.end = std::min(size_, (range.end + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  std::vector<ByteRange> wanted;
  {
    std::lock_guard lock(mutex_);
    wanted = kept_.gaps(range);
  }
  for (const ByteRange& gap : wanted) {
    if (auto copied = copy(gap); !copied) return copied;
    std::lock_guard lock(mutex_);
    kept_.add(gap);
  }
  return {};
}

// Holes stay holes: a sparse file must not cost its size.
Result<> SetAside::copy(ByteRange range) {
  if (!file_) {
    auto file = open_nameless_file(directory_->get());
    if (!file) return file.error();
    std::lock_guard lock(mutex_);
    file_ = std::move(*file);
  }
  std::vector<std::byte> block(std::min(kBlockBytes, range.end - range.begin));
  for (std::uint64_t at = range.begin; at < range.end; at += block.size()) {
    const std::span<std::byte> part(block.data(), std::min<std::uint64_t>(block.size(), range.end - at));
    auto got = read_fully(data_->get(), at, part);
    if (!got) return got.error();
    const auto bytes = part.first(*got);
    if (is_all_zero(bytes)) continue;
    if (auto room = space_->admit(bytes.size()); !room) return room;
    if (auto wrote = write_fully(file_.get(), at, bytes); !wrote) return wrote;
  }
  return {};
}

void SetAside::set_next(std::shared_ptr<SetAside> next) {
  std::lock_guard lock(mutex_);
  next_ = std::move(next);
}

std::shared_ptr<const SetAside> SetAside::next() const {
  std::lock_guard lock(mutex_);
  return next_;
}

// Reads the file first and asks afterwards what was set aside: whatever a writer changed during the read, it
// had set aside before, so that the question finds it. Newer moments are laid over first, this one's own
// blocks last.
Result<> SetAside::read(std::uint64_t offset, std::span<std::byte> out) const {
  auto got = read_fully(data_->get(), offset, out);
  if (!got) return got.error();
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(*got), out.end(), std::byte{0});  // Cut since.
  std::vector<std::shared_ptr<const SetAside>> later;
  for (auto at = next(); at != nullptr; at = at->next()) later.push_back(at);
  for (auto at = later.rbegin(); at != later.rend(); ++at)
    if (auto laid = (*at)->overlay(offset, out); !laid) return laid;
  return overlay(offset, out);
}

Result<> SetAside::overlay(std::uint64_t offset, std::span<std::byte> out) const {
  std::vector<ByteRange> kept;
  {
    std::lock_guard lock(mutex_);
    kept = kept_.within({offset, offset + out.size()});
  }
  for (const ByteRange& range : kept) {
    const auto part = out.subspan(range.begin - offset, range.end - range.begin);
    auto got = read_fully(file_.get(), range.begin, part);
    if (!got) return got.error();
    std::fill(part.begin() + static_cast<std::ptrdiff_t>(*got), part.end(),
              std::byte{0});  // A hole at the end.
  }
  return {};
}

}  // namespace lakefuse
