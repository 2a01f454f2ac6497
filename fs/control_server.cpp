#include "fs/control_server.h"

#include <unistd.h>

#include <atomic>

#include "cache/guarded.h"
#include "fs/log.h"
#include "fs/others_count.h"

namespace lakefuse {
namespace {

constexpr std::chrono::seconds kRequestTimeout{10};  // A caller sends its one line at once.
constexpr std::size_t kMostCallers = 64;             // More than people have terminals.

// A program that is just ending, or looks at everybody's descriptors, keeps a mount busy no longer.
constexpr std::chrono::seconds kBusyPatience{1};
constexpr std::chrono::milliseconds kBusyPause{20};

}  // namespace

struct ControlServer::Caller {
  explicit Caller(LineSocket socket) : line(std::move(socket)) {}
  LineSocket line;
  std::atomic<bool> has_asked = false;
  std::atomic<bool> finished = false;
  std::jthread thread;
};

Result<std::unique_ptr<ControlServer>> ControlServer::open(const MountRegistry& registry,
                                                           ControlledMount mount) {
  // In this order: a mount that ends at this place just now sees whose it is.
  if (auto added = registry.add(mount.facts); !added) return added.error();
  auto listener = LineSocket::listen(registry.socket_for(mount.facts.mountpoint));
  if (!listener) {
    registry.remove(mount.facts.mountpoint);
    return listener.error();
  }
  return std::unique_ptr<ControlServer>(new ControlServer(registry, std::move(mount), *std::move(listener)));
}

ControlServer::ControlServer(const MountRegistry& registry, ControlledMount mount, LineSocket listener)
    : mount_(std::move(mount)),
      registry_(registry),
      listener_(std::move(listener)),
      listening_([this] { listen(); }) {}

ControlServer::~ControlServer() {
  finish({});
}

void ControlServer::listen() {
  for (;;) {
    auto line = listener_.accept(mount_.look_after);
    stay_registered();
    std::lock_guard lock(mutex_);
    if (closing_) return;
    if (!line) {
      if (line.error().code == Errc::kInterrupted) return;
      if (line.error().code == Errc::kTimeout) continue;
      log_warn("control socket: " + line.error().message);
      ::usleep(100'000);  // Out of descriptors, most likely: not in a tight loop.
      continue;
    }
    drop_finished_callers();
    if (callers_.size() >= kMostCallers) continue;
    const auto begun = guarded([&] {
      auto& caller = *callers_.emplace_back(std::make_unique<Caller>(*std::move(line)));
      try {
        caller.thread = std::jthread([this, &caller] { serve(caller); });
      } catch (...) {
        callers_.pop_back();
        throw;
      }
    });
    if (!begun) log_warn("control socket: " + begun.error().message);
  }
}

// No command finds a mount whose files in the registry are gone.
void ControlServer::stay_registered() {
  const Moment now = std::chrono::steady_clock::now();
  if (now - looked_ < mount_.look_after) return;
  looked_ = now;
  if (registry_.who_holds(mount_.facts) != MountRegistry::Held::kLost) return;
  const auto registry = registry_.anew();
  std::lock_guard lock(mutex_);
  if (closing_ || !registry || !registry->add(mount_.facts)) return;
  auto listener = LineSocket::listen(registry->socket_for(mount_.facts.mountpoint));
  if (!listener) return;
  log_info("registered anew: what other programs had of it was removed");
  registry_ = *registry;
  listener_ = *std::move(listener);
}

// REQUIRES: mutex_ is held.
void ControlServer::drop_finished_callers() {
  callers_.remove_if([](const auto& caller) { return caller->finished.load(); });
}

void ControlServer::serve(Caller& caller) {
  const auto user = caller.line.peer_user();
  const auto answered = guarded([&]() -> Result<std::string> {
    if (!user || (*user != ::geteuid() && *user != 0))
      return Error{Errc::kDenied, "this mount belongs to another user"};
    auto line = caller.line.read_line(kRequestTimeout);
    caller.has_asked = true;
    const auto request = line ? parse_request(*line) : Result<ControlRequest>(line.error());
    return request ? answer(caller.line, *request) : Result<std::string>(request.error());
  });
  // Whoever has gone does not hear it, and that is all right.
  std::ignore =
      guarded([&] { return caller.line.write_line(answered ? *answered : error_line(answered.error())); });
  caller.line.wake();
  caller.finished = true;
}

Result<std::string> ControlServer::answer(LineSocket& line, const ControlRequest& request) {
  const std::string& branch = mount_.facts.branch;
  const bool needs_branch =
      request.ask == Ask::kUncommitted || request.ask == Ask::kOthers || request.ask == Ask::kCommit;
  if (needs_branch && branch.empty()) {
    return Error{Errc::kReadOnly,
                 mount_.facts.uri + " is no branch: it has no uncommitted changes and takes no commit"};
  }
  const bool leads_to_a_change =
      request.ask == Ask::kOthers || request.ask == Ask::kCommit || request.ask == Ask::kDecide;
  if (leads_to_a_change && mount_.facts.read_only) return Error{Errc::kReadOnly, "this mount is read-only"};
  switch (request.ask) {
    case Ask::kPending:
      mount_.control->look_at_theirs();
      [[fallthrough]];
    case Ask::kStatus:
      return done_line(mount_.facts, mount_.control->status());
    case Ask::kFlush:
      return flush(line, request.flush);
    case Ask::kUncommitted: {
      const auto page = mount_.versions->uncommitted(branch, "", request.after);
      if (!page) return page.error();
      return done_line(*page);
    }
    case Ask::kOthers:
      return others(line);
    case Ask::kCommit: {
      const auto made = mount_.versions->commit(branch, request.message, request.metadata);
      if (!made) return made.error();
      log_info("committed " + made->id + " on " + branch);
      return done_line(*made);
    }
    case Ask::kDecide: {
      const auto said = mount_.control->decide(request.which, request.decision);
      if (!said) return said.error();
      log_info(*said);
      return done_line(*said);
    }
    case Ask::kUnmount:
      return unmount(line, request.flush.patience);
  }
  return Error{Errc::kUnsupported, "unknown request"};
}

// True while there is somebody to tell.
bool ControlServer::tell(LineSocket& line, std::size_t waiting) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return false;
  }
  return !line.is_left_alone() && line.write_line(progress_line(waiting)).has_value();
}

