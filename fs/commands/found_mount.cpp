#include "fs/commands/found_mount.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "client/config.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// A process that is stopped listens, too.
bool somebody_listens(const stdfs::path& socket) {
  const auto line = LineSocket::connect(socket);
  return line || line.error().code == Errc::kTimeout;
}

FoundMount with_facts(const MountEntry& entry) {
  FoundMount found{entry.mountpoint, true, {}, {}};
  for (const auto& registry : MountRegistry::of_user(entry.user, process_environment())) {
    auto facts = registry.find(entry.mountpoint);
    if (!facts) continue;
    found.facts = *std::move(facts);
    found.socket = registry.socket_for(entry.mountpoint);
    if (somebody_listens(found.socket)) return found;  // Else another directory may know better.
  }
  if (!found.socket.empty()) return found;
  found.facts.mountpoint = entry.mountpoint;
  found.facts.uri = entry.source;
  return found;
}

bool is_dead(const FoundMount& mount) {
  if (is_dead_mount(mount.mountpoint)) return true;
  // Of another user's mount even root is told only that it may not look.
  const auto process = static_cast<pid_t>(mount.facts.pid);
  return process > 0 && ::kill(process, 0) != 0 && errno == ESRCH;
}

// Registered, but mounted no more: publishing what is left, or a process that was killed after its unmount.
void add_ending_mounts(std::vector<FoundMount>& found) {
  for (const auto& registry : MountRegistry::of_user(::geteuid(), process_environment())) {
    for (auto& facts : registry.all()) {
      const bool known = std::any_of(found.begin(), found.end(), [&](const FoundMount& mount) {
        return mount.mountpoint == facts.mountpoint;
      });
      if (known) continue;
      auto socket = registry.socket_for(facts.mountpoint);
      if (!somebody_listens(socket)) {
        registry.remove(facts.mountpoint);
        continue;
      }
      const stdfs::path mountpoint = facts.mountpoint;
      found.push_back({mountpoint, false, std::move(facts), std::move(socket)});
    }
  }
}

}  // namespace

Result<FoundMount> find_mount(const stdfs::path& directory) {
  const auto table = MountTable::read();
  if (!table) return table.error();
  const auto resolved = resolve_path(directory.empty() ? stdfs::path(".") : directory, *table);
  if (!resolved) return resolved.error();
  if (resolved->mount) return with_facts(*resolved->mount);
  std::vector<FoundMount> ending;
  add_ending_mounts(ending);
  for (auto& mount : ending) {
    if (mount.mountpoint == resolved->path) return std::move(mount);
  }
  return Error{Errc::kNotFound, resolved->path.string() +
                                    " is not inside a lakefuse mount; `lakefuse status` lists your mounts"};
}

Result<FoundMount> serving(FoundMount mount) {
  auto view = look_at(std::move(mount));
  if (view.trouble.empty()) return std::move(view.mount);
  const std::string place = view.mount.mountpoint.string();
  if (view.life != MountView::Life::kDead) return Error{Errc::kLocalIo, place + ": " + view.trouble};
  return Error{Errc::kLocalIo, place + " is dead (" + view.trouble +
                                   "): `lakefuse umount` clears it, `lakefuse mount` replaces it"};
}

Result<FoundMount> find_serving_mount(const stdfs::path& directory) {
  auto found = find_mount(directory);
  if (!found) return found;
  return serving(*std::move(found));
}

bool is_served(const MountEntry& entry) {
  const auto found = with_facts(entry);
  return !found.socket.empty() && somebody_listens(found.socket);
}

Result<std::vector<FoundMount>> find_mounts() {
  const auto table = MountTable::read();
  if (!table) return table.error();
  std::vector<FoundMount> found;
  for (const auto& entry : table->lakefuse_mounts()) {
    if (entry.user == ::geteuid() || ::geteuid() == 0) found.push_back(with_facts(entry));
  }
  add_ending_mounts(found);
  return found;
}

Result<std::vector<FoundMount>> find_mounts_of(const stdfs::path& directory) {
  auto found = find_mount(directory);
  if (found) return std::vector<FoundMount>{*std::move(found)};
  if (found.error().code != Errc::kNotFound || directory.empty()) return found.error();
  auto all = find_mounts();
  if (!all) return all.error();
  std::vector<FoundMount> users;
  for (auto& mount : *all) {
    std::error_code error;
    if (stdfs::equivalent(mount.facts.state_dir, directory, error)) users.push_back(std::move(mount));
  }
  if (users.empty()) {
    return Error{Errc::kNotFound, directory.string() +
                                      " is neither inside a lakefuse mount nor the state directory of one; "
                                      "`lakefuse recover` publishes what waits in a state directory"};
  }
  return users;
}

void forget(const FoundMount& mount) {
  for (const auto& registry : MountRegistry::of_user(::geteuid(), process_environment())) {
    if (registry.find(mount.mountpoint)) registry.remove(mount.mountpoint);
  }
}

MountView look_at(FoundMount mount, Ask ask) {
  MountView view;
  view.mount = std::move(mount);
  auto report = view.mount.socket.empty() ? Result<MountReport>(Error{Errc::kUnavailable, ""})
                                          : view.mount.client().status(ask);
  if (report) {
    view.life = view.mount.is_mounted ? MountView::Life::kServing : MountView::Life::kEnding;
    view.status = std::move(report->status);
  } else if (report.error().code != Errc::kUnavailable) {
    view.life = MountView::Life::kSilent;
    view.trouble = "it does not answer: " + report.error().message;
  } else if (view.mount.is_mounted && !is_dead(view.mount)) {
    view.life = MountView::Life::kSilent;
    view.trouble =
        "it is served, but not registered where this command looks (was it mounted with another "
        "XDG_RUNTIME_DIR, or by another user?)";
  } else {
    view.trouble = view.mount.facts.pid == 0
                       ? "the process that served it is gone"
                       : "its process " + std::to_string(view.mount.facts.pid) + " is gone";
  }
  return view;
}

}  // namespace lakefuse
