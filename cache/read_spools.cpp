// What a state directory holds, for people who look at it from outside (cache/spool.h). It takes no lock, so
// all of it may change or vanish meanwhile: what is gone was discarded and is left out. Only where a power
// cut left bytes in the journal alone it takes the slot for a moment, as a mount does, and so puts them back:
// they are shown for being copied.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "cache/damaged_files.h"
#include "cache/disk.h"
#include "cache/left_files.h"
#include "cache/refusal.h"
#include "cache/removal_reader.h"
#include "cache/spool.h"

namespace lakefuse {

namespace {

using State = SpoolRecord::State;

struct Row {
  std::int64_t created_nanoseconds;
  SpooledFile file;
};

UniqueFd open_directory(int parent, const std::string& name) {
  return UniqueFd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Something that is there but cannot be read must show: only a person can say what is to become of it.
SpooledFile unreadable(const SpoolOwner& owner, const std::filesystem::path& path,
                       const std::string& reason) {
  SpooledFile file{owner, {}, path};
  file.record.state = State::kConflict;
  file.record.cause = to_word(Errc::kLocalIo);
  file.record.reason = reason;
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  if (!failed) file.size_bytes = size;
  return file;
}

class SlotReader {
 public:
  SlotReader(int state_dir, std::filesystem::path path, UniqueFd directory, std::vector<Row>& rows)
      : state_dir_(state_dir), path_(std::move(path)), directory_(std::move(directory)), rows_(rows) {}

  void read() {
    auto text = read_text(directory_.get(), "owner.json", 64 << 10);
    auto owner = text ? parse_owner(*text) : Result<SpoolOwner>(text.error());
    if (!owner) {
      if (is_furnished()) rows_.push_back({0, unreadable({}, path_, owner.error().message)});
      return;
    }
    owner_ = std::move(*owner);
    in_use_ = SpoolSlot::is_taken(directory_.get());
    if (!in_use_ && lacks_bytes()) put_back_bytes();
    const std::size_t first = rows_.size();
    read_damaged();
    read_files();
    if (in_use_) return;
    if (const auto refused = read_refusal(state_dir_, owner_))
      for (std::size_t n = first; n < rows_.size(); ++n) tell_refusal(*refused, rows_[n].file.record);
  }

 private:
  static void tell_refusal(const Refused& refused, SpoolRecord& record) {
    if (record.path.empty()) return;  // Damaged: that is what stands in the way.
    record.cause = refused.cause;
    record.reason = refused.reason + (record.reason.empty() ? "" : "; before that: " + record.reason);
  }

  bool lacks_bytes() const {
    const UniqueFd files = open_directory(directory_.get(), "spool");
    if (!files) return false;
    const auto journals = read_journals(files.get()).value_or(ReadJournals());
    return std::any_of(journals.puts.begin(), journals.puts.end(), [&](const ReadJournal& one) {
      const auto stored = one.put.bytes ? parse_record(one.put.record) : Error{Errc::kInvalid, ""};
      if (!stored) return false;
      StoredRecord promised = *stored;
      promised.boot = one.boot;
      return has_lost_bytes(files.get(), one.put.id + ".data", promised, *one.put.bytes);
    });
  }

  void put_back_bytes() const {
    const auto slot = SpoolSlot::take(state_dir_, path_, owner_);
    if (!slot || *slot == nullptr) return;
    std::ignore = take_left_files(*slot, std::make_shared<FreeSpace>((*slot)->files(), 0),
                                  std::make_shared<RemovalJournal>(*slot));
  }

  bool is_furnished() const { return bool(open_directory(directory_.get(), "spool")); }

  void read_damaged() {
    const UniqueFd damaged = open_directory(directory_.get(), "damaged");
    if (!damaged) return;
    for (const DamagedFile& file : list_damaged(damaged.get(), path_ / "damaged")) {
      rows_.push_back({0, unreadable(owner_, file.path, file.reason)});
      rows_.back().file.in_use = in_use_;
    }
  }

  void read_files() {
    const UniqueFd files = open_directory(directory_.get(), "spool");
    auto names = files ? list_names(files.get()) : Result<std::vector<std::string>>();
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      if (const std::string id = id_of(name, ".json"); !id.empty()) read_file(files.get(), id);
      if (!id_of(name, kRenameEnding).empty()) read_rename(files.get(), name);
      if (!id_of(name, kRemovalsEnding).empty()) read_removals(files.get(), name);
    }
    const auto journals = read_journals(files.get());
    if (!journals) rows_.push_back({0, unreadable(owner_, path_ / "spool", journals.error().message)});
    for (const ReadJournal& one : journals.value_or(ReadJournals()).puts) read_journaled(files.get(), one);
  }

  void read_journaled(int files, const ReadJournal& one) {
    const std::string& id = one.put.id;
    if (::faccessat(files, (id + ".json").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return;  // Younger.
    const std::string name = id + ".data";
    struct stat facts {};
    const bool is_there = ::fstatat(files, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
    if (!is_there && !one.put.bytes) return;
    auto stored = parse_record(one.put.record);
    if (!stored) {
      rows_.push_back({0, unreadable(owner_, path_ / "spool" / one.name, stored.error().message)});
      return;
    }
    if (stored->record.state == State::kClean || stored->record.is_claim) return;
    stored->boot = one.boot;
    stored->durable = one.put.bytes.has_value();
    const auto size = is_there ? static_cast<std::uint64_t>(facts.st_size) : 0;
    if (!in_use_) distrust_torn_bytes(*stored, size);
    const bool is_whole = stored->shape.missing.empty();
    rows_.push_back({stored->created_nanoseconds,
                     {owner_, std::move(stored->record), path_ / "spool" / name, size, is_whole, in_use_}});
  }

  void read_rename(int files, const std::string& name) {
    auto text = read_text(files, name, kMostRecordBytes);
    auto record = text ? parse_rename(*text) : Result<RenameRecord>(text.error());
    SpooledFile row{owner_, {}, path_ / "spool" / name};
    row.in_use = in_use_;
    row.record.state = State::kFailed;
    row.record.path = record ? record->from : "";
    row.record.reason = record ? "its rename to " + record->to + " was cut short; the next mount settles it"
                               : record.error().message;
    rows_.push_back({0, std::move(row)});
  }

  void read_removals(int files, const std::string& name) {
    const auto read = lakefuse::read_removals(files, name);
    if (!read && ::faccessat(files, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (!read) {
      rows_.push_back({0, unreadable(owner_, path_ / "spool" / name, read.error().message)});
      return;
    }
    for (const RemovalRecord& record : read->left()) {
      SpooledFile row{owner_, {}, path_ / "spool" / name};
      row.in_use = in_use_;
      row.record.state = State::kQueued;
      row.record.path = record.path;
      row.record.reason = "it was removed here, and is still on the lake";
      rows_.push_back({0, std::move(row)});
    }
  }

  void read_file(int files, const std::string& id) {
    const auto path = path_ / "spool" / (id + ".data");
    struct stat facts {};
    if (::fstatat(files, (id + ".data").c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return;
    auto text = read_text(files, id + ".json", kMostRecordBytes);
    if (!text && ::faccessat(files, (id + ".json").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return;
    auto stored = text ? parse_record(*text) : Result<StoredRecord>(text.error());
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    if (!stored) {
      rows_.push_back({0, unreadable(owner_, path, stored.error().message)});
      return;
    }
    if (stored->record.state == State::kClean || stored->record.is_claim) return;
    if (!in_use_) distrust_torn_bytes(*stored, size);
    const bool is_whole = stored->shape.missing.empty();
    rows_.push_back(
        {stored->created_nanoseconds, {owner_, std::move(stored->record), path, size, is_whole, in_use_}});
  }

  const int state_dir_;
  const std::filesystem::path path_;
  const UniqueFd directory_;
  std::vector<Row>& rows_;
  SpoolOwner owner_;
  bool in_use_ = false;
};

}  // namespace

bool is_state_directory(const std::filesystem::path& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto names = directory ? list_names(directory.get()) : Result<std::vector<std::string>>();
  const auto all = names.value_or(std::vector<std::string>());
  // Of a branch: its slots, and beside them `<hash>.linked`.
  return std::any_of(all.begin(), all.end(), [](const std::string& name) {
    return SpoolSlot::is_name(name.substr(0, name.find('.')));
  });
}

Result<std::vector<SpooledFile>> read_spools(const std::filesystem::path& state_dir) {
  UniqueFd directory(::open(state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory && errno == ENOENT) return std::vector<SpooledFile>();
  if (!directory) return disk_error("cannot open " + state_dir.string(), errno);
  auto names = list_names(directory.get());
  if (!names) return names.error().in(state_dir.string());
  std::vector<Row> rows;
  for (const std::string& name : *names) {
    if (!SpoolSlot::is_name(name)) continue;
    if (UniqueFd slot = open_directory(directory.get(), name))
      SlotReader(directory.get(), state_dir / name, std::move(slot), rows).read();
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.created_nanoseconds < b.created_nanoseconds; });
  std::vector<SpooledFile> files;
  for (Row& row : rows) files.push_back(std::move(row.file));
  return files;
}

}  // namespace lakefuse
