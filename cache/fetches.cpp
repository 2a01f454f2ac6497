#include "cache/fetches.h"

#include <algorithm>

#include "cache/read_ahead.h"
#include "client/patience.h"

namespace lakefuse {

namespace {

// Memory of pieces: what readers in a row mostly have on its way, in hand and on the way to the disk. It
// comes and goes in waves, and each would clear its pages anew (a fifth of the CPU of a read).
constexpr std::size_t kMostPieces = 16 * ReadAhead::kLongestPiece;

}  // namespace

// Guarded by the board's mutex, but for the bytes before they have landed.
struct Fetches::Range {
  const std::string object;
  const std::uint64_t begin;
  std::uint64_t end;
  PieceBuffers::Buffer bytes = {};
  bool has_landed = false;
  bool is_over = false;  // Nobody fetches it any more: it has landed, failed, or was given up.
  bool stays = false;
  std::chrono::steady_clock::time_point stays_until = {};
  bool is_owned = true;               // Its Fetch lives.
  std::uint64_t taken = 0;            // Bytes that were lent to readers.
  std::optional<Error> failure = {};  // Of a fetch that failed.

  [[nodiscard]] bool covers(const std::string& other, std::uint64_t offset) const {
    return begin <= offset && offset < end && object == other;
  }
  [[nodiscard]] std::uint64_t size() const { return end - begin; }

  // What has landed does not change any more.
  [[nodiscard]] static BytesRead lend(const std::shared_ptr<Range>& range, std::uint64_t offset,
                                      std::size_t most) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(most, range->end - offset));
    range->taken += length;
    return {.bytes = {range->bytes.get() + (offset - range->begin), length}, .lender = range};
  }
};

struct Fetches::PassedDeadline {
  std::string object;
  std::uint64_t begin;
  std::uint64_t end;
  Error failure;
  std::chrono::steady_clock::time_point until;
};

Fetches::Fetches(std::uint64_t most_kept, std::chrono::milliseconds briefly,
                 std::chrono::milliseconds a_moment)
    : most_kept_(most_kept),
      briefly_(briefly),
      a_moment_(a_moment),
      buffers_(ReadAhead::kLongestPiece, kMostPieces) {}

Fetches::~Fetches() = default;

const Error* Fetches::passed_deadline_locked(const std::string& object, std::uint64_t offset) {
  const auto now = std::chrono::steady_clock::now();
  while (!passed_deadlines_.empty() && passed_deadlines_.front().until < now) passed_deadlines_.pop_front();
  const auto at = std::ranges::find_if(passed_deadlines_, [&](const PassedDeadline& one) {
    return one.begin <= offset && offset < one.end && one.object == object;
  });
  return at == passed_deadlines_.end() ? nullptr : &at->failure;
}

Result<BytesRead> Fetches::lend(const std::string& object, std::uint64_t offset, std::size_t most) {
  std::unique_lock lock(mutex_);
  const auto at =
      std::ranges::find_if(ranges_, [&](const auto& range) { return range->covers(object, offset); });
  // Before what is on its way: somebody may be fetching it ahead again.
  if (at == ranges_.end() || !(*at)->has_landed)
    if (const Error* const failure = passed_deadline_locked(object, offset)) return *failure;
  if (at == ranges_.end()) return BytesRead{};
  const std::shared_ptr<Range> range = *at;
  if (!landed_.wait(lock, Patience::current(), [&] { return range->is_over; }))
    return Error{Errc::kInterrupted, "interrupted while waiting for another reader's fetch"};
  if (range->failure) return *range->failure;
  if (!range->has_landed) return BytesRead{};
  auto lent = Range::lend(range, offset, most);
  const bool is_read_up = range->taken >= range->size() && !range->is_owned && range->stays;
  if (is_read_up) {
    range->stays = false;
    kept_ -= range->size();
    ranges_.remove(range);
  }
  return lent;
}

bool Fetches::has(const std::string& object) {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(ranges_, [&](const auto& range) { return range->object == object; });
}

bool Fetches::is_fetched(const std::string& object) {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(ranges_,
                             [&](const auto& range) { return range->is_owned && range->object == object; });
}

std::unique_ptr<Fetches::Fetch> Fetches::begin(const std::string& object, std::uint64_t begin,
                                               std::uint64_t end) {
  auto range = std::make_shared<Range>(Range{.object = object, .begin = begin, .end = end});
  std::list<std::shared_ptr<Range>> row{range};
  std::unique_ptr<Fetch> fetch;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& other : ranges_) {
      if (other->object != object || other->end <= begin || other->begin >= range->end) continue;
      if (other->begin <= begin) return nullptr;
      range->end = other->begin;
    }
    fetch = std::make_unique<Fetch>(*this, range);  // What others may wait for has somebody who ends it.
    ranges_.splice(ranges_.end(), row);
  }
  range->bytes = buffers_.take(range->size());
  return fetch;
}

void Fetches::end(const std::shared_ptr<Range>& range) {
  std::list<std::shared_ptr<Range>> dropped;  // Freed after the lock is.
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  range->is_over = true;
  range->is_owned = false;
  if (range->stays && range->taken < range->size()) {
    kept_ += range->size();
  } else {
    range->stays = false;
    ranges_.remove(range);
  }
  for (auto at = ranges_.begin(); at != ranges_.end();) {
    const auto oldest = at++;
    if ((*oldest)->is_owned) continue;
    if (kept_ <= most_kept_ && now <= (*oldest)->stays_until) continue;
    kept_ -= (*oldest)->size();
    dropped.splice(dropped.end(), ranges_, oldest);
  }
  landed_.notify_all();
}

std::uint64_t Fetches::Fetch::begin() const {
  return range_->begin;
}

std::uint64_t Fetches::Fetch::end() const {
  return range_->end;
}

std::span<std::byte> Fetches::Fetch::bytes() {
  return {range_->bytes.get(), static_cast<std::size_t>(range_->size())};
}

BytesRead Fetches::Fetch::lend(std::uint64_t offset, std::size_t most) {
  const std::lock_guard lock(board_.mutex_);
  return Range::lend(range_, offset, most);
}

void Fetches::Fetch::land(Stay stay) {
  using Clock = std::chrono::steady_clock;
  const std::lock_guard lock(board_.mutex_);
  range_->has_landed = range_->is_over = true;
  range_->stays = stay != Stay::kNot;
  range_->stays_until = stay == Stay::kUntilRead ? Clock::time_point::max() : Clock::now() + board_.briefly_;
  board_.landed_.notify_all();
}

void Fetches::Fetch::fail(const Error& why) {
  const std::lock_guard lock(board_.mutex_);
  range_->failure = why;
  range_->is_over = true;
  if (why.code == Errc::kTimeout)
    board_.passed_deadlines_.push_back({range_->object, range_->begin, range_->end, why,
                                        std::chrono::steady_clock::now() + board_.a_moment_});
  board_.landed_.notify_all();
}

}  // namespace lakefuse
