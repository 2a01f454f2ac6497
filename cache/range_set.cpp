#include "cache/range_set.h"

#include <algorithm>

namespace lakefuse {

void RangeSet::add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ends_.upper_bound(range.begin);
  if (at != ends_.begin() && std::prev(at)->second >= range.begin) --at;
  while (at != ends_.end() && at->first <= range.end) {  // Swallows all that it overlaps or touches.
    range.begin = std::min(range.begin, at->first);
    range.end = std::max(range.end, at->second);
    at = ends_.erase(at);
  }
  ends_.emplace(range.begin, range.end);
}

void RangeSet::remove(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ends_.upper_bound(range.begin);
  if (at != ends_.begin() && std::prev(at)->second > range.begin) --at;
  while (at != ends_.end() && at->first < range.end) {
    const ByteRange old{at->first, at->second};
    at = ends_.erase(at);
    if (old.begin < range.begin) ends_.emplace(old.begin, range.begin);
    if (old.end > range.end) ends_.emplace(range.end, old.end);
  }
}

std::vector<ByteRange> RangeSet::within(ByteRange range) const {
  std::vector<ByteRange> found;
  while (auto next = first_within(range)) {
    found.push_back(*next);
    range.begin = next->end;
  }
  return found;
}

std::vector<ByteRange> RangeSet::gaps(ByteRange range) const {
  std::vector<ByteRange> found;
  for (const ByteRange& held : within(range)) {
    if (range.begin < held.begin) found.push_back({range.begin, held.begin});
    range.begin = held.end;
  }
  if (range.begin < range.end) found.push_back(range);
  return found;
}

std::optional<ByteRange> RangeSet::first_within(ByteRange range) const {
  if (range.begin >= range.end) return std::nullopt;
  auto at = ends_.upper_bound(range.begin);
  if (at != ends_.begin() && std::prev(at)->second > range.begin) --at;
  if (at == ends_.end() || at->first >= range.end) return std::nullopt;
  return ByteRange{std::max(at->first, range.begin), std::min(at->second, range.end)};
}

}  // namespace lakefuse
