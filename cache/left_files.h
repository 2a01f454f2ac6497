#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/local_spool_file.h"
#include "cache/removal_journal.h"
#include "cache/rename_journal.h"
#include "cache/spool.h"
#include "cache/spool_slot.h"

namespace lakefuse {

// A file on its way to whoever takes over, with what gives it its place among others.
struct LeftFile {
  std::int64_t created_nanoseconds;
  LeftBehind file;
};

// Judges what stands in a slot that was just taken, before anything new is made in it: half-made files and
// the traces of a create or a discard that was cut short go away, what cannot be read is put aside, the rest
// is handed out.
//
// What the disk does not let be read, put back or kept open (kLocalIo, kNoSpace, kTooManyOpen) fails it all:
// nothing that is left was forgotten then, and whoever asked lets go of all that it has. A mount that went on
// without one of these would show an older version of it, or none.
Result<std::vector<LeftFile>> take_left_files(const std::shared_ptr<SpoolSlot>& slot,
                                              const std::shared_ptr<FreeSpace>& space,
                                              const std::shared_ptr<RemovalJournal>& removals);

// The directory renames that an earlier mount did not end.
Result<std::vector<std::unique_ptr<RenameJournal>>> take_left_renames(const std::shared_ptr<SpoolSlot>& slot);

// The removals that an earlier mount promised and did not do. Their file is `forget`ten once they are
// promised anew.
struct LeftRemovals {
  std::shared_ptr<SpoolSlot> slot;
  std::string name;
  std::vector<RemovalRecord> records;
};
Result<std::vector<LeftRemovals>> take_left_removals(const std::shared_ptr<SpoolSlot>& slot);

// What a power cut did to bytes that were closed but never synced: they become a conflict, which waits for a
// person, instead of being published torn. `size` is that of the file on disk.
void distrust_torn_bytes(StoredRecord& stored, std::uint64_t size);

// Whether the file `name` is not what the journal promises of it: the bytes that it carries have to be put
// back.
bool has_lost_bytes(int directory, const std::string& name, const StoredRecord& stored,
                    const std::string& bytes);

// "id" of "id.json" and "id.data"; empty for all other names.
std::string id_of(const std::string& name, std::string_view ending);

}  // namespace lakefuse
