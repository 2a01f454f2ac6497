#include <algorithm>
#include <cstdio>

#include "cache/spool.h"
#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"

namespace lakefuse {
namespace {

// What is in the files of a state directory, mounted or not.
int show_state_directory(const PendingCommand& command) {
  const auto files = read_spools(command.directory);
  if (!files) return complain(files.error().message), kFailed;
  if (command.json) {
    std::fputs(render_json(*files).c_str(), stdout);
  } else {
    for (const auto& file : *files) std::fputs(render(file).c_str(), stdout);
    if (files->empty()) std::printf("nothing is pending in %s\n", command.directory.c_str());
    if (std::any_of(files->begin(), files->end(), [](const SpooledFile& file) { return !file.in_use; })) {
      std::printf(
          "`lakefuse recover %s` publishes what can be, or says why it never will be; `cp` copies a kept "
          "file\n"
          "out, `lakefuse discard` drops it\n",
          command.directory.c_str());
    }
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

}  // namespace

int run(const PendingCommand& command) {
  std::vector<FoundMount> mounts;
  if (command.directory.empty()) {
    auto found = find_mounts();
    if (!found) return complain(found.error().message), kFailed;
    mounts = *std::move(found);
  } else {
    auto found = find_mount(command.directory);
    if (!found && found.error().code == Errc::kNotFound) {
      std::error_code error;
      if (std::filesystem::is_directory(command.directory, error)) return show_state_directory(command);
    }
    if (!found) return complain(found.error().message), kFailed;
    auto view = look_at(*found);
    if (view.life == MountView::Life::kDead) return show_dead(view, command.json);
    mounts.push_back(*std::move(found));
  }
  std::vector<MountView> views;
  for (auto& mount : mounts) views.push_back(look_at(std::move(mount)));
  int code = kDone;
  for (const auto& view : views) {
    if (!view.trouble.empty()) {
      complain(view.mount.mountpoint.string() + ": " + view.trouble);
      if (code == kDone) code = kFailed;
    }
    if (std::any_of(view.status.pending.begin(), view.status.pending.end(), is_failure)) code = kNotOnLake;
  }
  if (command.json) {
    std::fputs(render_pending_json(views).c_str(), stdout);
    return code;
  }
  bool any = false;
  for (const auto& view : views) {
    if (view.status.pending.empty()) continue;
    any = true;
    std::printf("%s  %s\n", view.mount.mountpoint.c_str(), view.mount.facts.uri.c_str());
    for (const auto& file : view.status.pending) std::fputs(render(file).c_str(), stdout);
  }
  if (!any && code == kDone) std::puts("nothing is pending: everything is on the lake");
  return code;
}

}  // namespace lakefuse
