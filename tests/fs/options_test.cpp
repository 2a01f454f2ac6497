#include "fs/options.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include "fs/exit_code.h"
#include "fs/quantity.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

std::optional<std::string> home_only(const std::string& name) {
  if (name == "HOME") return "/home/user";
  return std::nullopt;
}

std::variant<Command, Words> parse(std::vector<const char*> words,
                                   const Environment& environment = home_only) {
  words.insert(words.begin(), "lakefuse");
  return parse_command_line(static_cast<int>(words.size()), words.data(), environment);
}

template <class T>
T command_of(std::vector<const char*> words) {
  auto parsed = parse(std::move(words));
  if (const auto* const complaint = std::get_if<Words>(&parsed)) FAIL(complaint->text);
  return std::get<T>(std::get<Command>(std::move(parsed)));
}

std::string complaint_of(std::vector<const char*> words) {
  const auto parsed = parse(std::move(words));
  REQUIRE(std::holds_alternative<Words>(parsed));
  CHECK(std::get<Words>(parsed).exit_code == kUsage);
  return std::get<Words>(parsed).text;
}

bool holds(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

TEST_CASE("options: mount with nothing said has the defaults of the design") {
  const auto mount = command_of<MountCommand>({"mount", "lakefs://repo/main/data/", "/mnt/lake/"});
  CHECK(mount.uri.repository == "repo");
  CHECK(mount.uri.ref == "main");
  CHECK(mount.uri.prefix == "data/");
  CHECK(mount.mountpoint == "/mnt/lake");
  CHECK(mount.state_dir == "/home/user/.local/state/lakefuse");
  CHECK(mount.cache_dir == "/home/user/.cache/lakefuse");
  CHECK(mount.cache_bytes == std::uint64_t{10} << 30);
  CHECK(mount.umount_timeout == 60s);
  CHECK_FALSE(mount.foreground);
  CHECK_FALSE(mount.filesystem.read_only);
  CHECK(mount.filesystem.metadata_ttl == 1s);
  CHECK(mount.filesystem.temporary_age == 3s);
  CHECK(mount.filesystem.on_conflict == OnConflict::kFail);
  CHECK(mount.filesystem.exclusive == ExclusiveMode::kAtClose);
  CHECK(mount.filesystem.file_mode == 0644);
  CHECK(mount.filesystem.dir_mode == 0755);
  CHECK(mount.filesystem.uid == ::getuid());
  CHECK(mount.filesystem.claim_names == default_claim_names());
}

TEST_CASE("options: every flag of mount arrives") {
  const auto mount = command_of<MountCommand>({"mount",
                                               "--foreground",
                                               "--read-only",
                                               "--allow-other",
                                               "--state-dir",
                                               "/s",
                                               "--cache-dir=/c",
                                               "--cache-size",
                                               "1.5GiB",
                                               "--metadata-ttl",
                                               "250ms",
                                               "--log-level",
                                               "debug",
                                               "--log-file",
                                               "/l",
                                               "--config",
                                               "/y",
                                               "--endpoint",
                                               "http://lake:8000",
                                               "--ca-file",
                                               "/ca",
                                               "--idle-timeout",
                                               "45s",
                                               "--uid",
                                               "12",
                                               "--gid",
                                               "34",
                                               "--umask",
                                               "077",
                                               "--on-conflict=overwrite",
                                               "--exclusive=claim",
                                               "--temporary-age",
                                               "10s",
                                               "--umount-timeout",
                                               "2m",
                                               "lakefs://repo/main",
                                               "mnt"});
  CHECK(mount.foreground);
  CHECK(mount.filesystem.read_only);
  CHECK(mount.allow_other);
  CHECK(mount.state_dir == "/s");
  CHECK(mount.cache_dir == "/c");
  CHECK(mount.cache_bytes == (std::uint64_t{3} << 30) / 2);
  CHECK(mount.filesystem.metadata_ttl == 250ms);
  CHECK(mount.log_level == LogLevel::kDebug);
  CHECK(mount.log_file == "/l");
  CHECK(mount.access.config_file == "/y");
  CHECK(mount.access.endpoint == "http://lake:8000");
  CHECK(mount.access.ca_file == "/ca");
  CHECK(mount.access.idle_timeout == 45s);
  CHECK(mount.filesystem.uid == 12);
  CHECK(mount.filesystem.gid == 34);
  CHECK(mount.filesystem.file_mode == 0600);
  CHECK(mount.filesystem.dir_mode == 0700);
  CHECK(mount.filesystem.on_conflict == OnConflict::kOverwrite);
  CHECK(mount.filesystem.exclusive == ExclusiveMode::kClaim);
  CHECK(mount.filesystem.temporary_age == 10s);
  CHECK(mount.umount_timeout == 2min);
  CHECK(mount.mountpoint == std::filesystem::current_path() / "mnt");
}

TEST_CASE("options: -o takes ours out and hands the rest to FUSE, and does not swallow what follows") {
  const auto mount = command_of<MountCommand>(
      {"mount", "-o", "ro,allow_other,noatime", "lakefs://repo/main", "/m", "-o", "nonempty,max_read=4096"});
  CHECK(mount.filesystem.read_only);
  CHECK(mount.allow_other);
  CHECK(mount.nonempty);
  CHECK(mount.fuse_options == std::vector<std::string>{"noatime", "max_read=4096"});
}

TEST_CASE("options: a mode of its own goes over the umask") {
  const auto mount = command_of<MountCommand>(
      {"mount", "lakefs://repo/main", "/m", "--file-mode", "0640", "--umask", "027"});
  CHECK(mount.filesystem.file_mode == 0640);
  CHECK(mount.filesystem.dir_mode == 0750);
}

TEST_CASE(
    "options: a list of names replaces the built-in one, a plus adds to it, an empty one switches it off") {
  const auto mount =
      command_of<MountCommand>({"mount", "lakefs://repo/main", "/m", "--claim-names", "LOCK,*.mine",
                                "--temporary-names", "+*.bak", "--local-names", ""});
  CHECK(mount.filesystem.claim_names == std::vector<std::string>{"LOCK", "*.mine"});
  CHECK(mount.filesystem.temporary_names.size() == default_temporary_names().size() + 1);
  CHECK(holds(mount.filesystem.temporary_names, "*.bak"));
  CHECK(mount.filesystem.local_names.empty());
}

TEST_CASE("options: commit takes a message, metadata and what to do about others") {
  const auto commit = command_of<CommitCommand>(
      {"commit", "--metadata", "a=b", "-m", "words", "--metadata", "c=d=e", "/mnt", "--all", "--strict"});
  CHECK(commit.message == "words");
  CHECK(commit.metadata == Metadata{{"a", "b"}, {"c", "d=e"}});
  CHECK(commit.directory == "/mnt");
  CHECK(commit.all);
  CHECK(commit.strict);
  CHECK(complaint_of({"commit", "-m", "\xff"}).find("--message: the text is not UTF-8") != std::string::npos);
  CHECK(complaint_of({"commit", "-m", "x", "--metadata", "k=\xff"}).find("UTF-8") != std::string::npos);
  CHECK(complaint_of({"commit"}).find("message") != std::string::npos);
  CHECK(complaint_of({"commit", "-m", "x", "--metadata", "nothing"}).find("KEY=VALUE") != std::string::npos);
}

TEST_CASE("options: words that mean something elsewhere are names and texts where those are wanted") {
  for (const char* text : {"[WIP] a,b", "[WIP]", "{}", "status", "", "- a list"}) {
    CAPTURE(text);
    CHECK(command_of<CommitCommand>({"commit", "-m", text}).message == text);
  }
  CHECK(command_of<CommitCommand>({"commit", "--message=-5 rows"}).message == "-5 rows");
  const auto here = std::filesystem::current_path();
  CHECK(command_of<UmountCommand>({"umount", "status"}).mountpoint == here / "status");
  CHECK(command_of<UmountCommand>({"umount", "--", "-m"}).mountpoint == here / "-m");
  CHECK(command_of<ResolveCommand>({"resolve", "[a]", "--mine"}).path == here / "[a]");
  std::vector<std::string> names;
  for (const auto& path : command_of<PrefetchCommand>({"prefetch", "[a,b]", "{}", "mount"}).paths)
    names.push_back(path.filename());
  CHECK(names == std::vector<std::string>{"[a,b]", "{}", "mount"});
}

TEST_CASE("options: the other commands") {
  CHECK(command_of<UmountCommand>({"umount", "/m", "--umount-timeout", "5s"}).timeout == 5s);
  CHECK(command_of<StatusCommand>({"status"}).directory.empty());
  CHECK(command_of<StatusCommand>({"status", "/m", "--json"}).json);
  CHECK(command_of<PendingCommand>({"pending", "/m"}).directory == "/m");
  CHECK(command_of<DiffCommand>({"diff", "/m"}).directory == "/m");
  CHECK(command_of<FlushCommand>({"flush", "/m"}).directory == "/m");
}

TEST_CASE("options: nonsense is told in words that name the flag, with exit code 2") {
  CHECK(complaint_of({"mount", "lakefs://repo/main"}).find("MOUNTPOINT") != std::string::npos);
  CHECK(complaint_of({"mount", "s3://bucket/key", "/m"}).find("lakefs://") != std::string::npos);
  CHECK(complaint_of({"mount", "lakefs://repo/main", "/m", "--cache-size", "big"}).find("--cache-size") !=
        std::string::npos);
  CHECK(complaint_of({"mount", "lakefs://repo/main", "/m", "--on-conflict", "x"}).find("fail or overwrite") !=
        std::string::npos);
  CHECK(complaint_of({"mount", "lakefs://repo/main", "/m", "--umask", "9"}).find("--umask") !=
        std::string::npos);
  for (const char* flag : {"--uid", "--gid"}) {
    for (const char* none : {"4294967295", "4294967296", "-1", "root", "1 "}) {
      CAPTURE(none);
      CHECK(complaint_of({"mount", "lakefs://repo/main", "/m", flag, none}).find(flag) != std::string::npos);
    }
    command_of<MountCommand>({"mount", "lakefs://repo/main", "/m", flag, "4294967294"});
  }
  CHECK(complaint_of({"fly"}).find("lakefuse:") == 0);
  CHECK(complaint_of({}).find("lakefuse:") == 0);
}

TEST_CASE("options: resolve takes one of three decisions, discard and recover what they are about") {
  CHECK(command_of<ResolveCommand>({"resolve", "/mnt/a", "--mine"}).decision == Decision::kMine);
  CHECK(command_of<ResolveCommand>({"resolve", "--theirs", "/mnt/a"}).decision == Decision::kTheirs);
  CHECK(command_of<ResolveCommand>({"resolve", "/mnt/a", "--keep-both"}).decision == Decision::kKeepBoth);
  complaint_of({"resolve", "/mnt/a"});
  complaint_of({"resolve", "/mnt/a", "--mine", "--theirs"});
  CHECK(command_of<DiscardCommand>({"discard", "/mnt/a"}).path == "/mnt/a");
  CHECK(command_of<RecoverCommand>({"recover", "/state"}).directory == "/state");
  CHECK(
      command_of<MountCommand>({"mount", "lakefs://repo/b", "/mnt", "--fsync", "publish"}).filesystem.fsync ==
      FsyncMode::kPublish);
}

TEST_CASE("options: --writeback stands alone or says how far it goes, and takes no word of its own") {
  const auto writeback_of = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "mount");
    return command_of<MountCommand>(arguments).filesystem.writeback;
  };
  CHECK(writeback_of({"lakefs://repo/b", "/mnt"}) == Writeback::kOff);
  CHECK(writeback_of({"--writeback", "lakefs://repo/b", "/mnt"}) == Writeback::kOn);
  CHECK(writeback_of({"--writeback=all", "lakefs://repo/b", "/mnt"}) == Writeback::kAll);
  CHECK(complaint_of({"mount", "--writeback=some", "lakefs://repo/b", "/mnt"}).find("--writeback") !=
        std::string::npos);
}

