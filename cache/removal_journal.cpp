#include "cache/removal_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "cache/disk.h"
#include "cache/object_json.h"
#include "cache/removal_reader.h"
#include "cache/spool_slot.h"

namespace lakefuse {

namespace {

namespace json = boost::json;

constexpr std::uint64_t kWorthEmptying = 1 << 20;
// How far the file is made longer than its lines: a sync of what is written within that need not write down
// a new length as well, which costs as much as the line.
constexpr std::uint64_t kRoomAhead = 64 << 10;
// An object's record, metadata and all, is some hundred KiB at most.
constexpr std::size_t kMostLineBytes = 64 << 20;
constexpr std::size_t kPieceBytes = 1 << 20;

struct Line {
  RemovalRecord record;
  bool is_end = false;
};

Line read_line(const json::object& in) {
  Line line;
  line.record.order = number<std::uint64_t>(in, "order");
  line.is_end = in.contains("end");
  if (line.is_end) return line;
  line.record.path = text(in, "path");
  line.record.nonce = text(in, "nonce");
  if (const json::value* version = in.if_contains("version")) line.record.version = read_object(*version);
  return line;
}

std::string to_line(const RemovalRecord& record) {
  json::object out{{"order", record.order}, {"path", record.path}, {"nonce", record.nonce}};
  if (record.version) out["version"] = write_object(*record.version);
  return json::serialize(out) + "\n";
}

}  // namespace

void RemovalReader::add(std::string_view text) {
  for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    const auto rest = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (is_skipping_)
      has_damage_ = true;
    else if (begun_.empty())
      read_line(rest);
    else
      read_line(begun_ += rest);
    begun_.clear();
    is_skipping_ = false;
  }
  is_skipping_ = is_skipping_ || begun_.size() + text.size() > kMostLineBytes;
  if (is_skipping_)
    begun_.clear();
  else
    begun_ += text;
}

void RemovalReader::read_line(std::string_view text) {
  auto line = parse_object(text, lakefuse::read_line);
  if (!line) {
    has_damage_ = true;
    return;
  }
  const auto [first, last] = left_.equal_range(line->record.order);
  if (!line->is_end) {
    const auto again =
        std::find_if(first, last, [&](const auto& one) { return one.second.path == line->record.path; });
    if (again != last) left_.erase(again);
    left_.emplace(line->record.order, std::move(line->record));
  } else if (std::distance(first, last) == 1) {
    left_.erase(first);
  }
}

std::vector<RemovalRecord> RemovalReader::left() const {
  std::vector<RemovalRecord> records;
  for (const auto& [order, record] : left_) records.push_back(record);
  return records;
}

std::vector<RemovalRecord> parse_removals(std::string_view lines, bool* has_damage) {
  RemovalReader reader;
  reader.add(lines);
  if (has_damage != nullptr) *has_damage = *has_damage || reader.has_damage();
  return reader.left();
}

Result<RemovalReader> read_removals(int directory, const std::string& name) {
  auto file = open_file(directory, name, O_RDONLY);
  if (!file) return file.error();
  RemovalReader reader;
  std::string piece(kPieceBytes, '\0');
  for (std::uint64_t at = 0;; at += piece.size()) {
    const auto got = read_fully(file->get(), at, std::as_writable_bytes(std::span(piece)));
    if (!got) return got.error().in(name);
    reader.add(std::string_view(piece).substr(0, *got));
    if (*got < piece.size()) return reader;
  }
}

RemovalJournal::RemovalJournal(std::shared_ptr<SpoolSlot> slot)
    : slot_(std::move(slot)), name_(random_name() + std::string(kRemovalsEnding)) {}

RemovalJournal::~RemovalJournal() {
  if (file_ && left_.empty()) ::unlinkat(slot_->files()->get(), name_.c_str(), 0);
}

Result<> RemovalJournal::open_locked() {
  if (file_) return {};
  const int directory = slot_->files()->get();
  auto file = open_file(directory, name_, O_CREAT | O_EXCL | O_RDWR);
  if (!file) return file.error();
  file_ = *std::move(file);
  return {};
}

Result<> RemovalJournal::append_locked(const std::string& line) {
  if (size_ + line.size() > room_ && ::fallocate(file_.get(), 0, static_cast<off_t>(size_),
                                                 static_cast<off_t>(line.size() + kRoomAhead)) == 0)
    room_ = size_ + line.size() + kRoomAhead;
  if (auto wrote = write_fully(file_.get(), size_, std::as_bytes(std::span(line))); !wrote)
    return wrote.error().in(name_);  // Half a line, which the next one overwrites.
  size_ += line.size();
  return {};
}

Result<> RemovalJournal::add(const RemovalRecord& record) {
  const std::lock_guard lock(mutex_);
  if (is_broken_) return Error{Errc::kLocalIo, "an earlier sync of " + name_ + " failed"};
  if (auto opened = open_locked(); !opened) return opened;
  if (auto written = append_locked(to_line(record)); !written) return written;
  left_.insert(record.order);
  ++added_;
  return {};
}

Result<> RemovalJournal::sync() {
  const std::lock_guard syncing(syncing_);
  std::uint64_t added = 0;
  {
    const std::lock_guard lock(mutex_);
    if (is_broken_ && !left_.empty())  // What the kernel dropped then, another sync would call safe.
      return Error{Errc::kLocalIo, "an earlier sync of " + name_ + " failed"};
    if (synced_ == added_) return {};  // By somebody who came after us.
    added = added_;
  }
  const bool is_named = synced_ > 0 || ::fsync(slot_->files()->get()) == 0;
  if (!is_named || ::fdatasync(file_.get()) != 0) {
    Error why = disk_error("cannot sync " + name_, errno);
    const std::lock_guard lock(mutex_);
    is_broken_ = true;
    return why;
  }
  synced_ = added;
  return {};
}

void RemovalJournal::end(std::uint64_t order) {
  const std::lock_guard lock(mutex_);
  if (left_.erase(order) == 0) return;
  if (left_.empty() && size_ > kWorthEmptying && ::ftruncate(file_.get(), 0) == 0) {
    size_ = room_ = 0;
    return;
  }
  std::ignore = append_locked(json::serialize(json::object{{"order", order}, {"end", true}}) + "\n");
}

}  // namespace lakefuse
