#include <algorithm>
#include <cstdio>

#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"

namespace lakefuse {

// Failures outweigh dead mounts: bytes are at stake.
int run(const StatusCommand& command) {
  std::vector<FoundMount> mounts;
  LeftBytes left;
  bool troubled = false;
  if (command.directory.empty()) {
    auto found = find_mounts();
    if (!found) return complain(found.error().message), kFailed;
    mounts = *std::move(found);
    if (auto unserved = left_by_default())
      left = *std::move(unserved);
    else
      complain(unserved.error().message), troubled = true;
  } else {
    auto found = find_mounts_of(command.directory);
    if (!found) return complain(found.error().message), kFailed;
    mounts = *std::move(found);
  }
  std::vector<MountView> views;
  for (auto& mount : mounts) views.push_back(look_at(std::move(mount)));
  if (command.json) {
    std::fputs(render_json(views, left).c_str(), stdout);
  } else {
    if (views.empty()) std::puts("nothing is mounted");
    for (const auto& view : views) std::fputs(render(view).c_str(), stdout);
    std::fputs(render(left, kMostShown).c_str(), stdout);
  }
  if (!left.files.empty() || std::any_of(views.begin(), views.end(),
                                         [](const MountView& view) { return has_failures(view.status); })) {
    return kNotOnLake;
  }
  troubled |=
      std::any_of(views.begin(), views.end(), [](const MountView& view) { return !view.trouble.empty(); });
  return troubled ? kFailed : kDone;
}

}  // namespace lakefuse
