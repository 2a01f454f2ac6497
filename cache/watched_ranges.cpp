#include "cache/watched_ranges.h"

#include <algorithm>
#include <iterator>

namespace lakefuse {

StagedFile::Watch WatchedRanges::add(ByteRange range) {
  changed(range);
  watched_[range.begin] = {range.end, ++last_id_};
  return {range, last_id_};
}

bool WatchedRanges::extend(StagedFile::Watch& watch, std::uint64_t end) {
  if (!has(watch)) return false;
  changed({watch.range.end, end});
  watch.range.end = std::max(watch.range.end, end);
  watched_[watch.range.begin].end = watch.range.end;
  return true;
}

void WatchedRanges::changed(ByteRange range) {
  if (watched_.empty() || range.begin >= range.end) return;
  auto at = watched_.upper_bound(range.begin);
  if (at != watched_.begin() && std::prev(at)->second.end > range.begin) --at;
  while (at != watched_.end() && at->first < range.end) at = watched_.erase(at);
}

bool WatchedRanges::has(const StagedFile::Watch& watch) const {
  const auto found = watched_.find(watch.range.begin);
  return found != watched_.end() && found->second.id == watch.id;
}

}  // namespace lakefuse