TEST_CASE("options: a command that there is not is named") {
  CHECK(complaint_of({"frob", "/mnt/lake"}).find("no command \"frob\"") != std::string::npos);
  CHECK(complaint_of({}).find("subcommand") != std::string::npos);
  CHECK(complaint_of({"lakefs://r/main", "/mnt"}).find("`lakefuse mount lakefs://r/main") !=
        std::string::npos);
}

TEST_CASE("options: without a home, mount asks for the directories it needs") {
  const auto nowhere = [](const std::string&) { return std::optional<std::string>(); };
  const auto parsed = parse({"mount", "lakefs://repo/main", "/m"}, nowhere);
  REQUIRE(std::holds_alternative<Words>(parsed));
  CHECK(std::get<Words>(parsed).text.find("--state-dir") != std::string::npos);
}

TEST_CASE("options: XDG directories are used where they are absolute") {
  const auto xdg = [](const std::string& name) -> std::optional<std::string> {
    if (name == "XDG_STATE_HOME") return "/state";
    if (name == "XDG_CACHE_HOME") return "relative";
    return home_only(name);
  };
  CHECK(default_state_dir(xdg) == "/state/lakefuse");
  CHECK(default_cache_dir(xdg) == "/home/user/.cache/lakefuse");
}

TEST_CASE("options: help teaches examples, exit codes and the environment; F3 no flag takes a secret") {
  for (const auto& words : {std::vector<const char*>{"--help"}, {"mount", "--help"}, {"commit", "--help"}}) {
    const auto parsed = parse(words);
    REQUIRE(std::holds_alternative<Words>(parsed));
    CHECK(std::get<Words>(parsed).exit_code == kDone);
    CHECK(std::get<Words>(parsed).text.find("lakefuse ") != std::string::npos);
    CHECK(std::get<Words>(parsed).text.find("--secret") == std::string::npos);
    CHECK(std::get<Words>(parsed).text.find("--token") == std::string::npos);
  }
  const auto help = std::get<Words>(parse({"--help"})).text;
  CHECK(help.find("Exit codes:") != std::string::npos);
  // Of one command it says what concerns that one.
  for (const char* command :
       {"umount", "status", "pending", "diff", "flush", "resolve", "discard", "recover", "prefetch"}) {
    CAPTURE(command);
    const auto text = std::get<Words>(parse({command, "--help"})).text;
    CHECK(text.find("A first session") == std::string::npos);
    CHECK(text.find("TEXT") == std::string::npos);
  }
  const auto mount_help = std::get<Words>(parse({"mount", "--help"})).text;
  for (const auto& names : {default_claim_names(), default_temporary_names(), default_local_names()})
    for (const auto& name : names) CHECK(mount_help.find(name) != std::string::npos);
  CHECK(help.find("LAKECTL_SERVER_ENDPOINT_URL") != std::string::npos);
  CHECK(std::get<Words>(parse({"--version"})).text.find(LAKEFUSE_VERSION) != std::string::npos);
}

