#include "fs/mount_registry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <span>

#include "cache/disk.h"
#include "cache/private_directory.h"
#include "fs/control_wire.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// FNV-1a, 64 bits: a short name for a path of any length. The facts hold the path itself.
std::string name_of(const stdfs::path& mountpoint) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : mountpoint.native()) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

bool is_trustworthy(const stdfs::path& directory, uid_t user) {
  struct stat found {};
  return ::lstat(directory.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == user &&
         (found.st_mode & 022) == 0;
}

std::optional<MountFacts> read_facts(const stdfs::path& file) {
  constexpr std::size_t kMostBytes = 64 << 10;
  const UniqueFd opened(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat found {};
  if (!opened || ::fstat(opened.get(), &found) != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
  std::string text(kMostBytes, '\0');
  const auto got = read_fully(opened.get(), 0, std::as_writable_bytes(std::span(text)));
  if (!got) return std::nullopt;
  text.resize(*got);
  auto facts = parse_facts(text);
  if (!facts) return std::nullopt;  // Half written, or of another version: as good as none.
  return *std::move(facts);
}

// Where XDG says, when it is this user's own: `sudo -E` hands on another's.
stdfs::path xdg_directory(const Environment& environment) {
  const auto base = environment("XDG_RUNTIME_DIR");
  struct stat found {};
  if (!base || !base->starts_with('/') || ::stat(base->c_str(), &found) != 0 || found.st_uid != ::geteuid())
    return {};
  return stdfs::path(*base) / "lakefuse";
}

stdfs::path fallback_directory(uid_t user) {
  return user == 0 ? stdfs::path("/run/lakefuse") : stdfs::path("/tmp/lakefuse-" + std::to_string(user));
}

}  // namespace

Result<MountRegistry> MountRegistry::ours(const Environment& environment) {
  auto directory = xdg_directory(environment);
  if (directory.empty()) directory = fallback_directory(::geteuid());
  if (auto opened = open_private_directory(directory); !opened) return opened.error();
  return MountRegistry(std::move(directory));
}

std::vector<MountRegistry> MountRegistry::of_user(uid_t user, const Environment& environment) {
  std::vector<stdfs::path> candidates;
  if (user == ::geteuid()) candidates.push_back(xdg_directory(environment));
  candidates.push_back("/run/user/" + std::to_string(user) + "/lakefuse");
  candidates.push_back(fallback_directory(user));
  std::vector<MountRegistry> found;
  for (const auto& candidate : candidates) {
    const bool seen = !found.empty() && found.front().directory_ == candidate;
    if (!seen && !candidate.empty() && is_trustworthy(candidate, user))
      found.push_back(MountRegistry(candidate));
  }
  return found;
}

stdfs::path MountRegistry::socket_for(const stdfs::path& mountpoint) const {
  return directory_ / (name_of(mountpoint) + ".sock");
}

Result<> MountRegistry::add(const MountFacts& facts) const {
  const auto directory = open_private_directory(directory_);
  if (!directory) return directory.error();
  const std::string name = name_of(facts.mountpoint) + ".json";
  auto put = put_text(directory->get(), name, facts_text(facts) + '\n', Put::kRenamed);
  return put ? put : put.error().in((directory_ / name).string());
}

void MountRegistry::remove(const stdfs::path& mountpoint) const {
  ::unlink((directory_ / (name_of(mountpoint) + ".json")).c_str());
  ::unlink(socket_for(mountpoint).c_str());
}

void MountRegistry::remove_own(const MountFacts& facts) const {
  if (who_holds(facts) != Held::kAnothers) remove(facts.mountpoint);
}

MountRegistry::Held MountRegistry::who_holds(const MountFacts& facts) const {
  const auto now = find(facts.mountpoint);
  if (now && (now->pid != facts.pid || now->since_seconds != facts.since_seconds)) return Held::kAnothers;
  struct stat found {};
  return now && ::lstat(socket_for(facts.mountpoint).c_str(), &found) == 0 ? Held::kOurs : Held::kLost;
}

Result<MountRegistry> MountRegistry::anew() const {
  struct stat above {};
  const bool has_parent = ::stat(directory_.parent_path().c_str(), &above) == 0;
  MountRegistry next(has_parent ? directory_ : fallback_directory(::geteuid()));
  if (auto opened = open_private_directory(next.directory_); !opened) return opened.error();
  return next;
}

std::optional<MountFacts> MountRegistry::find(const stdfs::path& mountpoint) const {
  auto facts = read_facts(directory_ / (name_of(mountpoint) + ".json"));
  if (!facts || facts->mountpoint != mountpoint) return std::nullopt;
  return facts;
}

std::vector<MountFacts> MountRegistry::all() const {
  std::vector<MountFacts> found;
  std::error_code error;
  for (const auto& item : stdfs::directory_iterator(directory_, error)) {
    if (item.path().extension() != ".json") continue;
    if (auto facts = read_facts(item.path())) found.push_back(*std::move(facts));
  }
  return found;
}

}  // namespace lakefuse
