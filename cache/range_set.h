#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "cache/staged_file.h"

namespace lakefuse {

// A set of byte offsets, kept as disjoint ranges that do not touch. A value type; operations cost the
// logarithm of the number of ranges plus what they change.
class RangeSet {
 public:
  RangeSet() = default;
  explicit RangeSet(ByteRange range) { add(range); }

  void add(ByteRange range);
  void remove(ByteRange range);
  void clear() { ends_.clear(); }

  [[nodiscard]] bool empty() const { return ends_.empty(); }
  [[nodiscard]] std::size_t count() const { return ends_.size(); }

  // What of the set lies in `range`, first to last; and what of `range` the set leaves out.
  [[nodiscard]] std::vector<ByteRange> within(ByteRange range) const;
  [[nodiscard]] std::vector<ByteRange> gaps(ByteRange range) const;

  // The first of within(range).
  [[nodiscard]] std::optional<ByteRange> first_within(ByteRange range) const;

  [[nodiscard]] std::vector<ByteRange> all() const { return within({0, UINT64_MAX}); }

 private:
  std::map<std::uint64_t, std::uint64_t> ends_;  // Begin to end.
};

}  // namespace lakefuse
