#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/error.h"
#include "client/object_store.h"

namespace lakefuse {

class SpoolSlot;

// A rename of many objects under way: what was decided, so that the next mount can settle it after a crash.
struct RenameRecord {
  enum class Step {
    kCopying,     // Nothing was removed, and nobody was told that it is done: the copies may go.
    kRemoving,    // Every copy is there: the old objects go.
    kExchanging,  // `from` and `to` change places by way of `aside`: three renames, each with its own record.
  };
  Step step = Step::kCopying;
  std::string from, to;                  // Paths on the branch; of a directory's rename both end in "/".
  std::vector<ObjectInfo> objects = {};  // Below `from`, each the version that is renamed and no other.
  std::vector<std::string> staged = {};  // The ids of the spool's files below `from`, which go along.
  std::string aside = {};                // The third name of an exchange.
};

// The record of one such rename, in the slot of its mount: on disk, power cut or not, before the first
// copy is made, and gone when all is done. Used by one thread at a time. Fails with kNoSpace or kLocalIo.
class RenameJournal {
 public:
  static Result<std::unique_ptr<RenameJournal>> begin(std::shared_ptr<SpoolSlot> slot, RenameRecord record);
  // The one that an earlier mount left under this id. Null: it makes no sense, and was put aside.
  static Result<std::unique_ptr<RenameJournal>> adopt(std::shared_ptr<SpoolSlot> slot, std::string id);

  [[nodiscard]] const RenameRecord& record() const { return record_; }

  // Every copy is there. From here on the rename is only ever finished, and takes along what is staged by
  // now.
  Result<> all_copied(std::vector<std::string> staged);

  // Settled: nothing of it is left to do. A journal that is destroyed without this stays for the next mount.
  void end();

 private:
  RenameJournal(std::shared_ptr<SpoolSlot> slot, std::string id, RenameRecord record)
      : slot_(std::move(slot)), id_(std::move(id)), record_(std::move(record)) {}
  Result<> save() const;

  const std::shared_ptr<SpoolSlot> slot_;
  const std::string id_;
  RenameRecord record_;
};

// `<id>.rename` beside the staged files.
inline constexpr std::string_view kRenameEnding = ".rename";

[[nodiscard]] std::string to_json(const RenameRecord& record);
Result<RenameRecord> parse_rename(std::string_view json);

}  // namespace lakefuse
