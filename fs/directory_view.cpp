#include "fs/directory_view.h"

#include <algorithm>
#include <iterator>

#include "client/object_path.h"

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
constexpr std::size_t kFirstOfARow = 64;
constexpr std::size_t kMostOfAPage = 1000;
// So many of a page will be asked for, at least, while it is believed.
constexpr std::size_t kWorthAPage = 8;
constexpr std::size_t kDirectoriesAhead = 4;

// Beyond the longest that a page may be on its way. A listing that is older may miss what we changed since.
constexpr std::chrono::minutes kOwnStays{15};

constexpr std::size_t kFirstSweep = 1000;
constexpr std::size_t kPagesRemembered = 128;  // Of a whole listing one would do.

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
  // Absent from what was asked for later.
  const bool may_be_late = (complete_since_ && *complete_since_ > asked) || youngest_page_ > asked;
  if (is_new && may_be_late && absent_since(name) > asked) {
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
  if (asked < forgot_before_) return;  // A name that is not known may have been seen and forgotten.
  if (!complete_since_ || *complete_since_ < asked) complete_since_ = asked;
}

bool DirectoryView::Seen::has(const std::string& name) const {
  if (after >= name) return false;
  const int beside = last.compare(0, name.size(), name);
  return last.empty() || beside > 0 || (beside == 0 && last.compare(name.size(), 1, "/") >= 0);
}

void DirectoryView::saw_page(std::string after, std::string last, Moment asked, Moment began) {
  if (asked < forgot_before_) return;
  youngest_page_ = std::max(youngest_page_, asked);
  pages_.push_back({std::move(after), std::move(last), asked});
  if (pages_.size() > kPagesRemembered) pages_.pop_front();
  const Seen& page = pages_.back();
  for (auto at = known_.upper_bound(page.after);
       at != known_.end() && (page.last.empty() || at->first <= page.last);) {
    const bool is_gone = at->second.since < began && page.has(at->first);
    if (is_gone) keep(at->second, {});
    at = is_gone ? known_.erase(at) : std::next(at);
  }
}

std::optional<Moment> DirectoryView::absent_since(const std::string& name) const {
  std::optional<Moment> since = complete_since_;
  for (const Seen& page : pages_)
    if ((!since || page.asked > *since) && page.has(name)) since = page.asked;
  return since;
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
  std::erase_if(pages_, [&](const Seen& page) { return page.asked < oldest; });
  const Moment oldest_of_ours = std::min(oldest, now - kOwnStays);
  const auto forgotten =
      drop_if([&](const Known& known) { return known.since < (known.is_ours ? oldest_of_ours : oldest); });
  if (forgotten == 0) return;
  forgot_before_ = std::max(forgot_before_, oldest);
  // A name that is not known is not absent any more.
  if (complete_since_ && *complete_since_ < oldest) complete_since_.reset();
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

void DirectoryView::asked(Moment now, Moment oldest) {
  if (asking_since_ < oldest) {
    const bool went_on = asking_since_ > oldest - (now - oldest);
    asked_before_ = went_on ? asked_ : 0;
    asked_ = 0;
    asking_since_ = now;
  }
  ++asked_;
}

// Names that are asked for in no order (rm -r goes by inode numbers in large directories) are of a page as
// often as it is large beside the directory.
bool DirectoryView::pays_to_page() const {
  return std::max(asked_, asked_before_) * kMostOfAPage >= kWorthAPage * most_known_;
}

DirectoryView::Page DirectoryView::asked_alone(const std::string& name) {
  most_known_ = std::max(most_known_, known_.size());
  const std::size_t length = extend(alone_, name);
  Page page;
  page.is_row = length >= kRow;
  if (page.is_row)
    page.amount = std::min(kMostOfAPage, kFirstOfARow << std::min<std::size_t>(length - kRow, 8));
  else if (pays_to_page())
    page.amount = kMostOfAPage;
  alone_.answered = page.amount;
  // Few are between a name and what it begins with, and a row may go backwards.
  page.after = name.substr(0, name.size() - 1);
  while (!is_utf8(page.after)) page.after.pop_back();
  return page;
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
  const auto absent = absent_since(name);
  return absent && *absent >= oldest ? std::optional(std::pair(Holding{}, *absent)) : std::nullopt;
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