Result<std::string> ControlServer::flush(LineSocket& line, const FlushOptions& options) {
  return done_line(mount_.control->flush(options, [&](std::size_t waiting) { return tell(line, waiting); }));
}

Result<std::string> ControlServer::others(LineSocket& line) {
  const auto report = count_others(*mount_.versions, *mount_.lake, *mount_.control, mount_.facts.branch,
                                   [&](std::size_t looked_at) { return tell(line, looked_at); });
  if (!report) return report.error();
  return done_line(*report);
}

Result<std::string> ControlServer::unmount(LineSocket& line, std::chrono::milliseconds patience) {
  const Moment end = std::chrono::steady_clock::now() + patience;
  // Open files are left for the end: while they are open, the mount is busy and this goes no further.
  const FlushOptions options{.patience = patience, .open_files = false, .held_files = true};
  std::ignore = mount_.control->flush(options, [&](std::size_t waiting) { return tell(line, waiting); });
  if (line.is_left_alone()) return Error{Errc::kInterrupted, "umount was given up"};
  {
    std::lock_guard lock(mutex_);
    if (closing_) return done_line(end_.value_or(FlushReport{}));  // Somebody else was faster.
    asked_end_ = end;
  }
  // The kernel knows of the files that are open in this mount namespace, we of those in containers, too.
  const auto stop = [&]() -> Result<> {
    if (mount_.control->status().open_handles == 0) return mount_.stop();
    return Error{Errc::kBusy, mount_.facts.mountpoint.string() +
                                  " is busy: a program has files open below it, here or in a container"};
  };
  auto stopped = stop();
  for (const Moment until = std::chrono::steady_clock::now() + kBusyPatience;
       !stopped && stopped.error().code == Errc::kBusy && std::chrono::steady_clock::now() < until &&
       !line.is_left_alone();
       stopped = stop()) {
    std::this_thread::sleep_for(kBusyPause);
  }
  if (!stopped) {
    std::lock_guard lock(mutex_);
    asked_end_.reset();
    return stopped.error();
  }
  return wait_for_end(line);
}

Result<std::string> ControlServer::wait_for_end(LineSocket& line) {
  std::unique_lock lock(mutex_);
  while (!end_ && !closing_) {
    changed_.wait_for(lock, std::chrono::milliseconds(500));
    const std::size_t waiting = still_to_publish_;
    lock.unlock();
    std::ignore = tell(line, waiting);  // The mount ends, whether anybody listens or not.
    lock.lock();
  }
  return done_line(end_.value_or(FlushReport{}));
}

std::optional<Moment> ControlServer::asked_end() {
  std::lock_guard lock(mutex_);
  return asked_end_;
}

void ControlServer::tell_progress(std::size_t waiting) {
  std::lock_guard lock(mutex_);
  still_to_publish_ = waiting;
}

void ControlServer::finish(const FlushReport& report) {
  std::list<std::unique_ptr<Caller>> callers;
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    end_ = report;
    closing_ = true;
    callers.swap(callers_);
    listener_.wake();
  }
  changed_.notify_all();
  listening_.join();
  for (const auto& caller : callers) {
    if (!caller->has_asked) caller->line.wake();
  }
  callers.clear();  // Joins them; what they do for the network is under its deadlines.
  registry_.remove_own(mount_.facts);
}

}  // namespace lakefuse
