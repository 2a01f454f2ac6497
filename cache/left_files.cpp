#include "cache/left_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>

#include "cache/boot_id.h"
#include "cache/disk.h"
#include "cache/removal_reader.h"

namespace lakefuse {

namespace {

using State = SpoolRecord::State;

bool is_there(int directory, const std::string& name) {
  struct stat facts {};
  return ::fstatat(directory, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

// Adds the file of this record.
Result<> take_file(const std::shared_ptr<SpoolSlot>& slot, const std::string& id,
                   const std::shared_ptr<FreeSpace>& space, const std::shared_ptr<RemovalJournal>& removals,
                   std::vector<LeftFile>& found) {
  const int directory = slot->files()->get();
  auto text = read_text(directory, id + ".json", kMostRecordBytes);
  if (!text) return text.error();
  auto stored = parse_record(*text);
  if (!stored) {
    slot->put_aside(id);
    return {};
  }
  // What the lake has as well, or the trace of a create or a discard that was cut short: no bytes that
  // anybody could miss.
  if (stored->record.state == State::kClean || !is_there(directory, id + ".data")) {
    ::unlinkat(directory, (id + ".data").c_str(), 0);
    ::unlinkat(directory, (id + ".json").c_str(), 0);
    return {};
  }
  auto file = LocalSpoolFile::adopt(slot, id, *stored, space, removals, {});
  if (!file) return file.error();
  distrust_torn_bytes(*stored, (*file)->bytes().size());
  found.push_back({stored->created_nanoseconds, {std::move(stored->record), std::move(*file)}});
  return {};
}

// Bytes without a record. A power cut leaves empty files so, of which nothing was promised.
void judge_nameless(const std::shared_ptr<SpoolSlot>& slot, const std::string& id) {
  const int directory = slot->files()->get();
  if (is_there(directory, id + ".json")) return;
  struct stat facts {};
  if (::fstatat(directory, (id + ".data").c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (S_ISREG(facts.st_mode) && facts.st_size == 0)
    ::unlinkat(directory, (id + ".data").c_str(), 0);
  else
    slot->put_aside(id);
}

// The bytes that a promise carries, where the file itself lost them.
Result<> restore_bytes(int directory, const std::string& name, const std::string& bytes) {
  auto file = open_file(directory, name, O_CREAT | O_TRUNC | O_RDWR);
  return file ? write_fully(file->get(), 0, std::as_bytes(std::span(bytes))) : file.error();
}

// The same as take_file(), of a record in the journal.
Result<> take_journaled(const std::shared_ptr<SpoolSlot>& slot, SpoolJournal::Left left,
                        const std::shared_ptr<FreeSpace>& space,
                        const std::shared_ptr<RemovalJournal>& removals, std::vector<LeftFile>& found) {
  const int directory = slot->files()->get();
  const std::string& id = left.put.id;
  const std::string name = id + ".data";
  const auto drop = [&](JournalEnd how) -> Result<> {
    std::ignore = SpoolJournal::end(left.place, id, how);
    if (how == JournalEnd::kGone) ::unlinkat(directory, name.c_str(), 0);
    SpoolJournal::leave(left.place);
    return {};
  };
  if (is_there(directory, id + ".json")) return drop(JournalEnd::kMoved);  // Younger.
  auto stored = parse_record(left.put.record);
  if (!stored) {
    slot->keep_damaged(left.place.file->name());
    slot->put_aside(id);
    return drop(JournalEnd::kMoved);
  }
  stored->boot = left.boot;
  stored->durable = left.put.bytes.has_value();
  if (stored->record.state == State::kClean) return drop(JournalEnd::kGone);
  if (left.put.bytes && has_lost_bytes(directory, name, *stored, *left.put.bytes)) {
    if (auto put = restore_bytes(directory, name, *left.put.bytes); !put) return put.error().in(name);
  }
  if (!is_there(directory, name)) return drop(JournalEnd::kGone);
  auto file = LocalSpoolFile::adopt(slot, id, *stored, space, removals, left.place);
  if (!file) return file.error();
  distrust_torn_bytes(*stored, (*file)->bytes().size());
  found.push_back({stored->created_nanoseconds, {std::move(stored->record), std::move(*file)}});
  return {};
}

}  // namespace

bool has_lost_bytes(int directory, const std::string& name, const StoredRecord& stored,
                    const std::string& bytes) {
  struct stat facts {};
  if (::fstatat(directory, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return true;
  const bool has_size = static_cast<std::uint64_t>(facts.st_size) == bytes.size();
  if (stored.boot != boot_id())  // What is there was not synced.
    return !has_size || read_text(directory, name, bytes.size()).value_or(bytes + "?") != bytes;
  const State state = stored.record.state;
  return (state == State::kHeld || state == State::kQueued) && !has_size;
}

std::string id_of(const std::string& name, std::string_view ending) {
  if (!name.ends_with(ending)) return "";
  std::string id = name.substr(0, name.size() - ending.size());
  return is_random_name(id) ? id : "";
}

void distrust_torn_bytes(StoredRecord& stored, std::uint64_t size) {
  const State state = stored.record.state;
  if (state == State::kClean || state == State::kOpen || state == State::kSynced)
    return;  // Still being written when it ended: size means nothing.
  const bool lost_power = !stored.durable && stored.boot != boot_id();
  if (!lost_power && size == stored.shape.size) return;
  stored.record.state = State::kConflict;
  stored.record.cause = to_word(Errc::kLocalIo);
  stored.record.reason =
      "the machine stopped before these bytes were safe on its disk: " + std::to_string(size) + " of " +
      std::to_string(stored.shape.size) + " bytes are here, some may be zeros" +
      (stored.record.reason.empty() ? "" : "; before that: " + stored.record.reason);
}

Result<std::vector<LeftFile>> take_left_files(const std::shared_ptr<SpoolSlot>& slot,
                                              const std::shared_ptr<FreeSpace>& space,
                                              const std::shared_ptr<RemovalJournal>& removals) {
  const int directory = slot->files()->get();
  std::vector<LeftFile> found;
  auto names = list_names(directory);
  if (!names) return names.error();
  auto journaled = slot->take_left_records();
  if (!journaled) return journaled.error();
  std::set<std::string> known;
  for (SpoolJournal::Left& one : journaled->files) {
    known.insert(one.put.id);
    if (auto taken = take_journaled(slot, std::move(one), space, removals, found); !taken)
      return taken.error();
  }
  for (const std::string& name : *names) {
    if (name.ends_with(kHalfMade)) ::unlinkat(directory, name.c_str(), 0);
    if (const std::string id = id_of(name, ".json"); !id.empty())
      if (auto taken = take_file(slot, id, space, removals, found); !taken) return taken.error();
    if (const std::string id = id_of(name, ".data"); !id.empty() && !known.contains(id))
      judge_nameless(slot, id);
  }
  return found;
}

Result<std::vector<LeftRemovals>> take_left_removals(const std::shared_ptr<SpoolSlot>& slot) {
  std::vector<LeftRemovals> found;
  const auto names = list_names(slot->files()->get());
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (id_of(name, kRemovalsEnding).empty()) continue;
    const auto read = read_removals(slot->files()->get(), name);
    if (!read) return read.error();
    found.push_back({slot, name, read->left()});
    if (read->has_damage()) slot->keep_damaged(name);
  }
  return found;
}

Result<std::vector<std::unique_ptr<RenameJournal>>> take_left_renames(
    const std::shared_ptr<SpoolSlot>& slot) {
  std::vector<std::unique_ptr<RenameJournal>> found;
  const auto names = list_names(slot->files()->get());
  if (!names) return names.error();
  for (const std::string& name : *names) {
    std::string id = id_of(name, kRenameEnding);
    if (id.empty()) continue;
    auto journal = RenameJournal::adopt(slot, std::move(id));
    if (!journal) return journal.error();
    if (*journal != nullptr) found.push_back(*std::move(journal));
  }
  return found;
}

}  // namespace lakefuse
