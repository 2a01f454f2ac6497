#pragma once

#include <cstdint>
#include <map>

#include "cache/staged_file.h"

namespace lakefuse {

// Ranges of a file, each watched until a byte of it changes. They do not overlap: a new one ends those that
// it touches. A value type; operations cost the logarithm of the number of ranges plus what they end.
class WatchedRanges {
 public:
  StagedFile::Watch add(ByteRange range);
  bool extend(StagedFile::Watch& watch, std::uint64_t end);
  void changed(ByteRange range);
  void clear() { watched_.clear(); }
  [[nodiscard]] bool has(const StagedFile::Watch& watch) const;

 private:
  struct Watched {
    std::uint64_t end;
    std::uint64_t id;
  };
  std::map<std::uint64_t, Watched> watched_;  // By begin.
  std::uint64_t last_id_ = 0;
};

}  // namespace lakefuse
