#include "cache/spool_slot.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "cache/damaged_files.h"
#include "cache/digest.h"
#include "cache/disk.h"
#include "cache/private_directory.h"
#include "cache/spool_record.h"

namespace lakefuse {

namespace {

constexpr const char* kLock = "lock";
constexpr const char* kOwner = "owner.json";
constexpr const char* kFiles = "spool";
constexpr const char* kDamaged = "damaged";
constexpr std::size_t kHashDigits = 32;  // 128 bits.
constexpr std::size_t kMostOwnerBytes = 64 << 10;

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// An ended mount's empty slot may have been removed between our open and our lock.
bool is_still_there(int state_dir, const std::string& name, int directory, int lock) {
  struct stat held {
  }, seen{};
  if (::fstat(lock, &held) != 0 || ::fstatat(directory, kLock, &seen, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (!is_same(held, seen)) return false;
  if (::fstat(directory, &held) != 0 || ::fstatat(state_dir, name.c_str(), &seen, AT_SYMLINK_NOFOLLOW) != 0)
    return false;
  return is_same(held, seen);
}

}  // namespace

std::string SpoolSlot::name_of(const SpoolOwner& owner, std::size_t n) {
  const std::string hash = digest({owner.endpoint, owner.repository, owner.branch}).substr(0, kHashDigits);
  return n == 0 ? hash : hash + "-" + std::to_string(n);
}

bool SpoolSlot::is_name(const std::string& name) {
  if (name.size() < kHashDigits || !is_random_name(name.substr(0, kHashDigits))) return false;
  if (name.size() == kHashDigits) return true;
  const std::string number = name.substr(kHashDigits + 1);
  return name[kHashDigits] == '-' && !number.empty() &&
         number.find_first_not_of("0123456789") == std::string::npos;
}

Result<std::shared_ptr<SpoolSlot>> SpoolSlot::take(int state_dir, const std::filesystem::path& path,
                                                   const SpoolOwner& owner) {
  const std::string name = path.filename().string();
  for (;;) {
    auto directory = open_private_directory(state_dir, name);
    if (!directory) return directory.error();
    auto lock = open_file(directory->get(), kLock, O_CREAT | O_RDWR);
    if (!lock) {
      struct stat facts {};
      if (::fstat(directory->get(), &facts) == 0 && facts.st_nlink == 0)
        continue;  // Removed under our hands.
      return lock.error();
    }
    auto wanted = whole_file();
    if (::fcntl(lock->get(), F_OFD_SETLK, &wanted) != 0) {
      if (errno == EAGAIN || errno == EACCES) return std::shared_ptr<SpoolSlot>();
      return disk_error("cannot lock " + path.string(), errno);
    }
    if (!is_still_there(state_dir, name, directory->get(), lock->get())) continue;
    std::shared_ptr<SpoolSlot> slot(new SpoolSlot(path, std::move(*directory), std::move(*lock)));
    if (auto ready = slot->furnish(state_dir, owner); !ready) return ready.error().in(path.string());
    return slot;
  }
}

Result<> SpoolSlot::furnish(int state_dir, const SpoolOwner& owner) {
  struct stat facts {};
  if (::fstatat(directory_.get(), kOwner, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
    auto text = read_text(directory_.get(), kOwner, kMostOwnerBytes);
    if (!text) return text.error();
    auto known = parse_owner(*text);
    if (!known) return known.error();
    if (*known != owner) return Error{Errc::kLocalIo, "holds the files of another branch"};
    // Whoever knows the older format only must not take it for a slot whose records are gone.
    if (*text != to_json(owner))
      if (auto put = put_text(directory_.get(), kOwner, to_json(owner), Put::kSynced); !put) return put;
  } else {
    if (auto put = put_text(directory_.get(), kOwner, to_json(owner), Put::kSynced); !put) return put;
  }
  bool made_files = false;
  auto files = open_private_directory(directory_.get(), kFiles, &made_files);
  if (!files) return files.error();
  auto damaged = open_private_directory(directory_.get(), kDamaged);
  if (!damaged) return damaged.error();
  if (made_files && (::fsync(directory_.get()) != 0 || ::fsync(state_dir) != 0))
    return disk_error("cannot sync", errno);
  files_ = std::make_shared<const UniqueFd>(std::move(*files));
  damaged_ = std::move(*damaged);
  journal_ = std::make_unique<SpoolJournal>(files_);
  return {};
}

bool SpoolSlot::is_taken(int directory) {
  auto lock = open_file(directory, kLock, O_RDWR);
  if (!lock) return false;
  auto asked = whole_file();
  return ::fcntl(lock->get(), F_OFD_GETLK, &asked) == 0 && asked.l_type != F_UNLCK;
}

void SpoolSlot::put_aside(const std::string& id) const {
  for (const char* ending : {".data", ".json", ".rename"}) {
    const std::string name = id + ending;
    ::renameat(files_->get(), name.c_str(), damaged_.get(), name.c_str());
  }
}

Result<SpoolJournal::AllLeft> SpoolSlot::take_left_records() const {
  auto left = journal_->take_left();
  if (!left) return left;
  for (const std::string& journal : left->damaged) keep_damaged(journal);
  return left;
}

void SpoolSlot::keep_damaged(const std::string& journal) const {
  ::linkat(files_->get(), journal.c_str(), damaged_.get(), journal.c_str(), 0);
}

std::vector<DamagedFile> SpoolSlot::damaged() const {
  auto files = list_damaged(damaged_.get(), path_ / kDamaged);
  std::erase_if(files, [](const DamagedFile& file) { return file.is_torn; });
  return files;
}

Result<> SpoolSlot::discard_damaged(const std::string& name) const {
  return lakefuse::discard_damaged(damaged_.get(), name);
}

SpoolSlot::~SpoolSlot() {
  journal_.reset();  // Its file goes where nothing is in it.
  if (remove_when_done_) remove_if_empty();
}

// Inside out, so that whatever stops it (a file that is left, a crash) leaves a slot that take() completes
// again.
void SpoolSlot::remove_if_empty() {
  if (!files_ || !damaged().empty()) return;
  if (::unlinkat(directory_.get(), kFiles, AT_REMOVEDIR) != 0) return;
  if (::unlinkat(directory_.get(), kDamaged, AT_REMOVEDIR) != 0) return;
  ::unlinkat(directory_.get(), kOwner, 0);
  ::unlinkat(directory_.get(), kLock, 0);
  ::rmdir(path_.c_str());
}

}  // namespace lakefuse
