#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <optional>
#include <thread>

#include "cache/cached_store.h"
#include "cache/escaped_exceptions.h"
#include "cache/guarded.h"
#include "cache/private_directory.h"
#include "cache/spool.h"
#include "client/publisher.h"
#include "fs/commands/commands.h"
#include "fs/commands/mount_end.h"
#include "fs/commands/mount_plan.h"
#include "fs/control_server.h"
#include "fs/daemon.h"
#include "fs/filesystem.h"
#include "fs/fuse_session.h"
#include "fs/kernel_read_ahead.h"
#include "fs/log.h"
#include "fs/mount_probe.h"
#include "fs/mount_table.h"
#include "fs/signal_thread.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// The spool leaves this much of the disk to others: 256 MiB, or a fiftieth of a small disk.
std::uint64_t spool_floor(stdfs::path directory) {
  constexpr std::uint64_t kFloor = std::uint64_t{256} << 20;
  struct statvfs disk {};
  while (::statvfs(directory.c_str(), &disk) != 0) {  // The first mount's directory is not there yet.
    if (errno != ENOENT || !directory.has_relative_path()) return kFloor;
    directory = directory.parent_path();
  }
  return std::min<std::uint64_t>(kFloor, std::uint64_t{disk.f_blocks} * disk.f_frsize / 50);
}

// Opens what a mount stands on, from the lake up, and serves it until it is unmounted. Members are destroyed
// in the reverse order: nothing outlives what it points at.
class Mounting {
 public:
  Mounting(const MountCommand& command, Readiness& readiness)
      : command_(command),
        readiness_(readiness),
        end_(command.umount_timeout),
        signals_(
            std::in_place, [this](int signal) { end_.first_signal(signal); },
            [this](int signal) { end_.second_signal(signal); }) {}

  ~Mounting() { signals_.reset(); }  // Before what a signal would touch.

  int run() {
    if (auto done = open(); !done) return refused(done.error());
    return serve();
  }

 private:
  Checked<void> open() {
    using Step = Checked<void> (Mounting::*)();
    for (const Step step : {&Mounting::keep_apart, &Mounting::open_early_log, &Mounting::open_lake,
                            &Mounting::open_log, &Mounting::open_cache, &Mounting::open_spool,
                            &Mounting::find_place, &Mounting::mount, &Mounting::open_control}) {
      if (auto done = (this->*step)(); !done) return done;
    }
    return {};
  }

  // A mount hides what lies below its mount point: so it would the bytes that wait, whose place is told.
  Checked<void> keep_apart() {
    const auto table = MountTable::read();
    if (!table) return {};  // find_place() says so.
    const auto real = [&](const stdfs::path& path) {
      const auto resolved = resolve_path(path, *table);
      if (!resolved) return path;
      return resolved->below.empty() ? resolved->path : resolved->path / resolved->below;
    };
    const auto above = real(command_.mountpoint);
    for (const auto& [place, flag] :
         {std::pair(command_.state_dir, "--state-dir"), std::pair(command_.cache_dir, "--cache-dir")}) {
      const auto below = real(place);
      if (std::mismatch(above.begin(), above.end(), below.begin(), below.end()).first == above.end())
        return trouble(
            Error{Errc::kInvalid, place.string() + " lies below the mount point, which would hide it"}, flag);
    }
    return {};
  }

  // Where the user named the log or watches it, it begins at once; else once there is a state directory.
  Checked<void> open_early_log() {
    if (command_.log_file.empty() && !command_.foreground) return {};
    log_file_ = command_.log_file;
    return start_log();
  }

