#include <cstdio>

#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/mount_table.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

int clear_dead(const MountView& view) {
  if (view.mount.is_mounted) {
    if (auto gone = unmount(view.mount.mountpoint, UnmountHow::kLazily); !gone) {
      return complain(gone.error().message), kFailed;
    }
  }
  forget(view.mount);
  complain(view.mount.mountpoint.string() + " was dead (" + view.trouble + ") and is unmounted now");
  const auto& facts = view.mount.facts;
  if (facts.state_dir.empty() || facts.read_only) return kDone;
  // Also what earlier mounts left: it is as unpublished.
  return run(PendingCommand{.directory = facts.state_dir, .json = false});
}

// Nobody to ask for progress: its process publishes the rest by itself after the unmount.
int unmount_silent(const MountView& view) {
  complain(view.mount.mountpoint.string() + ": " + view.trouble);
  if (auto gone = unmount(view.mount.mountpoint, UnmountHow::kWhenIdle); !gone) {
    return complain(gone.error().message), kFailed;
  }
  complain("unmounted; what was not on the lake yet, its process publishes now, and tells its log");
  return kFailed;
}

// Files that keep it busy, as far as the mount knows them.
int refuse_busy(const MountView& view, const Error& error) {
  complain(error.message + "; end the programs that use it (fuser -m " + view.mount.mountpoint.string() +
           " lists them), then try again");
  for (const auto& file : view.status.pending) {
    if (file.state == "open" || file.state == "dirty") std::fputs(render(file).c_str(), stderr);
  }
  return kFailed;
}

}  // namespace

int run(const UmountCommand& command) {
  auto found = find_mount(command.mountpoint);
  if (!found) return complain(found.error().message), kFailed;
  const auto view = look_at(*std::move(found));
  if (view.life == MountView::Life::kDead) return clear_dead(view);
  if (view.life == MountView::Life::kSilent) return unmount_silent(view);
  Result<FlushReport> report;
  {
    ProgressLine progress("still to publish");
    report = view.mount.client().unmount(command.timeout, [&](std::uint64_t n) { progress.show(n); });
  }
  if (!report && report.error().code == Errc::kBusy) return refuse_busy(look_at(view.mount), report.error());
  if (!report)
    return complain("unmounting " + view.mount.mountpoint.string() + ": " + report.error().message), kFailed;
  if (report->failed.empty()) return kDone;
  complain(view.mount.mountpoint.string() + " is unmounted, but " + count_of(report->failed.size(), "file") +
           " could not be published; mounting again with --state-dir " + view.mount.facts.state_dir.string() +
           " publishes what failed for a passing cause:");
  for (const auto& file : report->failed) std::fputs(render(file).c_str(), stderr);
  return kNotOnLake;
}

}  // namespace lakefuse
