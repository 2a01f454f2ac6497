#include <cstdio>

#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

int flush(const FoundMount& found, std::chrono::milliseconds timeout) {
  const auto mount = serving(found);
  if (!mount) return complain(mount.error().message), kFailed;
  Result<FlushReport> report;
  {
    ProgressLine progress("still to publish");
    report = mount->client().flush({.patience = timeout}, [&](std::uint64_t n) { progress.show(n); });
  }
  if (!report) return complain(mount->mountpoint.string() + ": " + report.error().message), kFailed;
  std::printf("%s published", count_of(report->published.size(), "file").c_str());
  if (!report->left_out.empty()) {
    std::printf(", %s left out (open or held back)", count_of(report->left_out.size(), "file").c_str());
  }
  std::puts("");
  for (const auto& file : report->left_out) std::fputs(render(file).c_str(), stdout);
  if (report->failed.empty()) return kDone;
  complain(count_of(report->failed.size(), "file") + " could not be published:");
  for (const auto& file : report->failed) std::fputs(render(file).c_str(), stderr);
  return kNotOnLake;
}

}  // namespace

int run(const FlushCommand& command) {
  const auto mounts = find_mounts_of(command.directory);
  if (!mounts) return complain(mounts.error().message), kFailed;
  int code = kDone;
  for (const auto& mount : *mounts) {
    if (const int outcome = flush(mount, command.timeout); outcome != kDone) code = outcome;
  }
  return code;
}

}  // namespace lakefuse
