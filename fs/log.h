#pragma once

// What the program tells its operator. One log a process; every room of fs/ writes to it. Safe to call from
// any thread, before open_log() too (then to stderr, from "info" on). A call writes its line at once and
// never throws. The text is data, not a format; control characters in it are escaped, for names come from the
// server (F4). No secret and no presigned URL belongs in it (F3).

#include <filesystem>
#include <string>
#include <string_view>

#include "client/error.h"

namespace lakefuse {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

void log_debug(std::string_view text);
void log_info(std::string_view text);
void log_warn(std::string_view text);
void log_error(std::string_view text);

// False where a debug line would be thrown away: ask before building a costly one.
[[nodiscard]] bool log_is_on(LogLevel level);

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  std::filesystem::path file;  // Appended to, made with mode 0600 where it is missing; empty: stderr.
  bool also_stderr = false;    // Warnings and errors of a background mount that still has its terminal.
};

// Points the log elsewhere. Never waits. kLocalIo: the file cannot be opened, is a symlink or no ordinary
// file, or belongs to another user (for root, too); the log stays where it was.
Result<> open_log(const LogOptions& options);

// "debug", "info", "warn" (or "warning"), "error", "off". kInvalid.
Result<LogLevel> parse_log_level(std::string_view word);

// `text` with control characters as \xNN, so that a name cannot forge a line.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace lakefuse