  Checked<void> open_log() {
    if (log_file_.empty() && !command_.foreground) {
      const auto logs = command_.state_dir / "logs";
      if (auto opened = open_private_directory(command_.state_dir); !opened)
        return trouble(opened.error(), "--state-dir");
      if (auto opened = open_private_directory(logs); !opened) return trouble(opened.error(), "--state-dir");
      log_file_ = logs / (command_.mountpoint.filename().string() + ".log");
      if (auto started = start_log(); !started) return started;
    }
    log_info("lakefuse " LAKEFUSE_VERSION " mounts " + options_.uri);
    for (const auto& note : plan_.notes) log_info(note);
    for (const auto& warning : plan_.warnings) warn(warning);
    return {};
  }

  Checked<void> start_log() {
    tell_of_escaped_exceptions([](std::string_view what) { log_error(what); });
    auto opened = lakefuse::open_log({.level = command_.log_level, .file = log_file_});
    if (!opened) {
      log_file_.clear();  // The log is stderr still: once is enough.
      return trouble(opened.error(), "--log-file");
    }
    return {};
  }

  Checked<void> open_lake() {
    auto access = load_access(command_.access, process_environment());
    if (!access) return tl::unexpected(no_way_in(access.error()));
    auto lake = Lake::open(*std::move(access));
    if (!lake) {
      return tl::unexpected(
          Refusal{lake.error().code == Errc::kInvalid ? kUnreachable : kLocalTrouble, lake.error().message});
    }
    lake_ = *std::move(lake);
    auto plan = plan_mount(command_, *lake_);
    if (!plan) return tl::unexpected(plan.error());
    plan_ = *std::move(plan);
    options_ = command_.filesystem;
    options_.uri = "lakefs://" + command_.uri.repository + "/" + command_.uri.ref + "/" + command_.uri.prefix;
    options_.prefix = command_.uri.prefix;
    options_.read_only = plan_.read_only;
    options_.immutable_ref = plan_.branch.empty();
    return {};
  }

  Checked<void> open_cache() {
    auto cache = CachedStore::open(*plan_.objects, command_.cache_dir, command_.cache_bytes);
    if (!cache) return trouble(cache.error(), "--cache-dir");
    cache_ = *std::move(cache);
    return {};
  }

  Checked<void> open_spool() {
    publisher_.emplace(*plan_.objects);
    if (plan_.read_only) return {};
    if (is_on_tmpfs(command_.state_dir)) {
      warn(
          "the state directory " + command_.state_dir.string() +
          " is in memory (tmpfs): what is not on the lake yet does not survive a power cut; name a disk with "
          "--state-dir");
    }
    auto spool = Spool::open(command_.state_dir, {lake_->endpoint(), plan_.repository.id, plan_.branch},
                             spool_floor(command_.state_dir));
    if (!spool) return trouble(spool.error(), "--state-dir");
    spool_ = *std::move(spool);
    return {};
  }

  Checked<void> find_place() {
    auto place = check_mountpoint(command_);
    if (!place) return tl::unexpected(place.error());
    mountpoint_ = *std::move(place);
    struct stat facts {};
    if (::stat(mountpoint_.c_str(), &facts) == 0) below_ = facts.st_dev;
    return {};
  }

  Checked<void> mount() {
    filesystem_.emplace(options_, *cache_, *publisher_, spool_.get());
    auto session = FuseSession::mount(*filesystem_, {.mountpoint = mountpoint_,
                                                     .source = options_.uri,
                                                     .allow_other = command_.allow_other,
                                                     .read_only = plan_.read_only,
                                                     .fuse_options = command_.fuse_options});
    if (!session) return tl::unexpected(Refusal{kLocalTrouble, session.error().message});
    session_ = *std::move(session);
    end_.begin(*filesystem_, *session_);
    return {};
  }

