#include "fs/commands/mount_end.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "fs/exit_code.h"
#include "fs/log.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

// Of what was still open when all the time was up.
constexpr std::chrono::milliseconds kLastTry{1000};

std::string name_of(int signal) {
  return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
}

bool waits_for_lake(const PendingFile& file) {
  return file.state != "local";
}

// One line a file: what it is, why it is not on the lake, where its bytes are.
std::size_t log_pending(const std::vector<PendingFile>& files) {
  std::size_t n = 0;
  for (const auto& file : files) {
    if (!waits_for_lake(file)) continue;
    ++n;
    log_error("not on the lake: " + (file.path.empty() ? "a file of unknown name" : file.path) + " (" +
              format_bytes(file.size_bytes) + ", " + file.state +
              (file.reason.empty() ? "" : ": " + file.reason) + "), kept in " + file.kept_in);
  }
  return n;
}

}  // namespace

void MountEnd::begin(MountControl& control, FuseSession& session) {
  std::lock_guard lock(mutex_);
  control_ = &control;
  session_ = &session;
}

void MountEnd::first_signal(int signal) {
  MountControl* control = nullptr;
  FuseSession* session = nullptr;
  {
    std::lock_guard lock(mutex_);
    control = control_;
    session = session_;
    end_ = std::chrono::steady_clock::now() + patience_;
  }
  if (session == nullptr) {
    log_warn("ended by " + name_of(signal) + " before the mount served");
    std::_Exit(kFailed);
  }
  log_info(name_of(signal) + ": publishing, then unmounting; a second signal gives up at once");
  const FlushOptions everything{.patience = patience_, .open_files = true, .held_files = true};
  const auto report = control->flush(everything, [](std::size_t) { return true; });
  if (!report.failed.empty())
    log_warn(count_of(report.failed.size(), "file") + " could not be published yet");
  const auto stopped = session->stop(false);
  if (stopped) return;
  log_warn(stopped.error().message + "; unmounting all the same: programs have " +
           std::to_string(kUnmountGrace.count()) +
           " s to close what they hold open, then it is published as it is");
  if (auto forced = session->stop(true); !forced) log_error("cannot unmount: " + forced.error().message);
}

void MountEnd::second_signal(int signal) {
  MountControl* control = nullptr;
  FuseSession* session = nullptr;
  {
    std::lock_guard lock(mutex_);
    control = control_;
    session = session_;
  }
  log_error("a second signal, " + name_of(signal) + ": giving up");
  if (control != nullptr) {
    const auto n = log_pending(control->status().pending);
    log_error(n == 0 ? "nothing is lost: everything is on the lake"
                     : count_of(n, "file") +
                           " stay in the state directory; the next mount with it publishes what "
                           "was closed, `lakefuse pending` lists the rest");
  }
  if (session != nullptr) std::ignore = session->stop(true);
  std::_Exit(kFailed);
}

bool MountEnd::publish_rest(ControlServer& server) {
  const auto now = std::chrono::steady_clock::now();
  auto end = server.asked_end().value_or(now + patience_);
  {
    std::lock_guard lock(mutex_);
    if (end_) end = *end_;
  }
  const auto time_left = std::chrono::duration_cast<std::chrono::milliseconds>(end - now);
  const FlushOptions everything{
      .patience = std::max(time_left, kLastTry), .open_files = true, .held_files = true};
  auto report = control_->flush(everything, [&](std::size_t waiting) {
    server.tell_progress(waiting);
    return true;
  });
  // The table of what is pending is the truth; the report tells the last attempt.
  std::vector<PendingFile> left;
  for (auto& file : control_->status().pending) {
    if (waits_for_lake(file)) left.push_back(std::move(file));
  }
  const auto n = log_pending(left);
  if (n > 0) {
    log_error(count_of(n, "file") +
              " could not be published: mount again with the same state directory, or see "
              "`lakefuse pending` with it");
  }
  report.failed = std::move(left);
  report.left_out.clear();
  server.finish(report);
  return n == 0;
}

}  // namespace lakefuse
