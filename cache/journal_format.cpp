#include "cache/journal_format.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "cache/checksum.h"
#include "cache/disk.h"

namespace lakefuse {

namespace {

constexpr std::string_view kFirstLine = "lakefuse journal 1 ";
constexpr std::string_view kBootDigits = "0123456789abcdefghijklmnopqrstuvwxyz-";
constexpr std::string_view kMark = "LfJ\n";
constexpr std::size_t kIdDigits = 32;

enum class Kind : std::uint32_t { kRecord = 1, kPromise = 2, kGone = 3, kMoved = 4 };

// All of it in the byte order of the machine, which wrote it for itself.
struct Head {
  char mark[4];
  Kind kind;
  char id[kIdDigits];
  std::uint64_t order;
  std::uint32_t record_bytes;
  std::uint32_t data_bytes;
  std::uint64_t sum;  // Of the entry, with the sum of the journal's name in this place.
};
static_assert(sizeof(Head) == kJournalEndBytes);

std::uint64_t sum_of(std::string_view text) {
  return checksum(std::as_bytes(std::span(text)));
}

std::string seal(std::string_view name, Kind kind, std::string_view id, std::uint64_t order,
                 std::string_view record, std::span<const std::byte> bytes) {
  Head head{};
  std::memcpy(head.mark, kMark.data(), sizeof head.mark);
  head.kind = kind;
  std::memcpy(head.id, id.data(), std::min(id.size(), sizeof head.id));
  head.order = order;
  head.record_bytes = static_cast<std::uint32_t>(record.size());
  head.data_bytes = static_cast<std::uint32_t>(bytes.size());
  head.sum = sum_of(name);
  std::string entry;
  entry.reserve(sizeof head + record.size() + bytes.size());
  entry.append(reinterpret_cast<const char*>(&head), sizeof head);
  entry += record;
  entry.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  head.sum = sum_of(entry);
  std::memcpy(entry.data(), &head, sizeof head);
  return entry;
}

// The entry that `text` begins with.
std::optional<Head> open_entry(std::uint64_t sum_of_name, std::string_view text) {
  Head head;
  if (text.size() < sizeof head || !text.starts_with(kMark)) return std::nullopt;
  std::memcpy(&head, text.data(), sizeof head);
  if (head.record_bytes > kMostJournaledRecord || head.data_bytes > kMostJournaledBytes) return std::nullopt;
  const std::size_t length = sizeof head + head.record_bytes + head.data_bytes;
  if (text.size() < length || !is_random_name(std::string_view(head.id, kIdDigits))) return std::nullopt;
  std::string entry(text.substr(0, length));
  Head unsealed = head;
  unsealed.sum = sum_of_name;
  std::memcpy(entry.data(), &unsealed, sizeof unsealed);
  if (sum_of(entry) != head.sum) return std::nullopt;
  return head;
}

}  // namespace

std::string journal_head(std::string_view boot) {
  return std::string(kFirstLine) + std::string(boot) + "\n";
}

std::string journal_put(std::string_view name, std::string_view id, std::uint64_t order,
                        std::string_view record, const std::optional<std::span<const std::byte>>& bytes) {
  return seal(name, bytes ? Kind::kPromise : Kind::kRecord, id, order, record,
              bytes.value_or(std::span<const std::byte>()));
}

std::string journal_end(std::string_view name, std::string_view id, JournalEnd end) {
  return seal(name, end == JournalEnd::kGone ? Kind::kGone : Kind::kMoved, id, 0, "", {});
}

JournalContents parse_journal(std::string_view name, std::string_view text) {
  JournalContents contents;
  const std::size_t size = text.size();
  if (const auto line = text.find('\n'); text.starts_with(kFirstLine) && line != text.npos) {
    const auto boot = text.substr(kFirstLine.size(), line - kFirstLine.size());
    if (!boot.empty() && boot.find_first_not_of(kBootDigits) == boot.npos) {
      contents.boot = boot;
      contents.end = line + 1;
      text.remove_prefix(contents.end);
    }
  }
  std::map<std::string, JournalContents::Put> puts;
  std::set<std::string> gone;
  const std::uint64_t sum_of_name = sum_of(name);
  for (bool is_skipping = contents.boot.empty(); !text.empty();) {
    const auto head = open_entry(sum_of_name, text);
    if (!head) {
      is_skipping = true;
      const auto next = text.find(kMark, 1);
      text.remove_prefix(std::min(next, text.size()));
      continue;
    }
    contents.is_damaged |= is_skipping;
    is_skipping = false;
    const std::string id(head->id, kIdDigits);
    const auto payload = text.substr(sizeof *head, head->record_bytes + head->data_bytes);
    text.remove_prefix(sizeof *head + payload.size());
    contents.end = size - text.size();
    if (head->kind != Kind::kRecord && head->kind != Kind::kPromise) {
      puts.erase(id);
      if (head->kind == Kind::kGone) gone.insert(id);
      continue;
    }
    JournalContents::Put put{id, head->order, std::string(payload.substr(0, head->record_bytes)), {}};
    if (head->kind == Kind::kPromise) put.bytes = payload.substr(head->record_bytes);
    puts.insert_or_assign(id, std::move(put));
  }
  for (auto& [id, put] : puts) {
    gone.erase(id);
    contents.puts.push_back(std::move(put));
  }
  contents.gone.assign(gone.begin(), gone.end());
  return contents;
}

}  // namespace lakefuse
