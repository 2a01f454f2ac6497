#include "fs/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/cache/support.h"

namespace lakefuse::test {
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// The log goes back to stderr when a test ends.
struct LogRestored {
  ~LogRestored() { std::ignore = open_log({}); }
};

}  // namespace

TEST_CASE("log: a line is written at once, with its level, and lines below the level are not") {
  const ScratchDirectory scratch;
  const LogRestored restored;
  const auto file = scratch.path() / "lakefuse.log";
  REQUIRE(open_log({.level = LogLevel::kInfo, .file = file}));
  log_debug("too quiet");
  log_info("it serves");
  log_warn("it may");
  log_error("it does not");
  const auto text = text_of(file);
  CHECK(text.find("too quiet") == std::string::npos);
  CHECK(text.find("info  it serves\n") != std::string::npos);
  CHECK(text.find(" warn  it may\n") != std::string::npos);
  CHECK(text.find("error it does not\n") != std::string::npos);
  CHECK_FALSE(log_is_on(LogLevel::kDebug));
  CHECK(log_is_on(LogLevel::kWarn));
}

TEST_CASE("log: F4 a name from the server can neither forge a line nor be taken for a format") {
  const ScratchDirectory scratch;
  const LogRestored restored;
  const auto file = scratch.path() / "lakefuse.log";
  REQUIRE(open_log({.file = file}));
  log_info("a\n2026-01-01 error b {} %s \x1b[2J");
  const auto text = text_of(file);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(text.find("a\\x0a2026-01-01 error b {} %s \\x1b[2J") != std::string::npos);
}

TEST_CASE("log: F4 what a terminal obeys is shown and not done, in UTF-8's two bytes, too") {
  CHECK(printable("\xc2\x9b"
                  "2J\xc2\xa0\xc3\x9b\x7f") ==
        "\\x9b"
        "2J\xc2\xa0\xc3\x9b\\x7f");
  CHECK(printable("\xc2") == "\xc2");
}

TEST_CASE("log: F3 nobody else may read the file, and a symlink in its place is refused") {
  const ScratchDirectory scratch;
  const LogRestored restored;
  const auto file = scratch.path() / "lakefuse.log";
  REQUIRE(open_log({.file = file}));
  struct stat facts {};
  REQUIRE(::stat(file.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0600);
  std::filesystem::create_symlink("/dev/null", scratch.path() / "link.log");
  const auto opened = open_log({.file = scratch.path() / "link.log"});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::kLocalIo);
}

TEST_CASE("log: only an ordinary file of this user's is written to, and none is waited for") {
  const ScratchDirectory scratch;
  const LogRestored restored;
  const auto refused = [&](const char* name, const std::string& why) {
    const auto opened = open_log({.file = scratch.path() / name});
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Errc::kLocalIo);
    CAPTURE(opened.error().message);
    CHECK(opened.error().message.find(why) != std::string::npos);
  };
  const auto fifo = scratch.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  refused("fifo", "FIFO");
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  refused("fifo", "not an ordinary file");
  ::close(reader);
  const auto file = scratch.path() / "ours";
  std::ofstream(file) << "before\n";
  REQUIRE(::chmod(file.c_str(), 0640) == 0);
  REQUIRE(open_log({.file = file}));
  CHECK(text_of(file) == "before\n");
  struct stat facts {};
  REQUIRE(::stat(file.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0640);
  if (::geteuid() != 0) return;
  std::ofstream(scratch.path() / "foreign") << "theirs";
  REQUIRE(::chown((scratch.path() / "foreign").c_str(), 65534, 65534) == 0);
  refused("foreign", "belongs to another user");
  CHECK(text_of(scratch.path() / "foreign") == "theirs");
}

TEST_CASE("log: levels are read by their names") {
  CHECK(parse_log_level("warning").value() == LogLevel::kWarn);
  CHECK(parse_log_level("off").value() == LogLevel::kOff);
  CHECK(parse_log_level("loud").error().message == "'loud' is no log level: debug, info, warn, error or off");
}

}  // namespace lakefuse::test
