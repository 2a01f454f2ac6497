#pragma once

// The command line as values. Parsing makes no call and touches no file; nothing on it is a secret (F3).

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "client/config.h"
#include "client/object_store.h"
#include "fs/filesystem.h"
#include "fs/log.h"

namespace lakefuse {

struct MountCommand {
  LakeUri uri;
  std::filesystem::path mountpoint;  // Absolute, symlinks unresolved.
  AccessFlags access;
  bool foreground = false;
  bool allow_other = false;
  bool nonempty = false;
  bool allow_core_dumps = false;
  std::vector<std::string> fuse_options;  // -o, without those that are ours (ro, rw, allow_other, nonempty).
  std::filesystem::path state_dir;
  std::filesystem::path cache_dir;
  std::uint64_t cache_bytes = 0;
  LogLevel log_level = LogLevel::kInfo;
  std::filesystem::path log_file;  // Empty: stderr in the foreground, below the state directory else.
  std::chrono::milliseconds umount_timeout{60'000};
  FilesystemOptions filesystem;  // uri, prefix and immutable_ref are set by the mount's checks.
};

struct UmountCommand {
  std::filesystem::path mountpoint;
  std::chrono::milliseconds timeout{60'000};
};

struct StatusCommand {
  std::filesystem::path directory;  // Empty: all of the user's mounts.
  bool json = false;
};

struct PendingCommand {
  std::filesystem::path directory;  // Empty: all of the user's mounts.
  bool json = false;
};

struct DiffCommand {
  std::filesystem::path directory;  // Empty: the working directory.
};

struct FlushCommand {
  std::filesystem::path directory;
  std::chrono::milliseconds timeout{60'000};
};

struct PrefetchCommand {
  std::vector<std::filesystem::path> paths;  // Files, and directories with all below them.
};

struct ResolveCommand {
  std::filesystem::path path;  // In a mount, or a file that lakefuse keeps.
  Decision decision = Decision::kTheirs;
};

struct DiscardCommand {
  std::filesystem::path path;  // As ResolveCommand's.
};

struct RecoverCommand {
  std::filesystem::path directory;  // A state directory.
  AccessFlags access;
  std::chrono::milliseconds timeout{60'000};
  FilesystemOptions filesystem;
};

struct CommitCommand {
  std::filesystem::path directory;
  std::string message;
  Metadata metadata;
  bool all = false;           // Others' changes go along, unasked.
  bool strict = false;        // Refuse where files would be left out.
  bool leave_failed = false;  // Commit although a publish failed; the file is left out.
  std::chrono::milliseconds timeout{60'000};
};

using Command =
    std::variant<MountCommand, UmountCommand, StatusCommand, PendingCommand, DiffCommand, FlushCommand,
                 CommitCommand, ResolveCommand, DiscardCommand, RecoverCommand, PrefetchCommand>;

// What the command line asked for was words: help, the version, or why it makes no sense.
struct Words {
  std::string text;
  int exit_code = 0;  // kDone: for stdout, else for stderr.
};

std::variant<Command, Words> parse_command_line(int argc, const char* const* argv,
                                                const Environment& environment);

// $XDG_STATE_HOME/lakefuse, else ~/.local/state/lakefuse; empty without either.
std::filesystem::path default_state_dir(const Environment& environment);
// $XDG_CACHE_HOME/lakefuse, else ~/.cache/lakefuse; empty without either.
std::filesystem::path default_cache_dir(const Environment& environment);

}  // namespace lakefuse
