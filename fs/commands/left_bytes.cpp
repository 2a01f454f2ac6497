#include "fs/commands/left_bytes.h"

#include <algorithm>
#include <span>

#include "fs/commands/render.h"
#include "fs/filesystem.h"
#include "fs/log.h"
#include "fs/name_rules.h"
#include "fs/options.h"

namespace lakefuse {
namespace {

// A mount's own --local-names are not known here; what they add shows, and keeps nobody from anything.
bool is_litter(const SpooledFile& file) {
  static const NameRules rules([] {
    FilesystemOptions options;
    options.local_names = default_local_names();
    return options;
  }());
  return file.record.state == SpoolRecord::State::kHeld && rules.is_local(file.record.path);
}

}  // namespace

Result<> check_state_directory(const std::filesystem::path& directory) {
  if (is_state_directory(directory)) return {};
  std::error_code failed;
  const bool is_there = std::filesystem::exists(directory, failed);
  return Error{Errc::kNotFound,
               directory.string() + (is_there ? " is no state directory: no mount has kept anything in it"
                                              : " is not there: name the --state-dir of a mount")};
}

Result<LeftBytes> left_by_default() {
  return left_in(default_state_dir(process_environment()));
}

Result<LeftBytes> left_in(const std::filesystem::path& state_dir) {
  LeftBytes left{state_dir, {}};
  if (left.state_dir.empty()) return left;
  auto files = read_spools(left.state_dir);
  if (!files) return files.error();
  std::copy_if(files->begin(), files->end(), std::back_inserter(left.files),
               [](const SpooledFile& file) { return !file.in_use && !is_litter(file); });
  return left;
}

Result<std::size_t> count_others(const MountFacts& mount) {
  if (mount.read_only || mount.state_dir.empty()) return std::size_t{0};
  const auto files = read_spools(mount.state_dir);
  if (!files) return files.error();
  const SpoolOwner owner{mount.endpoint, mount.repository, mount.branch};
  return static_cast<std::size_t>(std::count_if(files->begin(), files->end(), [&](const SpooledFile& file) {
    return !is_litter(file) && (file.owner != owner || !file.in_use);
  }));
}

std::string what_to_do(const std::filesystem::path& state_dir) {
  return "`lakefuse recover " + printable(state_dir.string()) +
         "` publishes what can be, or says why it never will be; `cp` copies a kept file\nout, `lakefuse "
         "discard` drops it\n";
}

std::string render(const LeftBytes& left, std::size_t most) {
  if (left.files.empty()) return {};
  std::string text = printable(left.state_dir.string()) + "  no mount serves these\n";
  for (const auto& file : std::span(left.files).first(std::min(most, left.files.size())))
    text += render(file);
  if (left.files.size() > most) text += and_more(left.files.size(), left.state_dir);
  return text + what_to_do(left.state_dir);
}

}  // namespace lakefuse
