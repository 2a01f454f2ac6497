#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// Which addresses the mounts of one branch and state directory linked, as numbers, eight bytes each in a file
// that they share and that outlives them: so that a later mount knows its user's changes from other people's.
// A power cut may lose the last of them, and beyond `most_bytes` the oldest are forgotten: those count as
// other people's. Safe to call from many threads at once; takes as long as the disk does.
class LinkJournal {
 public:
  static constexpr std::size_t kMostBytes = 4 << 20;  // Half a million.

  // Where the file cannot be used, nothing is remembered; nor where a process that is just shortening it does
  // not end that within half a second, for it may be stopped.
  LinkJournal(int state_dir, const std::string& name, std::size_t most_bytes = kMostBytes);

  // Why it remembers nothing, or less than was written; nothing where all is well.
  [[nodiscard]] const std::optional<Error>& trouble() const { return trouble_; }

  void add(std::uint64_t number);
  // What was added since the last call, by any mount; the first call: all that is there.
  std::vector<std::uint64_t> take_news();

 private:
  std::optional<Error> trouble_;  // Constant after construction.
  std::mutex mutex_;              // A leaf. Guards what is below.
  UniqueFd file_;
  std::uint64_t read_bytes_ = 0;
};

}  // namespace lakefuse