  Checked<void> open_control() {
    MountFacts facts;
    facts.mountpoint = mountpoint_;
    facts.uri = options_.uri;
    facts.endpoint = lake_->endpoint();
    facts.repository = plan_.repository.id;
    facts.branch = plan_.branch;
    facts.commit = plan_.commit;
    facts.read_only = plan_.read_only;
    facts.state_dir = command_.state_dir;
    facts.log_file = log_file_;
    facts.pid = ::getpid();
    facts.since_seconds = std::time(nullptr);
    facts.version = LAKEFUSE_VERSION;
    auto registry = MountRegistry::ours(process_environment());
    if (!registry) return trouble(registry.error(), "XDG_RUNTIME_DIR");
    auto control = ControlServer::open(*registry, {.facts = std::move(facts),
                                                   .control = &*filesystem_,
                                                   .versions = plan_.versions.get(),
                                                   .lake = plan_.objects.get(),
                                                   .stop = [this] { return session_->stop(false); }});
    if (!control) return trouble(control.error(), "XDG_RUNTIME_DIR");
    control_ = *std::move(control);
    return {};
  }

  int serve() {
    bool answers = true;
    Result<> served;
    {
      const std::jthread probe([&] {
        const auto ready = guarded([&]() -> Result<bool> { return become_ready(); });
        answers = ready.value_or(false);
        if (!ready) std::ignore = session_->stop(true);
      });
      served = session_->serve();
    }
    if (!served) log_error("the mount ended: " + served.error().message);
    const bool all_on_lake = end_.publish_rest(*control_);
    log_info("unmounted " + mountpoint_.string());
    if (!answers) return kLocalTrouble;
    if (!served) return kFailed;
    return all_on_lake ? kDone : kNotOnLake;
  }

  // The mount serves when it answers: a call through the kernel says so.
  bool become_ready() {
    const auto device = probe_mount(mountpoint_);
    if (!device || *device == below_) {
      say("the mount at " + mountpoint_.string() +
          " does not serve: " + (device ? "another file system lies there" : device.error().message));
      std::ignore = session_->stop(true);
      return false;
    }
    raise_kernel_read_ahead(*device);
    log_info("serving " + options_.uri + " at " + mountpoint_.string() +
             (plan_.read_only ? ", read-only" : ""));
    readiness_.ready();
    return true;
  }

  // A local failure, and the flag that would mend it.
  static tl::unexpected<Refusal> trouble(const Error& error, const std::string& flag) {
    return tl::unexpected(Refusal{kLocalTrouble, error.message + " (" + flag + " names another place)"});
  }

  // The log may be a file: then the user hears it as well.
  void warn(const std::string& text) {
    log_warn(text);
    if (!log_file_.empty()) std::fprintf(stderr, "lakefuse: warning: %s\n", text.c_str());
  }

  void say(const std::string& sentence) {
    if (!log_file_.empty()) log_error(sentence);
    std::fprintf(stderr, "lakefuse: %s\n", printable(sentence).c_str());
  }

  int refused(const Refusal& refusal) {
    say(refusal.sentence);
    return refusal.exit_code;
  }

  const MountCommand& command_;
  Readiness& readiness_;
  MountEnd end_;
  std::optional<SignalThread> signals_;  // Made before any other thread.
  stdfs::path log_file_;                 // Empty: stderr.
  FilesystemOptions options_;
  std::shared_ptr<Lake> lake_;
  MountPlan plan_;
  std::unique_ptr<CachedStore> cache_;
  std::optional<Publisher> publisher_;
  std::unique_ptr<Spool> spool_;  // Null when read-only.
  stdfs::path mountpoint_;        // Without symlinks.
  dev_t below_ = 0;               // What the mount point lies on.
  std::optional<Filesystem> filesystem_;
  std::unique_ptr<FuseSession> session_;
  std::unique_ptr<ControlServer> control_;
};

}  // namespace

int run(const MountCommand& command) {
  std::signal(SIGPIPE, SIG_IGN);
  if (!command.allow_core_dumps) forbid_core_dumps();
  raise_limits();
  const auto work = [&](Readiness& readiness) { return Mounting(command, readiness).run(); };
  if (!command.foreground) return run_in_background(work);
  return work(*foreground_readiness());
}

}  // namespace lakefuse
