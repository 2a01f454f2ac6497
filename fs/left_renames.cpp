// Directory renames that an earlier mount did not end: undone or finished before this one answers, page by
// page, for a look and a removal of each object took a second for a thousand of them.

#include "fs/left_renames.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <utility>

#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

// Beside what was to be renamed there may be others' objects by now. A hostile listing has no end.
constexpr std::size_t kMostSeen = 1'000'000;

// What a version below the old name became below the new one.
std::optional<ObjectInfo> copy_of(FilesystemCore& core, const RenameRecord& record,
                                  const ObjectInfo& version) {
  if (!version.path.starts_with(record.from)) return std::nullopt;
  const auto path = ObjectPath::make(record.to + version.path.substr(record.from.size()));
  if (!path) return std::nullopt;
  const auto there = core.lake.stat(*path, ObjectStore::Look::kEntry);
  return there && is_equal_copy(*there, version) ? std::optional(*there) : std::nullopt;
}

class LeftRename {
 public:
  LeftRename(FilesystemCore& core, RenameJournal& journal) : core_(core), journal_(journal) {
    for (const ObjectInfo& object : journal.record().objects) {
      std::string rest = object.path.substr(journal.record().from.size());
      last_ = std::max(last_, rest);
      originals_.emplace(std::move(rest), Original{object});
    }
  }

  // A copy goes only where it is one, and where its original is still there.
  Result<> undo() {
    const auto note = [](Original& original, const ObjectInfo& found) {
      original.is_there = same_version(found, original.object);
      return false;
    };
    if (auto seen = remove_where(journal_.record().from, note); !seen) return seen;
    return remove_where(journal_.record().to, [](Original& original, const ObjectInfo& found) {
      return original.is_there && is_equal_copy(found, original.object);
    });
  }

  Result<> finish(std::vector<LeftBehind>& left) {
    if (auto taken = take_along(core_, journal_.record(), left); !taken) return taken;
    // Much may have happened since: an equal object at another address was put there by somebody.
    return remove_where(journal_.record().from, [](Original& original, const ObjectInfo& found) {
      return found.physical_address == original.object.physical_address;
    });
  }

 private:
  struct Original {
    ObjectInfo object;
    bool is_there = false;
  };

  Result<> remove_where(const std::string& prefix,
                        const std::function<bool(Original&, const ObjectInfo&)>& is_unwanted) {
    if (originals_.empty()) return {};
    ListRequest request{.prefix = prefix, .after = {}, .delimited = false, .amount = 1000};
    for (std::size_t seen = 0; seen < kMostSeen;) {
      const auto page = core_.lake.list(request);
      if (!page) return page.error();
      seen += page->entries.size();
      std::vector<Removal> unwanted;
      for (const ListEntry& entry : page->entries) {
        const auto original = originals_.find(entry.object.path.substr(prefix.size()));
        if (original == originals_.end() || !is_unwanted(original->second, entry.object)) continue;
        if (auto path = ObjectPath::make(entry.object.path))
          unwanted.push_back({.path = *std::move(path), .version = entry.object});
      }
      if (!unwanted.empty())
        if (auto gone = core_.publisher.remove_all(unwanted, Publisher::Sight::kJustNow); !gone)
          return gone.error();
      if (!page->has_more || page->next >= prefix + last_) return {};
      request.after = page->next;
    }
    return Error{Errc::kTooLarge,
                 "there are more than " + std::to_string(kMostSeen) + " objects below " + prefix};
  }

  FilesystemCore& core_;
  RenameJournal& journal_;
  std::unordered_map<std::string, Original> originals_;  // By what comes after the prefix in their paths.
  std::string last_;                                     // Of these.
};

}  // namespace

Metadata metadata_of_copy(const ObjectInfo& object) {
  Metadata said = object.metadata;
  if (!object.path.ends_with('/')) said.emplace(kMtimeKey, std::to_string(object.mtime_seconds));
  return said;
}

bool is_equal_copy(const ObjectInfo& copy, const ObjectInfo& of) {
  ObjectInfo with_mtime = of;
  with_mtime.metadata = metadata_of_copy(of);
  return same_version(copy, of) || same_version(copy, with_mtime);
}

Result<> take_along(FilesystemCore& core, const RenameRecord& record, std::vector<LeftBehind>& left) {
  for (LeftBehind& one : left) {
    SpoolRecord& staged = one.record;
    const bool goes_along = std::ranges::find(record.staged, one.file->id()) != record.staged.end();
    if (!goes_along || !staged.path.starts_with(record.from)) continue;
    staged.path = record.to + staged.path.substr(record.from.size());
    if (staged.expected.kind == Expectation::Kind::kVersion)
      if (auto now = copy_of(core, record, staged.expected.version)) staged.expected = Expectation::of(*now);
    if (staged.base)
      if (auto now = copy_of(core, record, *staged.base)) staged.base = *now;
    if (auto saved = one.file->save(staged, SpoolFile::Safety::kDurable); !saved) return saved;
  }
  return {};
}

void FilesystemCore::settle_left_renames(std::vector<LeftBehind>& left) {
  std::vector<std::unique_ptr<RenameJournal>> exchanges;  // Of renames, which are settled first.
  for (auto& journal : spool->take_left_renames()) {
    const RenameRecord& record = journal->record();
    if (record.step == RenameRecord::Step::kExchanging) {
      exchanges.push_back(std::move(journal));
      continue;
    }
    const std::string words =
        "rename of " + record.from + " to " + record.to + ", which an earlier mount began";
    const bool goes_on = record.step == RenameRecord::Step::kRemoving;
    LeftRename rename(*this, *journal);
    const auto settled = goes_on ? rename.finish(left) : rename.undo();
    if (!settled) {
      note_failure("mount", settled.error().in(words + ", is not settled yet"), true);
      continue;
    }
    journal->end();
    log_info(words + (goes_on ? ": finished" : ": undone"));
  }
  for (const auto& journal : exchanges) settle_left_exchange(*journal, left);
}

}  // namespace lakefuse
