#include <algorithm>
#include <cstdio>
#include <set>

#include "cache/spool.h"
#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/left_bytes.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/log.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

// What is in the files of a state directory, mounted or not.
int show_state_directory(const PendingCommand& command) {
  if (auto usable = check_state_directory(command.directory); !usable)
    return complain(usable.error().message), kFailed;
  const auto files = read_spools(command.directory);
  if (!files) return complain(files.error().message), kFailed;
  if (command.json) {
    std::fputs(render_json(*files).c_str(), stdout);
  } else {
    for (const auto& file : *files) std::fputs(render(file).c_str(), stdout);
    if (files->empty())
      std::printf("nothing is pending in %s\n", printable(command.directory.string()).c_str());
    if (std::any_of(files->begin(), files->end(), [](const SpooledFile& file) { return !file.in_use; }))
      std::fputs(what_to_do(command.directory).c_str(), stdout);
  }
  const bool left = std::any_of(files->begin(), files->end(), [](const SpooledFile& file) {
    return !file.in_use || file.record.state == SpoolRecord::State::kFailed ||
           file.record.state == SpoolRecord::State::kConflict;
  });
  return left ? kNotOnLake : kDone;
}

// A dead mount cannot speak for itself; its state directory can.
int show_dead(const MountView& view, bool json) {
  complain(view.mount.mountpoint.string() + " is dead: " + view.trouble);
  if (view.mount.facts.state_dir.empty() || view.mount.facts.read_only) return kFailed;
  return show_state_directory({.directory = view.mount.facts.state_dir, .json = json});
}

// What a dead mount kept in a state directory of its own.
Result<> add_left_by_dead(const MountView& view, std::vector<LeftBytes>& lefts) {
  const auto& facts = view.mount.facts;
  if (view.life != MountView::Life::kDead || facts.state_dir.empty() || facts.read_only) return {};
  for (const auto& known : lefts)
    if (known.state_dir == facts.state_dir) return {};
  auto left = left_in(facts.state_dir);
  if (!left) return left.error();
  lefts.push_back(*std::move(left));
  return {};
}

// Whether the mounts' state directories hold what these mounts do not publish; each such directory is named.
bool tell_others(const std::vector<MountView>& views) {
  std::set<std::filesystem::path> told;
  for (const auto& view : views) {
    if (view.life == MountView::Life::kDead) continue;  // All that is there has been listed.
    const auto& facts = view.mount.facts;
    const auto others = count_others(facts);
    if (!others) complain(others.error().message);
    if (!others || *others == 0 || !told.insert(facts.state_dir).second) continue;
    const std::string place = printable(facts.state_dir.string());
    std::printf("%s of other branches or mounts: `lakefuse pending %s` lists what %s holds\n",
                count_of(*others, "file").c_str(), place.c_str(), place.c_str());
  }
  return !told.empty();
}

}  // namespace

int run(const PendingCommand& command) {
  std::vector<FoundMount> mounts;
  std::vector<LeftBytes> lefts;
  int code = kDone;
  if (command.directory.empty()) {
    auto found = find_mounts();
    if (!found) return complain(found.error().message), kFailed;
    mounts = *std::move(found);
    if (auto unserved = left_by_default())
      lefts.push_back(*std::move(unserved));
    else
      complain(unserved.error().message), code = kFailed;
  } else {
    auto found = find_mount(command.directory);
    if (!found && found.error().code == Errc::kNotFound) {
      std::error_code error;
      if (std::filesystem::is_directory(command.directory, error)) return show_state_directory(command);
    }
    if (!found) return complain(found.error().message), kFailed;
    const auto view = look_at(*found);
    if (view.life == MountView::Life::kDead) return show_dead(view, command.json);
    mounts.push_back(*std::move(found));
  }
  std::vector<MountView> views;
  for (auto& mount : mounts) views.push_back(look_at(std::move(mount), Ask::kPending));
  for (const auto& view : views) {
    if (!view.trouble.empty()) {
      complain(view.mount.mountpoint.string() + ": " + view.trouble);
      if (code == kDone) code = kFailed;
      if (auto read = add_left_by_dead(view, lefts); !read) complain(read.error().message);
    }
    if (std::any_of(view.status.pending.begin(), view.status.pending.end(), is_failure)) code = kNotOnLake;
  }
  std::vector<SpooledFile> left_files;
  for (const auto& left : lefts) left_files.insert(left_files.end(), left.files.begin(), left.files.end());
  if (!left_files.empty()) code = kNotOnLake;
  if (command.json) {
    std::fputs(render_pending_json(views, left_files).c_str(), stdout);
    return code;
  }
  bool any = false;
  for (const auto& view : views) {
    if (view.status.pending.empty()) continue;
    any = true;
    std::printf("%s  %s\n", printable(view.mount.mountpoint.string()).c_str(),
                printable(view.mount.facts.uri).c_str());
    for (const auto& file : view.status.pending) std::fputs(render(file).c_str(), stdout);
  }
  for (const auto& left : lefts) std::fputs(render(left).c_str(), stdout);
  const bool has_others = tell_others(views);
  if (any || code != kDone) return code;
  if (!has_others)
    std::puts("nothing is pending: everything is on the lake");
  else
    std::puts("nothing else is pending");
  return code;
}

}  // namespace lakefuse
