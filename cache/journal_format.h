#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lakefuse {

// How a spool journal stands on disk: a line that says on which boot of the machine it was written, then
// entries, each with a checksum of its own. An entry puts the record of one staged file, with all bytes of
// the file where it is a promise, or says that nothing is promised any more. `name`, the journal's random
// file name, goes into the checksums: bytes of a user that look like an entry are none.

inline constexpr std::size_t kMostJournaledRecord = 1 << 20;
inline constexpr std::size_t kMostJournaledBytes = 64 << 10;

[[nodiscard]] std::string journal_head(std::string_view boot);

// `id` as random_name() makes it. `order` grows over all entries of a file, over journals too: the last one
// counts.
[[nodiscard]] std::string journal_put(std::string_view name, std::string_view id, std::uint64_t order,
                                      std::string_view record,
                                      const std::optional<std::span<const std::byte>>& bytes);
// kGone: the bytes have no owner any more. kMoved: the record is elsewhere.
enum class JournalEnd { kGone, kMoved };
inline constexpr std::size_t kJournalEndBytes = 64;
[[nodiscard]] std::string journal_end(std::string_view name, std::string_view id, JournalEnd end);

struct JournalContents {
  struct Put {
    std::string id;
    std::uint64_t order = 0;
    std::string record;
    std::optional<std::string> bytes;
  };
  std::string boot;               // Empty where the first line cannot be read.
  std::vector<Put> puts;          // The last of each id that has no end.
  std::vector<std::string> gone;  // Ids that have one, and whose record is not elsewhere.
  bool is_damaged = false;        // Something in the middle could not be read: entries come after it.
  std::size_t end = 0;            // Behind the last entry.
};

// Reads what it can. A tail that was cut short or torn was never promised.
[[nodiscard]] JournalContents parse_journal(std::string_view name, std::string_view text);

}  // namespace lakefuse
