#include "cache/damaged_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <utility>

#include "cache/disk.h"
#include "cache/left_files.h"
#include "cache/local_spool_file.h"

namespace lakefuse {

namespace {

// The first of them that a file has stands for it.
constexpr std::array<std::pair<std::string_view, const char*>, 5> kWhatIsWrong{
    {{".data", "the record of these bytes cannot be read"},
     {kJournalEnding, "a part of this journal cannot be read"},
     {kRenameEnding,
      "this record of a rename that was cut short cannot be read: its files may be under both names"},
     {kRemovalsEnding, "a part of this list of removals cannot be read: what was removed may be there"},
     {".json", "this record cannot be read, and has no bytes"}}};

// A power cut leaves bytes whose record never got to the disk: nobody was told that they are safe.
bool is_torn(int damaged, const std::string& id) {
  const std::string name = id + ".json";
  struct stat facts {};
  if (::fstatat(damaged, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
  const auto record = read_text(damaged, name, kMostRecordBytes);
  return record && record->find_first_not_of('\0') == record->npos;
}

}  // namespace

std::vector<DamagedFile> list_damaged(int damaged, const std::filesystem::path& path) {
  const auto names = list_names(damaged);
  std::map<std::string, DamagedFile> by_id;
  for (const auto& [ending, reason] : kWhatIsWrong) {
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      const std::string id = id_of(name, ending);
      if (id.empty() || by_id.contains(id)) continue;
      struct stat facts {};
      const bool is_there = ::fstatat(damaged, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
      by_id[id] = {path / name, is_there ? static_cast<std::uint64_t>(facts.st_size) : 0, reason,
                   (ending == ".data" || ending == ".json") && is_torn(damaged, id)};
    }
  }
  std::vector<DamagedFile> files;
  for (auto& [id, file] : by_id) files.push_back(std::move(file));
  return files;
}

Result<> discard_damaged(int damaged, const std::string& name) {
  std::string id;
  for (const auto& [ending, reason] : kWhatIsWrong)
    if (id.empty()) id = id_of(name, ending);
  if (id.empty() || ::unlinkat(damaged, name.c_str(), 0) != 0)
    return id.empty() || errno == ENOENT ? Error{Errc::kNotFound, name + " is no file that lakefuse keeps"}
                                         : disk_error("cannot remove " + name, errno);
  for (const auto& [ending, reason] : kWhatIsWrong)
    ::unlinkat(damaged, (id + std::string(ending)).c_str(), 0);
  return ::fsync(damaged) == 0 ? Result<>{} : disk_error("cannot sync the directory of " + name, errno);
}

}  // namespace lakefuse
