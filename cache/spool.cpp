#include "cache/spool.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>

#include "cache/disk.h"
#include "cache/left_files.h"
#include "cache/private_directory.h"
#include "cache/refusal.h"

namespace lakefuse {

namespace {

class LocalSpool final : public Spool {
 public:
  LocalSpool(std::filesystem::path state_path, UniqueFd state_dir, SpoolOwner owner,
             std::shared_ptr<SpoolSlot> slot, std::uint64_t floor_bytes)
      : state_path_(std::move(state_path)),
        state_dir_(std::move(state_dir)),
        owner_(std::move(owner)),
        slot_(std::move(slot)),
        space_(std::make_shared<FreeSpace>(slot_->files(), floor_bytes)),
        removals_(std::make_shared<RemovalJournal>(slot_)),
        links_(state_dir_.get(), SpoolSlot::name_of(owner_, 0) + ".linked") {}
  ~LocalSpool() override { std::ignore = LocalSpool::sync(); }
  LocalSpool(const LocalSpool&) = delete;
  LocalSpool& operator=(const LocalSpool&) = delete;

  // All that earlier mounts left, to be handed out; before anything else.
  Result<> take_all() {
    std::lock_guard lock(mutex_);
    auto taken = take_from(slot_);
    if (taken) taken = adopt_all();
    if (taken) part_places();
    return taken;
  }

  Result<std::shared_ptr<SpoolFile>> create(const SpoolRecord& record) override {
    auto file = LocalSpoolFile::create(slot_, record, space_, removals_);
    if (!file) return file.error();
    return std::shared_ptr<SpoolFile>(std::move(*file));
  }

  Result<std::unique_ptr<RenameJournal>> begin_rename(RenameRecord record) override {
    return RenameJournal::begin(slot_, std::move(record));
  }

  std::vector<std::unique_ptr<RenameJournal>> take_left_renames() override {
    std::lock_guard lock(mutex_);
    std::ignore = adopt_all();
    return std::exchange(left_renames_, {});
  }

  Result<> begin_removal(const RemovalRecord& record) override { return removals_->add(record); }
  void end_removal(std::uint64_t order) override { removals_->end(order); }
  Result<> sync() override {
    auto removals = removals_->sync();
    auto ends = slot_->journal().sync_ends();
    return removals ? ends : removals;
  }

  std::vector<RemovalRecord> take_left_removals() override {
    std::lock_guard lock(mutex_);
    std::ignore = adopt_all();
    std::vector<RemovalRecord> taken;
    for (LeftRemovals& left : std::exchange(left_removals_, {})) {
      bool is_safe = true;
      for (RemovalRecord& record : left.records) {
        is_safe &= removals_->add(record).has_value();
        taken.push_back(std::move(record));
      }
      if (is_safe && removals_->sync()) ::unlinkat(left.slot->files()->get(), left.name.c_str(), 0);
    }
    return taken;
  }

  std::vector<LeftBehind> take_left_behind() override {
    std::lock_guard lock(mutex_);
    std::ignore = adopt_all();
    std::ranges::stable_sort(left_, {}, &LeftFile::created_nanoseconds);
    std::vector<LeftBehind> left;
    for (LeftFile& one : std::exchange(left_, {})) left.push_back(std::move(one.file));
    return left;
  }

  LinkJournal& links() override { return links_; }

  std::vector<DamagedFile> damaged() const override {
    std::vector<DamagedFile> files;
    for (const auto& slot : slots())
      for (DamagedFile& file : slot->damaged()) files.push_back(std::move(file));
    return files;
  }

  Result<> discard_damaged(const std::filesystem::path& path) override {
    for (const auto& slot : slots())
      for (const DamagedFile& file : slot->damaged())
        if (file.path == path) return slot->discard_damaged(path.filename());
    return Error{Errc::kNotFound, path.string() + " is no file that this mount keeps"};
  }

  const std::filesystem::path& directory() const override { return slot_->path(); }
  std::uint64_t free_bytes() const override { return space_->bytes(); }

 private:
  std::vector<std::shared_ptr<SpoolSlot>> slots() const {
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<SpoolSlot>> all{slot_};
    for (const auto& [name, held] : adopted_)
      if (auto slot = held.lock()) all.push_back(std::move(slot));
    return all;
  }

  // REQUIRES: mutex_ is held, as by all below.
  Result<> take_from(const std::shared_ptr<SpoolSlot>& slot) {
    auto files = take_left_files(slot, space_, removals_);
    if (!files) return files.error();
    auto renames = lakefuse::take_left_renames(slot);
    if (!renames) return renames.error();
    auto removals = lakefuse::take_left_removals(slot);
    if (!removals) return removals.error();
    std::ranges::move(*files, std::back_inserter(left_));
    std::ranges::move(*renames, std::back_inserter(left_renames_));
    std::ranges::move(*removals, std::back_inserter(left_removals_));
    return {};
  }