TEST_CASE("quantity: sizes, times and modes as people write them") {
  CHECK(parse_bytes("4096").value() == 4096);
  CHECK(parse_bytes("10GiB").value() == std::uint64_t{10} << 30);
  CHECK(parse_bytes("10G").value() == std::uint64_t{10} << 30);
  CHECK(parse_bytes("1.5 KB").value() == 1500);
  CHECK(parse_bytes("0").value() == 0);
  for (const auto* const bad : {"", "GiB", "-1", "1XB", "1GiBs", "99999999999T", "nan", "1e400"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_bytes(bad));
  }
  CHECK(parse_duration("1s").value() == 1s);
  CHECK(parse_duration("1.5m").value() == 90s);
  CHECK(parse_duration("0").value() == 0ms);
  CHECK(std::chrono::system_clock::now() + parse_duration("876000h").value() >
        std::chrono::system_clock::now());
  CHECK_FALSE(parse_duration("9999999h"));
  for (const auto* const bad : {"", "s", "-1s", "1d", "1 second"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_duration(bad));
  }
  CHECK(parse_mode("0644").value() == 0644);
  CHECK_FALSE(parse_mode("888"));
  CHECK_FALSE(parse_mode("10000"));
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(count_of(1, "file") == "1 file");
  CHECK(count_of(2, "file") == "2 files");
}

}  // namespace lakefuse::test
