#include "fs/name_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cctype>

#include "client/object_path.h"
#include "fs/filesystem.h"

namespace lakefuse {
namespace {

bool matches_any(const std::vector<std::string>& patterns, std::string_view name) {
  const std::string text(name);
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
  });
}

// rsync writes ".name.XXXXXX", six characters of mkstemp's alphabet.
bool looks_like_rsync(std::string_view name) {
  constexpr std::size_t kRandom = 6;
  if (name.size() < kRandom + 3 || name.front() != '.') return false;
  const auto random = name.substr(name.size() - kRandom);
  return name[name.size() - kRandom - 1] == '.' &&
         std::all_of(random.begin(), random.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

}  // namespace

std::vector<std::string> default_claim_names() {
  return {"*.lock", "*.lck", "*.pid", "LOCK", ".lock*", ".~lock.*#"};
}

std::vector<std::string> default_temporary_names() {
  return {"*.tmp", ".tmp*", "*.part", "*.partial", "tmp_obj_*", ".goutputstream-*", ".~*", "4913", "*~"};
}

std::vector<std::string> default_local_names() {
  return {".*.sw?", ".#*", ".DS_Store", ".nfs*", ".fuse_hidden*", ".ipynb_checkpoints/"};
}

NameRules::NameRules(const FilesystemOptions& options)
    : temporary_(options.temporary_names), claimed_(options.claim_names) {
  for (const auto& pattern : options.local_names) {
    if (pattern.ends_with('/'))
      local_directories_.push_back(pattern.substr(0, pattern.size() - 1));
    else
      local_.push_back(pattern);
  }
}

bool NameRules::is_local(std::string_view path) const {
  const auto slash = path.rfind('/');
  if (matches_any(local_, slash == path.npos ? path : path.substr(slash + 1))) return true;
  for (std::size_t begin = 0, end = path.find('/'); end != path.npos;
       begin = end + 1, end = path.find('/', begin)) {
    if (is_local_directory(path.substr(begin, end - begin))) return true;
  }
  return false;
}

bool NameRules::is_local_directory(std::string_view name) const {
  return matches_any(local_directories_, name);
}

bool NameRules::is_temporary(std::string_view name, bool exclusive) const {
  return matches_any(temporary_, name) || (exclusive && looks_like_rsync(name));
}

bool NameRules::is_claimed(std::string_view name) const {
  return matches_any(claimed_, name);
}

std::string_view database_of_journal(std::string_view name) {
  for (const std::string_view ending : {"-journal", "-wal", "-shm"}) {
    if (name.size() > ending.size() && name.ends_with(ending)) {
      return name.substr(0, name.size() - ending.size());
    }
  }
  return {};
}

Result<> check_name(std::string_view name) {
  if (name.size() > 255) return Error{Errc::kNameTooLong, "a name has at most 255 bytes"};
  if (!is_posix_name(name))
    return Error{Errc::kBadName, "the name is not UTF-8, which lakeFS could not say back"};
  return {};
}

}  // namespace lakefuse
