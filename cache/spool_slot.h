#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cache/spool.h"
#include "cache/spool_journal.h"
#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// One directory of a state directory, held by one process at a time:
//
//   <hash of owner>[-N]/owner.json   whose bytes, and in which format
//                       lock         an open file description lock (fcntl): gone with its holder, kept over
//                       fork, and
//                                    `lakefuse pending` can ask for it without taking it
//                       spool/       <id>.data of each staged file, its record in a <id>.journal or in
//                       <id>.json, <id>.rename of each directory rename under way
//                       damaged/     what could not be read, for a person to look at; never removed
//
// Constant after construction, so safe to use from many threads at once.
class SpoolSlot {
 public:
  // The n-th slot of this owner is called so.
  static std::string name_of(const SpoolOwner& owner, std::size_t n);
  // True for the name of any owner's slot.
  static bool is_name(const std::string& name);

  // Takes the slot, making what is missing of it; null while another process has it.
  static Result<std::shared_ptr<SpoolSlot>> take(int state_dir, const std::filesystem::path& path,
                                                 const SpoolOwner& owner);

  // Whether a live process has the slot at `directory`.
  static bool is_taken(int directory);

  ~SpoolSlot();
  SpoolSlot(const SpoolSlot&) = delete;
  SpoolSlot& operator=(const SpoolSlot&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::shared_ptr<const UniqueFd>& files() const { return files_; }  // spool/
  [[nodiscard]] SpoolJournal& journal() const { return *journal_; }

  // Out of the way of good files: all of the id's files go to damaged/.
  void put_aside(const std::string& id) const;
  // SpoolJournal::take_left(); a journal of which a part cannot be read is kept in damaged/ as well.
  Result<SpoolJournal::AllLeft> take_left_records() const;
  void keep_damaged(const std::string& journal) const;
  [[nodiscard]] std::vector<DamagedFile> damaged() const;
  Result<> discard_damaged(const std::string& name) const;

  // Makes the slot disappear, if it is empty, when its last user is gone.
  void remove_when_done() { remove_when_done_ = true; }

 private:
  SpoolSlot(std::filesystem::path path, UniqueFd directory, UniqueFd lock)
      : path_(std::move(path)), directory_(std::move(directory)), lock_(std::move(lock)) {}

  Result<> furnish(int state_dir, const SpoolOwner& owner);
  void remove_if_empty();

  const std::filesystem::path path_;
  const UniqueFd directory_;
  const UniqueFd lock_;
  std::shared_ptr<const UniqueFd> files_;
  UniqueFd damaged_;
  std::unique_ptr<SpoolJournal> journal_;
  std::atomic<bool> remove_when_done_ = false;
};

}  // namespace lakefuse
