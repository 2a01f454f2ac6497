#include <fcntl.h>

#include <cerrno>

#include "cache/disk.h"
#include "cache/left_files.h"
#include "cache/private_directory.h"
#include "cache/removal_journal.h"
#include "cache/rename_journal.h"
#include "cache/spool.h"

namespace lakefuse {

Result<> discard_spooled(const std::filesystem::path& data_path) {
  const auto room = data_path.parent_path();
  const auto slot_path = room.parent_path();
  const std::string name = data_path.filename();
  const bool is_damaged = room.filename() == "damaged";
  // A list of removals, or a rename that was cut short: read_spools() shows what is in them, too.
  const bool is_list = !id_of(name, kRemovalsEnding).empty() || !id_of(name, kRenameEnding).empty();
  const std::string id = id_of(name, is_damaged || is_list ? data_path.extension().string() : ".data");
  const Error none{Errc::kNotFound, data_path.string() + " is no file that lakefuse keeps"};
  const bool is_a_room = is_damaged || room.filename() == "spool";
  if (id.empty() || !is_a_room || !SpoolSlot::is_name(slot_path.filename())) return none;
  const UniqueFd state_dir(::open(slot_path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state_dir) return errno == ENOENT ? none : disk_error("cannot open " + data_path.string(), errno);
  auto slot_directory = open_private_directory(state_dir.get(), slot_path.filename());
  if (!slot_directory) return slot_directory.error();
  auto text = read_text(slot_directory->get(), "owner.json", 64 << 10);
  auto owner = text ? parse_owner(*text) : Result<SpoolOwner>(text.error());
  if (!owner) return owner.error().in(slot_path.string());
  auto slot = SpoolSlot::take(state_dir.get(), slot_path, *owner);
  if (!slot) return slot.error();
  if (*slot == nullptr) return Error{Errc::kBusy, "a mount has " + data_path.string() + " now"};
  if (is_damaged) return (*slot)->discard_damaged(name);
  auto files = open_private_directory(slot_directory->get(), room.filename());
  if (!files) return files.error();
  bool was_journaled = false;
  auto records = (*slot)->take_left_records();
  if (!records) return records.error();
  for (SpoolJournal::Left& left : records->files) {
    if (left.put.id != id) continue;
    if (auto ended = SpoolJournal::end(left.place, id, JournalEnd::kGone); !ended) return ended;
    SpoolJournal::leave(left.place);
    was_journaled = true;
  }
  // The bytes first, as in all discarding: a record alone is a trace that goes away.
  if (::unlinkat(files->get(), name.c_str(), 0) != 0 && !(errno == ENOENT && was_journaled))
    return errno == ENOENT ? none : disk_error("cannot remove " + data_path.string(), errno);
  ::unlinkat(files->get(), (id + ".json").c_str(), 0);
  if (::fsync(files->get()) != 0)
    return disk_error("cannot sync the directory of " + data_path.string(), errno);
  return {};
}

}  // namespace lakefuse
