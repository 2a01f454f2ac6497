#include "fs/name_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
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

constexpr std::array<std::string_view, 3> kDrawn{"zi", "sed", "tmp"};
constexpr std::size_t kRandom = 6;  // Characters that mkstemp(3) draws, of letters and digits.

bool all_are(std::string_view text, int (*kind)(int)) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) { return kind(c) != 0; });
}

// Six letters of one kind, or six digits, are a word or a date far more often than a draw: "config",
// "202611".
bool is_random(std::string_view text) {
  return text.size() == kRandom && all_are(text, ::isalnum) && !all_are(text, ::islower) &&
         !all_are(text, ::isupper) && !all_are(text, ::isdigit);
}

// Python's tempfile draws eight small letters, digits and '_'.
bool is_drawn_by_python(std::string_view text) {
  constexpr std::size_t kDraws = 8;
  const bool is_legal = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
  });
  return text.size() == kDraws && is_legal && !all_are(text, ::islower) && !all_are(text, ::isdigit);
}

bool looks_like_tempfile(std::string_view name) {
  constexpr std::string_view kBegin = "tmp";
  return name.starts_with(kBegin) && is_drawn_by_python(name.substr(kBegin.size()));
}

// rsync writes ".name.XXXXXX", MLflow ".artifact.uploading.XXXXXXXX"; ".eslintrc.config" is a name.
bool is_hidden_and_drawn(std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == name.npos || dot < 2 || name.front() != '.') return false;
  const auto ending = name.substr(dot + 1);
  return is_random(ending) || is_drawn_by_python(ending);
}

// zip writes "ziXXXXXX", sed "sedXXXXXX" and emacs, asked to be precious, "tmpXXXXXX"; "zipcodes" is a word.
bool looks_drawn(std::string_view name) {
  return std::any_of(kDrawn.begin(), kDrawn.end(), [&](std::string_view begin) {
    return name.starts_with(begin) && is_random(name.substr(begin.size()));
  });
}

}  // namespace

std::vector<std::string> default_claim_names() {
  return {"*.lock", "*.lck", "*.pid", "LOCK", ".lock*", ".~lock.*#"};
}

std::vector<std::string> default_temporary_names() {
  return {"*.tmp",      ".tmp*",     "*.part",    "*.partial",        "tmp_obj_*",
          "tmp_pack_*", "tmp_idx_*", "tmp_rev_*", ".goutputstream-*", ".~*",
          "4913",       "*~",        "*.vsctmp",  "*._COPYING_*",     "*.incomplete"};
}

std::vector<std::string> default_local_names() {
  return {".*.sw?", ".*.swpx", ".#*", "#*#", ".DS_Store", ".nfs*", ".fuse_hidden*", ".ipynb_checkpoints/"};
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
  return matches_any(temporary_, name) ||
         (exclusive && (is_hidden_and_drawn(name) || looks_drawn(name) || looks_like_tempfile(name)));
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
