#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>

#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/log.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

// One commit, step by step; each step ends it with an exit code, or lets it go on.
class Committing {
 public:
  Committing(const CommitCommand& command, FoundMount mount)
      : command_(command), mount_(std::move(mount)), client_(mount_.client()) {}

  int run() {
    if (const auto ended = publish()) return *ended;
    if (const auto ended = refuse_failed()) return *ended;
    if (const auto ended = refuse_left_out()) return *ended;
    if (const auto ended = ask_about_others()) return *ended;
    return commit();
  }

 private:
  std::optional<int> publish() {
    Result<FlushReport> report;
    {
      ProgressLine progress("still to publish");
      report = client_.flush({.patience = command_.timeout}, [&](std::uint64_t n) { progress.show(n); });
    }
    if (!report) return fail(report.error());
    left_out_ = std::move(report->left_out);
    const auto status = client_.status();
    if (!status) return fail(status.error());
    // The mount's list, not the report: a conflict of yesterday is as much not in the commit as one of now.
    std::copy_if(status->status.pending.begin(), status->status.pending.end(), std::back_inserter(failed_),
                 is_failure);
    unseen_ = status->status.unseen_failures;
    return std::nullopt;
  }

  std::optional<int> refuse_failed() {
    if (failed_.empty()) return std::nullopt;
    complain((command_.leave_failed
                  ? "left out, since they could not be published: "
                  : "nothing is committed: these could not be published (`--leave-failed` commits "
                    "without them): ") +
             count_of(failed_.size(), "file"));
    for (const auto& file : failed_) std::fputs(render(file).c_str(), stderr);
    if (command_.leave_failed) return std::nullopt;
    return kNotOnLake;
  }

  std::optional<int> refuse_left_out() {
    if (left_out_.empty()) return std::nullopt;
    complain((command_.strict ? "nothing is committed (--strict): open or held back: "
                              : "left out, since they are open or held back: ") +
             count_of(left_out_.size(), "file"));
    for (const auto& file : left_out_) std::fputs(render(file).c_str(), stderr);
    if (!command_.strict) return std::nullopt;
    return kNotOnLake;
  }

  std::optional<int> ask_about_others() {
    if (command_.all) return std::nullopt;
    Result<OthersReport> report;
    {
      ProgressLine progress("looking whose the changes are");
      report = client_.others([&](std::uint64_t n) { progress.show(n); });
    }
    if (!report) return fail(report.error());
    if (report->others == 0) return std::nullopt;
    std::string names;
    for (const auto& name : report->names) names += "\n    " + printable(name);
    if (report->names.size() < report->others) names += "\n    ...";
    std::fprintf(stderr, "lakefuse: %s of %s of branch %s %s not made from this state directory:%s\n",
                 std::to_string(report->others).c_str(),
                 count_of(report->changes, "uncommitted change").c_str(),
                 printable(mount_.facts.branch).c_str(), report->others == 1 ? "was" : "were", names.c_str());
    if (::isatty(STDIN_FILENO) == 0) {
      complain("nothing is committed; --all commits them along");
      return kFailed;
    }
    std::fputs("Commit them along? [y/N] ", stderr);
    std::string answer;
    std::getline(std::cin, answer);
    if (answer == "y" || answer == "Y" || answer == "yes") return std::nullopt;
    complain("nothing is committed");
    return kFailed;
  }

  int commit() {
    const auto made = client_.commit(command_.message, command_.metadata);
    // Whether it was made nobody may know: the answer can be lost.
    if (!made) return complain("the commit failed: " + made.error().message), exit_code_of(made.error().code);
    std::printf("committed %s on %s\n", made->id.c_str(), printable(mount_.facts.branch).c_str());
    if (!failed_.empty()) return kNotOnLake;
    if (unseen_ == 0) return kDone;
    complain("since the mount began, " + count_of(unseen_, "failure") +
             " could not be told to any program; `lakefuse status` shows the latest");
    return kNotOnLake;
  }

  int fail(const Error& error) const {
    complain("nothing is committed: " + error.message);
    return exit_code_of(error.code);
  }

  const CommitCommand& command_;
  const FoundMount mount_;
  const ControlClient client_;
  std::vector<PendingFile> failed_;
  std::vector<PendingFile> left_out_;
  std::uint64_t unseen_ = 0;
};

}  // namespace

int run(const CommitCommand& command) {
  auto mount = find_serving_mount(command.directory);
  if (!mount) return complain(mount.error().message), kFailed;
  return Committing(command, *std::move(mount)).run();
}

}  // namespace lakefuse