  // Two mounts of an earlier build may have given the same places among what they promised. Each promise gets
  // one of its own here, in the order that they have. (Where a file was closed again in its place, the crash
  // may have left both: the younger stays the later.)
  void part_places() {
    struct Promise {
      std::uint64_t* place;
      std::int64_t created_nanoseconds;
      LeftFile* file;  // Null: a removal.
    };
    std::vector<Promise> promises;
    for (LeftFile& left : left_)
      if (left.file.record.order > 0)
        promises.push_back({&left.file.record.order, left.created_nanoseconds, &left});
    for (LeftRemovals& left : left_removals_)
      for (RemovalRecord& record : left.records) promises.push_back({&record.order, 0, nullptr});
    std::ranges::stable_sort(
        promises, {}, [](const Promise& one) { return std::pair(*one.place, one.created_nanoseconds); });
    std::uint64_t last = 0;
    for (const auto& [place, created, file] : promises) {
      const bool is_taken = *place <= last;
      last = is_taken ? last + 1 : *place;
      if (!is_taken) continue;
      *place = last;
      if (file != nullptr)
        std::ignore = file->file.file->save(file->file.record, SpoolFile::Safety::kDurable);
    }
  }

  Result<> adopt_all() {
    const std::string hash = SpoolSlot::name_of(owner_, 0);
    for (const std::string& name : list_names(state_dir_.get()).value_or(std::vector<std::string>()))
      if (SpoolSlot::is_name(name) && name.starts_with(hash))
        if (auto adopted = adopt(name); !adopted) return adopted;
    return {};
  }

  // Takes the slot of an ended mount and uses its files where they are: nothing is moved, so nothing can get
  // lost on the way. The slot is kept by its files, and goes when the last of them has gone.
  Result<> adopt(const std::string& name) {
    if (name == slot_->path().filename()) return {};
    if (auto held = adopted_.find(name); held != adopted_.end() && !held->second.expired()) return {};
    auto slot = SpoolSlot::take(state_dir_.get(), state_path_ / name, owner_);
    if (!slot && slot.error().code == Errc::kTooManyOpen) return slot.error();
    if (!slot || *slot == nullptr) return {};  // In use, or not for us: open() has said so.
    (*slot)->remove_when_done();
    if (auto taken = take_from(*slot); !taken) return taken;
    adopted_[name] = *slot;
    if (!(*slot)->damaged().empty()) kept_.push_back(*slot);
    return {};
  }

  const std::filesystem::path state_path_;
  const UniqueFd state_dir_;
  const SpoolOwner owner_;
  const std::shared_ptr<SpoolSlot> slot_;
  const std::shared_ptr<FreeSpace> space_;
  const std::shared_ptr<RemovalJournal> removals_;

  mutable std::mutex mutex_;
  std::vector<LeftFile> left_;  // Guarded by mutex_, as all below. Not handed out yet.
  std::vector<std::unique_ptr<RenameJournal>> left_renames_;
  std::vector<LeftRemovals> left_removals_;
  std::map<std::string, std::weak_ptr<SpoolSlot>> adopted_;
  std::vector<std::shared_ptr<SpoolSlot>> kept_;  // Adopted ones with damage to show.

  LinkJournal links_;  // Safe by itself.
};

// An ended mount may have left a slot that we cannot read: better no mount than one that forgets those files.
Result<> check_format(int state_dir, const std::string& name) {
  auto directory = open_private_directory(state_dir, name);
  if (!directory) return directory.error();
  auto text = read_text(directory->get(), "owner.json", 64 << 10);
  if (!text || SpoolSlot::is_taken(directory->get())) return {};  // Half made, or another mount's business.
  auto owner = parse_owner(*text);
  return owner ? Result<>{} : owner.error();
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(const std::filesystem::path& state_dir, const SpoolOwner& owner,
                                           std::uint64_t floor_bytes) {
  auto directory = open_private_directory(state_dir);
  if (!directory) return directory.error();
  auto names = list_names(directory->get());
  if (!names) return names.error().in(state_dir.string());
  const std::string hash = SpoolSlot::name_of(owner, 0);
  for (const std::string& name : *names) {
    if (!SpoolSlot::is_name(name) || !name.starts_with(hash)) continue;
    if (auto known = check_format(directory->get(), name); !known)
      return known.error().in((state_dir / name).string());
  }
  for (std::size_t n = 0;; ++n) {
    auto slot = SpoolSlot::take(directory->get(), state_dir / SpoolSlot::name_of(owner, n), owner);
    if (!slot) return slot.error();
    if (*slot == nullptr) continue;
    forget_refusal(directory->get(), owner);
    auto spool =
        std::make_unique<LocalSpool>(state_dir, std::move(*directory), owner, std::move(*slot), floor_bytes);
    if (auto taken = spool->take_all(); !taken)
      return taken.error().in("what waits in " + state_dir.string() + " cannot be taken over");
    return std::unique_ptr<Spool>(std::move(spool));
  }
}

}  // namespace lakefuse
