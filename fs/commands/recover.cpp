#include <algorithm>
#include <cstdio>

#include "cache/cached_store.h"
#include "cache/private_directory.h"
#include "cache/refusal.h"
#include "cache/spool.h"
#include "client/publisher.h"
#include "fs/commands/commands.h"
#include "fs/commands/left_bytes.h"
#include "fs/commands/mount_plan.h"
#include "fs/commands/render.h"
#include "fs/daemon.h"
#include "fs/exit_code.h"
#include "fs/filesystem.h"
#include "fs/log.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

std::string uri_of(const SpoolOwner& owner) {
  return "lakefs://" + owner.repository + "/" + owner.branch;
}

// Publishes what one branch's ended mounts left: as a mount does, only that nobody looks at it.
class Recovery {
 public:
  Recovery(const RecoverCommand& command, SpoolOwner owner) : command_(command), owner_(std::move(owner)) {}

  int run() {
    if (auto opened = open(); !opened) return refused(opened.error());
    Result<std::unique_ptr<Spool>> spool = Spool::open(command_.directory, owner_, 0);
    if (!spool) return refused({kLocalTrouble, spool.error().message});
    Publisher publisher(*plan_.objects);
    FilesystemOptions options = command_.filesystem;
    options.uri = uri_of(owner_) + "/";
    Filesystem filesystem(options, *plan_.objects, publisher, spool->get());
    FlushReport report;
    {
      ProgressLine progress("still to publish");
      report = filesystem.flush({.patience = command_.timeout, .open_files = true, .held_files = true},
                                [&](std::size_t n) { return progress.show(n), true; });
    }
    std::printf("%s: %s published\n", printable(uri_of(owner_)).c_str(),
                count_of(report.published.size(), "file").c_str());
    for (const auto& path : report.published) std::printf("    %s\n", printable(path).c_str());
    const MountStatus status = filesystem.status();
    for (const auto& failure : status.failures) complain(failure.message);
    const bool has_damage = tell_damage(status);
    if (report.failed.empty()) return has_damage || status.unseen_failures > 0 ? kNotOnLake : kDone;
    complain(count_of(report.failed.size(), "file") + " of it could not be published:");
    for (const auto& file : report.failed) std::fputs(render(file).c_str(), stderr);
    const bool has_conflict = std::any_of(report.failed.begin(), report.failed.end(),
                                          [](const auto& file) { return file.state == "conflict"; });
    if (has_conflict) complain("mount the branch and `lakefuse resolve` what is in conflict");
    return kNotOnLake;
  }

  // Bytes that no mount will publish as things are: where they are, for whoever copies them out.
  int refused(const Refusal& refusal) const {
    complain(uri_of(owner_) + ": " + refusal.sentence);
    if (is_final(refusal.cause)) {
      const auto noted = note_refusal(command_.directory, owner_, {refusal.cause, refusal.sentence});
      if (!noted) complain(noted.error().message);
    }
    const auto files = read_spools(command_.directory);
    if (!files) return refusal.exit_code;
    complain("its bytes stay where they are; `cp` copies them out, `lakefuse discard` drops them:");
    for (const auto& file : *files)
      if (file.owner == owner_) std::fputs(render(file).c_str(), stderr);
    return refusal.exit_code;
  }

 private:
  static bool tell_damage(const MountStatus& status) {
    std::string damaged;
    for (const auto& file : status.pending)
      if (file.state == "damaged") damaged += render(file);
    if (damaged.empty()) return false;
    complain("some of it cannot be read; `cp` copies it out, `lakefuse discard` drops it:");
    std::fputs(damaged.c_str(), stderr);
    return true;
  }

  Checked<void> open() {
    // Whoever may write there could name a lake of his own, and be told our key.
    if (auto ours = open_private_directory(command_.directory); !ours)
      return tl::unexpected(Refusal{kLocalTrouble, ours.error().message});
    AccessFlags flags = command_.access;
    flags.usual_endpoint = owner_.endpoint;
    auto access = load_access(flags, process_environment());
    if (!access) return tl::unexpected(no_way_in(access.error()));
    auto lake = Lake::open(*std::move(access));
    if (!lake) return tl::unexpected(Refusal{kUnreachable, lake.error().message});
    // Written down before slashes at its end were dropped.
    if ((*lake)->endpoint() != normalised_endpoint(owner_.endpoint).value_or(owner_.endpoint)) {
      return tl::unexpected(Refusal{
          kUnreachable, "it belongs to " + owner_.endpoint + ", and the configured endpoint is " +
                            (*lake)->endpoint() + "; name the other with --endpoint, and its credentials"});
    }
    MountCommand mount;
    mount.uri = {owner_.repository, owner_.branch, ""};
    auto plan = plan_mount(mount, **lake);
    if (!plan) return tl::unexpected(plan.error());
    if (plan->branch.empty())
      return tl::unexpected(Refusal{kWrongRef, "there is no branch of that name any more", Errc::kNotFound});
    plan_ = *std::move(plan);
    return {};
  }

  const RecoverCommand& command_;
  const SpoolOwner owner_;
  MountPlan plan_;
};

}  // namespace

int run(const RecoverCommand& command) {
  forbid_core_dumps();
  raise_limits();
  if (auto usable = check_state_directory(command.directory); !usable)
    return complain(usable.error().message), kLocalTrouble;
  const auto files = read_spools(command.directory);
  if (!files) return complain(files.error().message), kLocalTrouble;
  int code = kDone;
  const auto note = [&code](int outcome) {
    if (code == kDone) code = outcome;
  };
  std::vector<SpoolOwner> owners;
  for (const auto& file : *files) {
    if (file.owner.repository.empty()) {  // Of a format that we do not know, or damaged.
      std::fputs(render(file).c_str(), stderr);
      note(kNotOnLake);
    } else if (file.in_use) {
      std::printf("%s is mounted now: its mount publishes\n    %s\n", printable(uri_of(file.owner)).c_str(),
                  printable(file.record.path.empty() ? file.data_path.string() : file.record.path).c_str());
    } else if (std::find(owners.begin(), owners.end(), file.owner) == owners.end()) {
      owners.push_back(file.owner);
    }
  }
  for (auto& owner : owners) note(Recovery(command, std::move(owner)).run());
  if (files->empty()) std::printf("nothing waits in %s\n", printable(command.directory.string()).c_str());
  return code;
}

}  // namespace lakefuse
