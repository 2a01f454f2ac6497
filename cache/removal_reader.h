#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cache/removal_journal.h"

namespace lakefuse {

// What a removal journal promises and does not say to be done, read bit by bit: of however long a file only
// what is left is held. A line that was cut short was never promised. Files of earlier builds may have given
// a place twice; of such nobody knows which is done, so each is left: whoever removes looks first.
class RemovalReader {
 public:
  void add(std::string_view text);
  // By their places.
  [[nodiscard]] std::vector<RemovalRecord> left() const;
  // A whole line could not be read.
  [[nodiscard]] bool has_damage() const { return has_damage_; }

 private:
  void read_line(std::string_view line);

  std::multimap<std::uint64_t, RemovalRecord> left_;
  std::string begun_;         // A line whose end has not come yet.
  bool is_skipping_ = false;  // It is too long for one of ours.
  bool has_damage_ = false;
};

// Of a file beside the staged ones.
Result<RemovalReader> read_removals(int directory, const std::string& name);

}  // namespace lakefuse
