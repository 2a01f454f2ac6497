#pragma once

// What the commands print.

#include <cstddef>
#include <string>
#include <vector>

#include "cache/spool.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/left_bytes.h"
#include "fs/mount_control.h"

namespace lakefuse {

std::string render(const MountView& view);    // Of very many files only the first.
std::string render(const PendingFile& file);  // One or two lines.
std::string render(const SpooledFile& file);

// `status` shows a screen or two of files; and_more() says how many there are beyond, and what lists them.
inline constexpr std::size_t kMostShown = 50;
std::string and_more(std::size_t files, const std::filesystem::path& where);

// JSON arrays, one element a mount or a file; what is left in a state directory is an element without a mount
// point.
std::string render_json(const std::vector<MountView>& views, const LeftBytes& left = {});
std::string render_pending_json(const std::vector<MountView>& views, const std::vector<SpooledFile>& left);
std::string render_json(const std::vector<SpooledFile>& files);

// True when a person must know: a publish has failed, a conflict waits, or something is damaged.
bool is_failure(const PendingFile& file);
// True where no mount publishes it as things are: the branch is gone or protected, or the rights are.
bool is_final(Errc cause);
bool has_failures(const MountStatus& status);

// What the program ends with where the lake refused or failed an ask, as for `mount`.
int exit_code_of(Errc cause);

// A sentence on stderr, "lakefuse: ..."; control characters are escaped.
void complain(const std::string& sentence);

// "publishing 12 files ..." on one line of a terminal, nothing elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::string what) : what_(std::move(what)) {}
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void show(std::uint64_t n);

 private:
  const std::string what_;
  bool shown_ = false;
};

}  // namespace lakefuse
