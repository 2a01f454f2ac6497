#include "fs/log.h"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace lakefuse {
namespace {

// "2026-01-31T12:00:00.123+01:00 warn  text"
constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%e%z %v";

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

// One write(2) a line on a descriptor: whole lines even when two processes share the file. spdlog's own file
// sink follows symlinks and makes files that others can read.
class FdSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  FdSink(int fd, bool owned) : fd_(fd), owned_(owned) {}
  ~FdSink() override {
    if (owned_) ::close(fd_);
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    // A log that cannot be written must not stop a file system.
    [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
  }
  void flush_() override {}

  const int fd_;
  const bool owned_;
};

class Log {
 public:
  Log() { replace({std::make_shared<FdSink>(STDERR_FILENO, false)}, LogLevel::kInfo); }

  void replace(std::vector<std::shared_ptr<spdlog::sinks::sink>> sinks, LogLevel level) {
    auto next = std::make_shared<spdlog::logger>("lakefuse", sinks.begin(), sinks.end());
    next->set_formatter(std::make_unique<spdlog::pattern_formatter>(kPattern));
    next->set_level(to_spdlog(level));
    std::lock_guard lock(mutex_);
    logger_ = std::move(next);
  }

  std::shared_ptr<spdlog::logger> logger() {
    std::lock_guard lock(mutex_);
    return logger_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<spdlog::logger> logger_;  // Guarded by mutex_; itself safe to use from many threads.
};

// Never destroyed: threads may log while the process ends.
Log& log() {
  static Log* const the_log = new Log;
  return *the_log;
}

void write(spdlog::level::level_enum level, std::string_view word, std::string_view text) {
  const auto logger = log().logger();
  if (!logger->should_log(level)) return;
  const std::string line = std::string(word) + " " + printable(text);
  logger->log(level, spdlog::string_view_t(line.data(), line.size()));
}

// What is there already must be an ordinary file of ours; it keeps its mode, for whoever made it may want
// others to read it.
Result<int> open_log_file(const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& why) {
    return Error{Errc::kLocalIo, "cannot open the log file " + path.string() + ": " + why};
  };
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const int fd = ::open(path.c_str(), kFlags, S_IRUSR | S_IWUSR);
  if (fd < 0 && errno == ELOOP) return refuse("it is a symlink, which is not followed");
  if (fd < 0 && errno == ENXIO) return refuse("it is a FIFO or a socket, not an ordinary file");
  if (fd < 0) return refuse(std::strerror(errno));
  struct stat facts {};
  std::string why;
  if (::fstat(fd, &facts) != 0)
    why = std::strerror(errno);
  else if (!S_ISREG(facts.st_mode))
    why = "it is not an ordinary file";
  else if (facts.st_uid != ::geteuid())
    why = "it belongs to another user (uid " + std::to_string(facts.st_uid) + ")";
  if (why.empty()) return fd;
  ::close(fd);
  return refuse(why);
}

}  // namespace

void log_debug(std::string_view text) {
  write(spdlog::level::debug, "debug", text);
}
void log_info(std::string_view text) {
  write(spdlog::level::info, "info ", text);
}
void log_warn(std::string_view text) {
  write(spdlog::level::warn, "warn ", text);
}
void log_error(std::string_view text) {
  write(spdlog::level::err, "error", text);
}

bool log_is_on(LogLevel level) {
  return log().logger()->should_log(to_spdlog(level));
}

Result<> open_log(const LogOptions& options) {
  std::vector<std::shared_ptr<spdlog::sinks::sink>> sinks;
  if (!options.file.empty()) {
    const auto opened = open_log_file(options.file);
    if (!opened) return opened.error();
    sinks.push_back(std::make_shared<FdSink>(*opened, true));
  }
  if (options.file.empty() || options.also_stderr) {
    auto terminal = std::make_shared<FdSink>(STDERR_FILENO, false);
    if (!options.file.empty()) terminal->set_level(spdlog::level::warn);
    sinks.push_back(std::move(terminal));
  }
  log().replace(std::move(sinks), options.level);
  return {};
}

Result<LogLevel> parse_log_level(std::string_view word) {
  if (word == "debug") return LogLevel::kDebug;
  if (word == "info") return LogLevel::kInfo;
  if (word == "warn" || word == "warning") return LogLevel::kWarn;
  if (word == "error") return LogLevel::kError;
  if (word == "off") return LogLevel::kOff;
  return Error{Errc::kInvalid, "'" + printable(word) + "' is no log level: debug, info, warn, error or off"};
}

std::string printable(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool is_c1 =
        byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F, terminals obey them, too.
    if (byte >= 0x20 && byte != 0x7f && !is_c1) {
      out += text[i];
      continue;
    }
    const auto code = is_c1 ? next : byte;
    out += "\\x";
    out += kHex[code >> 4];
    out += kHex[code & 0xf];
    if (is_c1) ++i;
  }
  return out;
}

}  // namespace lakefuse
