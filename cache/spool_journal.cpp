#include "cache/spool_journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "cache/boot_id.h"
#include "cache/disk.h"
#include "cache/spool_record.h"

namespace lakefuse {

namespace {

// A file that stays open for long keeps the journal that has its record: so much for each at most.
constexpr std::uint64_t kFullJournal = 1 << 20;
// How much room is asked for at once. The file is as long as that room: a sync of what is written within it
// need not write down a new length as well, which costs as much as the bytes.
constexpr std::uint64_t kRoom = 64 << 10;
constexpr std::size_t kMostReadBytes = 1 << 30;

std::string_view seed_of(std::string_view name) {
  return name.substr(0, name.size() - std::min(name.size(), kJournalEnding.size()));
}

bool is_journal(std::string_view name) {
  return name.ends_with(kJournalEnding) && is_random_name(seed_of(name));
}

}  // namespace

Result<std::shared_ptr<JournalFile>> JournalFile::begin(std::shared_ptr<const UniqueFd> directory) {
  const int in = directory->get();
  std::string name = random_name() + std::string(kJournalEnding);
  auto file = open_file(in, name, O_CREAT | O_EXCL | O_RDWR);
  if (!file) return file.error();
  const std::string head = journal_head(boot_id());
  auto wrote = write_fully(file->get(), 0, std::as_bytes(std::span(head)));
  if (wrote && ::fsync(in) != 0) wrote = disk_error("cannot sync the directory of " + name, errno);
  if (!wrote) {
    ::unlinkat(in, name.c_str(), 0);
    return wrote.error().in(name);
  }
  return std::shared_ptr<JournalFile>(
      new JournalFile(std::move(directory), std::move(name), *std::move(file), head.size()));
}

Result<std::shared_ptr<JournalFile>> JournalFile::adopt(std::shared_ptr<const UniqueFd> directory,
                                                        std::string name, std::uint64_t end,
                                                        std::uint64_t promises) {
  auto file = open_to_stay(directory->get(), name, O_RDWR);
  if (!file) return file.error();
  if (::ftruncate(file->get(), static_cast<off_t>(end)) != 0) return disk_error("cannot cut " + name, errno);
  std::shared_ptr<JournalFile> adopted(
      new JournalFile(std::move(directory), std::move(name), *std::move(file), end));
  const std::lock_guard lock(adopted->mutex_);
  adopted->promises_ = promises;
  if (promises > 0) std::ignore = adopted->reserve_locked(end + promises * kJournalEndBytes);
  return adopted;
}

JournalFile::~JournalFile() {
  if (in_it_ == 0) ::unlinkat(directory_->get(), name_.c_str(), 0);
}

Result<> JournalFile::remove() const {
  if (::unlinkat(directory_->get(), name_.c_str(), 0) != 0 && errno != ENOENT)
    return disk_error("cannot remove " + name_, errno);
  if (::fsync(directory_->get()) != 0) return disk_error("cannot sync the directory of " + name_, errno);
  return {};
}

std::string_view JournalFile::seed() const {
  return seed_of(name_);
}

bool JournalFile::is_full() const {
  const std::lock_guard lock(mutex_);
  return is_broken_ || size_ >= kFullJournal;
}

Result<> JournalFile::reserve_locked(std::uint64_t end) {
  if (end <= reserved_) return {};
  // On a disk that is almost full, no more than is needed.
  for (const std::uint64_t wanted : {(end / kRoom + 1) * kRoom, end}) {
    const auto length = static_cast<off_t>(wanted - reserved_);
    if (::fallocate(file_.get(), 0, static_cast<off_t>(reserved_), length) != 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS)
      continue;
    reserved_ = wanted;
    return {};
  }
  return disk_error("cannot make room for promises", errno);
}

Result<std::uint64_t> JournalFile::append_promise(std::string_view entry) {
  const std::lock_guard lock(mutex_);
  if (auto room = reserve_locked(size_ + entry.size() + (promises_ + 1) * kJournalEndBytes); !room)
    return room.error();
  auto end = append_locked(entry);
  if (end) ++promises_;
  return end;
}

Result<std::uint64_t> JournalFile::append_record(std::string_view entry) {
  const std::lock_guard lock(mutex_);
  if (promises_ > 0)
    if (auto room = reserve_locked(size_ + entry.size() + promises_ * kJournalEndBytes); !room)
      return room.error();
  return append_locked(entry);
}

Result<std::uint64_t> JournalFile::append_end(std::string_view entry) {
  const std::lock_guard lock(mutex_);
  return append_locked(entry);
}

Result<std::uint64_t> JournalFile::append_locked(std::string_view entry) {
  if (auto wrote = write_fully(file_.get(), size_, std::as_bytes(std::span(entry))); !wrote) {
    // What is half written behind the last entry the next one overwrites.
    std::ignore = ::ftruncate(file_.get(), static_cast<off_t>(std::max(size_, reserved_)));
    return wrote.error().in(name_);
  }
  size_ += entry.size();
  return size_;
}

Result<> JournalFile::sync(std::uint64_t end) {
  const std::lock_guard syncing(syncing_);
  if (synced_ >= end) return {};  // By somebody who came after us.
  std::uint64_t written = 0;
  {
    const std::lock_guard lock(mutex_);
    if (is_broken_) return Error{Errc::kLocalIo, "cannot sync " + name_ + ": an earlier sync of it failed"};
    written = size_;
  }
  if (::fdatasync(file_.get()) != 0) {
    const std::lock_guard lock(mutex_);
    is_broken_ = true;  // What the kernel dropped then, a later sync would call safe.
    return disk_error("cannot sync " + name_, errno);
  }
  synced_ = written;
  return {};
}

Result<std::shared_ptr<JournalFile>> SpoolJournal::current() {
  const std::lock_guard lock(mutex_);
  if (current_ != nullptr && !current_->is_full()) return current_;
  auto fresh = JournalFile::begin(directory_);
  if (fresh) current_ = *fresh;
  return fresh;
}

Result<> SpoolJournal::put(Place& place, std::string_view id, std::string_view record,
                           const std::optional<std::span<const std::byte>>& bytes) {
  auto file = current();
  if (!file) return file.error();
  const std::string entry = journal_put((*file)->seed(), id, ++last_order_, record, bytes);
  const auto end = bytes ? (*file)->append_promise(entry) : (*file)->append_record(entry);
  if (!end) return end.error();
  if (auto synced = bytes ? (*file)->sync(*end) : Result<>(); !synced) {
    // The death of this process would leave it, though nobody relies on it.
    if (place.file == *file)
      place.is_promise = true;
    else
      std::ignore = (*file)->append_end(journal_end((*file)->seed(), id, JournalEnd::kMoved));
    return synced;
  }
  if (place.file != *file) {
    (*file)->enter();
    Place old = std::exchange(place, Place{*file, false});
    // A journal may go before an older one does.
    if (old.file != nullptr) std::ignore = SpoolJournal::end(old, id, JournalEnd::kMoved);
    leave(old);
  }
  place.is_promise = bytes.has_value();
  return {};
}

Result<> SpoolJournal::end(const Place& place, std::string_view id, JournalEnd how) {
  const auto end = place.file->append_end(journal_end(place.file->seed(), id, how));
  if (!end) return end.error();
  return place.is_promise ? place.file->sync(*end) : Result<>();
}

Result<> SpoolJournal::end_soon(const Place& place, std::string_view id) {
  if (!place.is_promise) return end(place, id, JournalEnd::kGone);
  const std::lock_guard lock(ends_mutex_);
  if (ends_ != place.file)
    if (auto synced = sync_ends_locked(); !synced) return end(place, id, JournalEnd::kGone);
  const auto end = place.file->append_end(journal_end(place.file->seed(), id, JournalEnd::kGone));
  if (!end) return end.error();
  ends_ = place.file;
  ends_until_ = *end;
  return {};
}

Result<> SpoolJournal::sync_ends() {
  const std::lock_guard lock(ends_mutex_);
  return sync_ends_locked();
}

Result<> SpoolJournal::sync_ends_locked() {
  if (ends_ == nullptr) return {};
  auto synced = ends_->sync(ends_until_);
  // What no sync will ever say of it, its end does.
  if (!synced && is_left_alone(ends_)) synced = ends_->remove();
  if (synced) ends_.reset();
  return synced;
}

// REQUIRES: it is full, or no record of it counts.
bool SpoolJournal::is_left_alone(const std::shared_ptr<JournalFile>& file) {
  const std::lock_guard lock(mutex_);
  if (current_ == file)
    current_.reset();  // Nobody else can come to it: whoever is in it, or on the way, has it.
  return file.use_count() == 1;
}

void SpoolJournal::leave(Place& place) {
  if (place.file != nullptr) place.file->leave();
  place = Place{};
}

Result<SpoolJournal::AllLeft> SpoolJournal::take_left() {
  auto all_read = read_journals(directory_->get());
  if (!all_read) return all_read.error();
  ReadJournals& read = *all_read;
  std::map<std::string, std::shared_ptr<JournalFile>> files;
  std::map<std::string, std::uint64_t> promises;
  for (const auto* all : {&read.puts, &read.older})
    for (const ReadJournal& one : *all)
      if (one.put.bytes) ++promises[one.name];
  for (const auto& [name, end] : read.ends) {
    auto file = JournalFile::adopt(directory_, name, end, promises[name]);
    if (!file) {
      for (auto& [other, held] : files) held->enter();  // So that none goes.
      return file.error();
    }
    files.emplace(name, *std::move(file));
  }
  const auto adopted = [&](const ReadJournal& from) {
    return Place{files.at(from.name), from.put.bytes.has_value()};
  };
  for (const ReadJournal& superseded : read.older)
    std::ignore = end(adopted(superseded), superseded.put.id, JournalEnd::kMoved);
  for (const std::string& id : read.gone)  // Their end came, and then a crash.
    if (::faccessat(directory_->get(), (id + ".json").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0)
      ::unlinkat(directory_->get(), (id + ".data").c_str(), 0);
  AllLeft all;
  for (auto& [name, file] : files) all.journals.push_back(file);
  for (ReadJournal& one : read.puts) {
    Place place = adopted(one);
    place.file->enter();
    last_order_ = std::max(last_order_.load(), one.put.order);
    all.files.push_back({std::move(one.put), std::move(one.boot), std::move(place)});
  }
  all.damaged = std::move(read.damaged);
  return all;
}

Result<ReadJournals> read_journals(int directory) {
  ReadJournals all;
  std::map<std::string, ReadJournal> last;
  std::set<std::string> gone;
  const auto names = list_names(directory);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (!is_journal(name)) continue;
    const auto text = read_text(directory, name, kMostReadBytes);
    if (!text && ::faccessat(directory, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0)
      continue;  // Gone since.
    if (!text) return text.error();
    JournalContents contents = parse_journal(seed_of(name), *text);
    if (contents.is_damaged) all.damaged.push_back(name);
    all.ends.emplace(name, contents.end);
    gone.insert(contents.gone.begin(), contents.gone.end());
    for (JournalContents::Put& put : contents.puts) {
      const std::string id = put.id;
      ReadJournal one{std::move(put), contents.boot, name};
      const auto [known, is_new] = last.try_emplace(id, one);
      if (is_new) continue;
      if (known->second.put.order < one.put.order) std::swap(known->second, one);
      all.older.push_back(std::move(one));
    }
  }
  for (auto& [id, one] : last) {
    gone.erase(id);
    all.puts.push_back(std::move(one));
  }
  all.gone.assign(gone.begin(), gone.end());
  return all;
}

}  // namespace lakefuse
