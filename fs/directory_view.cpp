#include "fs/directory_view.h"

#include <algorithm>
#include <iterator>

namespace lakefuse {
namespace {

// Of files in a row: where fetching them costs more calls than bytes.
constexpr std::uint64_t kSmallBytes = 64 << 10;
constexpr std::size_t kRow = 4;
constexpr std::size_t kFirstAhead = 8;
constexpr std::size_t kMostAhead = 64;  // So far behind the one that was opened, whatever its neighbours are.

// Of names that are asked for alone: so few between them make a row.
constexpr std::size_t kNeighbours = 64;
// The first page is small, for it may be chance; a page of a thousand takes as long as four names.
constexpr std::size_t kFirstBehind = 64;
constexpr std::size_t kMostBehind = 1000;
constexpr std::size_t kDirectoriesAhead = 4;

// Beyond the longest that a page may be on its way. A listing that is older may miss what we changed since.
constexpr std::chrono::minutes kOwnStays{15};

constexpr std::size_t kFirstSweep = 1000;

}  // namespace

void DirectoryView::keep(Known& known, Known now) {
  somethings_ -= known.holding.is_nothing() ? 0 : 1;
  somethings_ += now.holding.is_nothing() ? 0 : 1;
  known = std::move(now);
}

template <class Predicate>
std::size_t DirectoryView::drop_if(Predicate&& predicate) {
  return std::erase_if(known_, [&](const auto& entry) {
    if (!predicate(entry.second)) return false;
    somethings_ -= entry.second.holding.is_nothing() ? 0 : 1;
    return true;
  });
}

void DirectoryView::saw(const std::string& name, Holding holding, Moment asked, Moment began) {
  const auto [place, is_new] = known_.try_emplace(name);
  Known& known = place->second;
  // Absent from a whole listing that was asked for later.
  if (is_new && complete_since_ && *complete_since_ > asked) {
    known_.erase(place);
    return;
  }
  if (is_new) return keep(known, {.holding = std::move(holding), .since = asked});
  if (known.since > asked) return;
  if (known.since >= began && !known.is_ours && !known.is_doubtful) {
    Known both = known;
    if (holding.object) both.holding.object = std::move(holding.object);
    both.holding.is_prefix |= holding.is_prefix;
    return keep(known, std::move(both));
  }
  const bool is_same = known.holding.object && known.holding.object.is_same_version(holding.object);
  const Reading reading = is_same ? known.reading : Reading::kNot;
  keep(known, {.holding = std::move(holding), .since = asked, .is_ours = false, .reading = reading});
}

void DirectoryView::saw_all(Moment asked) {
  drop_if([&](const Known& known) { return known.since < asked; });
  if (forgot_ >= asked) return;  // A name that is not known may have been seen and forgotten.
  if (!complete_since_ || *complete_since_ < asked) complete_since_ = asked;
}

void DirectoryView::changed(const std::string& name, Holding holding, Moment now) {
  keep(known_[name], {.holding = std::move(holding), .since = now, .is_ours = true});
  if (known_.size() > sweep_at_) {
    forget_before(now - kOwnStays, now);
    sweep_at_ = std::max(kFirstSweep, 2 * known_.size());
  }
  fingerprint.reset();
  ++own_changes;
  changed_last = now;
}

void DirectoryView::moved(Moment now) {
  DirectoryView anew;
  anew.moves_ = moves_ + 1;
  anew.own_changes = own_changes + 1;
  anew.changed_last = now;
  *this = std::move(anew);
}

void DirectoryView::forget_before(Moment oldest, Moment now) {
  const Moment oldest_of_ours = std::min(oldest, now - kOwnStays);
  const auto forgotten =
      drop_if([&](const Known& known) { return known.since < (known.is_ours ? oldest_of_ours : oldest); });
  if (forgotten == 0) return;
  forgot_ = now;
  complete_since_.reset();  // A name that is not known is not absent any more.
}

std::vector<ObjectInfo> DirectoryView::opened(const std::string& name) {
  const auto is_small = [](const Known& known) {
    return known.holding.object && known.holding.object.size_bytes() > 0 &&
           known.holding.object.size_bytes() <= kSmallBytes;
  };
  const auto found = known_.find(name);
  if (found == known_.end() || !is_small(found->second)) return {};
  if (found->second.reading == Reading::kAhead) ++of_use_;
  found->second.reading = Reading::kOpened;
  std::vector<ObjectInfo> next;
  if (++opened_ < kRow) return next;
  std::size_t looked_at = 0;
  for (auto at = std::next(found); at != known_.end() && ahead_ < kFirstAhead + 2 * of_use_; ++at) {
    if (++looked_at > kMostAhead) break;
    if (at->second.reading != Reading::kNot || !is_small(at->second)) continue;
    at->second.reading = Reading::kAhead;
    next.push_back(*at->second.holding.object);
    ++ahead_;
  }
  return next;
}

std::size_t DirectoryView::extend(Row& row, const std::string& name) const {
  const auto is_near = [&](const std::string& from, const std::string& to) {
    auto at = known_.lower_bound(from);
    for (std::size_t steps = 0; steps <= row.answered + kNeighbours; ++steps, ++at)
      if (at == known_.end() || at->first >= to) return true;
    return false;
  };
  // Several who ask side by side may overtake each other.
  const bool goes_on = row.length > 0 && is_near(std::min(row.last, name), std::max(row.last, name));
  row.length = goes_on ? row.length + 1 : 1;
  row.last = name;
  return row.length;
}

std::size_t DirectoryView::asked_alone(const std::string& name) {
  const std::size_t length = extend(alone_, name);
  alone_.answered =
      length < kRow ? 0 : std::min(kMostBehind, kFirstBehind << std::min<std::size_t>(length - kRow, 8));
  return alone_.answered;
}

std::vector<std::string> DirectoryView::entered(const std::string& name) {
  std::vector<std::string> next;
  if (extend(entered_, name) < kRow - 1) {
    entered_ahead_.clear();
    return next;
  }
  auto at = known_.upper_bound(name);
  for (std::size_t ahead = 0; at != known_.end() && ahead < kDirectoriesAhead; ++at) {
    if (!at->second.holding.is_prefix) continue;
    ++ahead;
    if (at->first <= entered_ahead_) continue;
    next.push_back(at->first);
    entered_ahead_ = at->first;
  }
  return next;
}

std::optional<std::string> DirectoryView::next_to_enter(const std::string& name) const {
  if (entered_.length < kRow - 1 || entered_.last != name) return std::nullopt;
  const auto next = std::find_if(known_.upper_bound(name), known_.end(),
                                 [](const auto& entry) { return entry.second.holding.is_prefix; });
  return next == known_.end() ? std::nullopt : std::optional(next->first);
}

void DirectoryView::distrust(const std::string& name, Moment now) {
  const Holding* last = last_known(name);
  Known doubtful{.holding = last == nullptr ? Holding{} : *last, .since = now, .is_doubtful = true};
  keep(known_[name], std::move(doubtful));
  ++own_changes;
  changed_last = now;
}

bool DirectoryView::doubts(const std::string& name) const {
  const auto found = known_.find(name);
  return found != known_.end() && found->second.is_doubtful;
}

std::optional<std::pair<Holding, Moment>> DirectoryView::find(const std::string& name, Moment oldest) const {
  const auto found = known_.find(name);
  if (found != known_.end()) {
    if (found->second.is_doubtful || found->second.since < oldest) return std::nullopt;
    return std::pair(found->second.holding, found->second.since);
  }
  if (complete_since_ && *complete_since_ >= oldest) return std::pair(Holding{}, *complete_since_);
  return std::nullopt;
}

std::vector<std::string> DirectoryView::changed_since(Moment since) const {
  std::vector<std::string> names;
  for (const auto& [name, known] : known_)
    if (known.is_ours && known.since >= since && known.holding.object) names.push_back(name);
  return names;
}

const Holding* DirectoryView::last_known(const std::string& name) const {
  const auto found = known_.find(name);
  return found == known_.end() ? nullptr : &found->second.holding;
}

bool DirectoryView::knows_another_than(const std::string& except) const {
  const Holding* excepted = last_known(except);
  return somethings_ > (excepted == nullptr || excepted->is_nothing() ? 0 : 1);
}

}  // namespace lakefuse
