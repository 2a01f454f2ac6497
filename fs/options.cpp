#include "fs/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "client/object_path.h"
#include "fs/exit_code.h"
#include "fs/help.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// A value that has a form of its own is parsed where CLI11 reads it, so that its complaint names the option.
template <class T, class Parse>
CLI::Option* add(CLI::App* app, const std::string& name, T& into, Parse parse, const std::string& help) {
  return app->add_option_function<std::string>(
      name,
      [name, &into, parse](const std::string& text) {
        auto value = parse(text);
        if (!value) throw CLI::ValidationError(name, value.error().message);
        into = *std::move(value);
      },
      help);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// "a,b" replaces the list, "+a,b" adds to it.
Result<std::vector<std::string>> name_list(std::vector<std::string> built_in, const std::string& text) {
  if (!text.starts_with('+')) return split(text, ',');
  for (auto& name : split(text.substr(1), ',')) built_in.push_back(std::move(name));
  return built_in;
}

Result<stdfs::path> absolute_path(const std::string& text) {
  if (text.empty()) return Error{Errc::kInvalid, "an empty path"};
  std::error_code error;
  auto path = stdfs::absolute(text, error);
  if (error) return Error{Errc::kInvalid, "the working directory is gone: " + error.message()};
  // "mnt/" and "mnt" are one place.
  if (!path.has_filename() && path.has_parent_path() && path != path.root_path()) path = path.parent_path();
  return path;
}

// What becomes JSON on its way to the lake.
Result<std::string> utf8(const std::string& text) {
  if (!is_utf8(text)) return Error{Errc::kInvalid, "the text is not UTF-8"};
  return text;
}

Result<std::pair<std::string, std::string>> key_value(const std::string& text) {
  if (auto good = utf8(text); !good) return good.error();
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error{Errc::kInvalid, "'" + text + "' is not KEY=VALUE"};
  }
  return std::pair{text.substr(0, equals), text.substr(equals + 1)};
}

template <class T>
Result<T> one_of(const std::string& word, const std::map<std::string, T>& words) {
  if (const auto found = words.find(word); found != words.end()) return found->second;
  std::string known;
  for (const auto& [name, value] : words) known += (known.empty() ? "" : " or ") + name;
  return Error{Errc::kInvalid, "'" + word + "' is not " + known};
}

// Those of -o that are ours; the rest goes to FUSE as it is.
void take_fuse_options(MountCommand& mount, const std::string& list) {
  for (const auto& option : split(list, ',')) {
    if (option == "ro") {
      mount.filesystem.read_only = true;
    } else if (option == "allow_other") {
      mount.allow_other = true;
    } else if (option == "nonempty") {
      mount.nonempty = true;
    } else if (option != "rw") {
      mount.fuse_options.push_back(option);
    }
  }
}

void add_names(CLI::App* app, const std::string& name, std::vector<std::string>& list,
               const std::string& help) {
  add(
      app, name, list, [built_in = list](const std::string& text) { return name_list(built_in, text); }, help)
      ->type_name("GLOBS");
}

// The three ways of saying modes; --umask gives way to the other two, in whatever order they come.
struct Modes {
  std::uint32_t umask = 022;
  std::optional<std::uint32_t> file;
  std::optional<std::uint32_t> dir;
};

// The commands' values while CLI11 fills them in.
struct Drafts {
  MountCommand mount;
  Modes modes;
  std::string writeback;  // Empty: off. A flag that stands alone says "true".
  UmountCommand umount;
  StatusCommand status;
  PendingCommand pending;
  DiffCommand diff;
  FlushCommand flush;
  PrefetchCommand prefetch;
  CommitCommand commit;
  ResolveCommand resolve;
  DiscardCommand discard;
  RecoverCommand recover;
};

// Less is no time for a server across the world, nor for the tests of whether bytes move.
Result<std::chrono::milliseconds> parse_idle_timeout(const std::string& text) {
  auto time = parse_duration(text);
  if (time && *time < std::chrono::seconds(1))
    return Error{Errc::kInvalid, "'" + text + "' is no time for a lake to answer in: at least 1s"};
  return time;
}

void declare_access(CLI::App* app, AccessFlags& access) {
  add(app, "--config", access.config_file, absolute_path, "lakectl's configuration file (~/.lakectl.yaml)")
      ->type_name("FILE");
  app->add_option("--endpoint", access.endpoint, "The lakeFS server, http(s)://host[:port]")
      ->type_name("URL");
  add(app, "--ca-file", access.ca_file, absolute_path, "Certificates to trust instead of the system's")
      ->type_name("FILE");
  add(app, "--idle-timeout", access.idle_timeout, parse_idle_timeout,
      "When a call fails whose bytes stand still, or whose answer comes slower than 4 KiB/s (30s)")
      ->type_name("TIME");
}

void declare_mount_place(CLI::App* app, MountCommand& mount) {
  app->add_flag("-f,--foreground", mount.foreground, "Stay in the foreground and log to stderr");
  app->add_flag("--read-only", mount.filesystem.read_only,
                "Refuse every change; needed on protected branches");
  app->add_flag("--allow-other", mount.allow_other,
                "Let other users in (needs user_allow_other in /etc/fuse.conf unless root)");
  app->add_option_function<std::vector<std::string>>(
         "-o",
         [&mount](const std::vector<std::string>& lists) {
           for (const auto& list : lists) take_fuse_options(mount, list);
         },
         "FUSE mount options, with commas between them; also ro, nonempty")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  add(app, "--state-dir", mount.state_dir, absolute_path,
      "Where bytes wait that are not on the lake yet ($XDG_STATE_HOME/lakefuse, else "
      "~/.local/state/lakefuse)")
      ->type_name("DIR");
  add(app, "--cache-dir", mount.cache_dir, absolute_path,
      "Where bytes are kept that were read ($XDG_CACHE_HOME/lakefuse, else ~/.cache/lakefuse)")
      ->type_name("DIR");
  add(app, "--cache-size", mount.cache_bytes, parse_bytes, "Most disk that read bytes may take (10GiB)")
      ->type_name("SIZE");
  add(app, "--log-level", mount.log_level, parse_log_level, "debug, info, warn, error or off (info)")
      ->type_name("LEVEL");
  add(app, "--log-file", mount.log_file, absolute_path,
      "Log here (stderr with --foreground, else below the state directory)")
      ->type_name("FILE");
  add(app, "--umount-timeout", mount.umount_timeout, parse_duration,
      "How long the end of a mount may publish before it gives up (60s)")
      ->type_name("TIME");
  app->add_flag("--allow-core-dumps", mount.allow_core_dumps,
                "For debugging: a core dump holds your credentials");
}

void declare_mount_meaning(CLI::App* app, Drafts& drafts) {
  Modes& modes = drafts.modes;
  FilesystemOptions& meaning = drafts.mount.filesystem;
  add(app, "--metadata-ttl", meaning.metadata_ttl, parse_duration,
      "For how long names, sizes and times are believed without asking again (1s)")
      ->type_name("TIME");
  add(
      app, "--on-conflict", meaning.on_conflict,
      [](const std::string& word) {
        return one_of<OnConflict>(word, {{"fail", OnConflict::kFail}, {"overwrite", OnConflict::kOverwrite}});
      },
      "When another version came in between: fail the close, or overwrite it (fail)")
      ->type_name("fail|overwrite");
  add(
      app, "--exclusive", meaning.exclusive,
      [](const std::string& word) {
        return one_of<ExclusiveMode>(word,
                                     {{"close", ExclusiveMode::kAtClose}, {"claim", ExclusiveMode::kClaim}});
      },
      "When O_EXCL decides: at close, or for every name at open, by a claim on the lake (close)")
      ->type_name("close|claim");
  add(
      app, "--fsync", meaning.fsync,
      [](const std::string& word) {
        return one_of<FsyncMode>(word, {{"local", FsyncMode::kLocal}, {"publish", FsyncMode::kPublish}});
      },
      "What fsync waits for: the bytes are safe on this machine's disk, or on the branch (local)")
      ->type_name("local|publish");
  app->add_flag(
      "--writeback", drafts.writeback,
      "close, unlink and rename return once they are safe on this machine's disk, and reach the lake "
      "behind; O_EXCL waits all the same, unless --writeback=all");
  add_names(app, "--claim-names", meaning.claim_names, "Names that O_EXCL claims at open (*.lock,*.pid,...)");
  add_names(app, "--temporary-names", meaning.temporary_names,
            "Names held back until they are renamed (*.tmp,*.part,*~,...)");
  add_names(app, "--local-names", meaning.local_names,
            "Names that never leave this machine (.*.swp,.DS_Store,...)");
  add(app, "--temporary-age", meaning.temporary_age, parse_duration,
      "When a temporary name that nobody renamed is published all the same (3s)")
      ->type_name("TIME");
  add(app, "--uid", meaning.uid, parse_id, "Owner of all files (you)")->type_name("UID");
  add(app, "--gid", meaning.gid, parse_id, "Group of all files (yours)")->type_name("GID");
  add(app, "--umask", modes.umask, parse_mode, "Taken from 0666 and 0777 where no mode was kept (022)")
      ->type_name("MODE");
  add(app, "--file-mode", modes.file, parse_mode, "Mode of files that carry none (0644)")->type_name("MODE");
  add(app, "--dir-mode", modes.dir, parse_mode, "Mode of directories that carry none (0755)")
      ->type_name("MODE");
}

CLI::Option* add_directory(CLI::App* app, stdfs::path& into, const std::string& help) {
  return add(app, "DIR", into, absolute_path, help)->type_name("");
}

void add_timeout(CLI::App* app, const std::string& name, std::chrono::milliseconds& into) {
  add(app, name, into, parse_duration, "How long to wait for what is being published (60s)")
      ->type_name("TIME");
}

constexpr const char* kMountOrStateDirectory =
    "A mount point, any directory below one, or a state directory (all of your mounts)";
constexpr const char* kThisDirectory = "A mount point or any directory below one (the working directory)";

// "  --claim-names      *.lock,*.lck,..." for each, as they would be typed.
std::string built_in_lists() {
  const auto line = [](std::string text, const std::vector<std::string>& names) {
    for (const auto& name : names) text += (&name == &names.front() ? "" : ",") + name;
    return text + "\n";
  };
  return "Built-in are:\n" + line("  --claim-names      ", default_claim_names()) +
         line("  --temporary-names  ", default_temporary_names()) +
         line("  --local-names      ", default_local_names());
}

CLI::App* declare_mount(CLI::App& program, Drafts& drafts, std::string& uri) {
  auto* mount = program.add_subcommand("mount", "Mount a branch, tag or commit as a directory");
  mount->footer(kMountHelp + built_in_lists());
  mount->add_option("URI", uri, "lakefs://REPO/REF[/PREFIX]")->required()->type_name("");
  add(mount, "MOUNTPOINT", drafts.mount.mountpoint, absolute_path, "An empty directory")
      ->required()
      ->type_name("");
  declare_access(mount, drafts.mount.access);
  declare_mount_place(mount, drafts.mount);
  declare_mount_meaning(mount, drafts);
  return mount;
}

void declare_decisions(CLI::App& program, Drafts& drafts) {
  constexpr const char* kPending =
      "A pending file's path in its mount, or the file that `pending` says it is kept in";
  auto* resolve = program.add_subcommand("resolve", "Settle a conflict: whose version the branch is to have");
  resolve->footer(kResolveHelp);
  add(resolve, "PATH", drafts.resolve.path, absolute_path, kPending)->required()->type_name("");
  auto* choice = resolve->add_option_group("choice");
  const auto offer = [&](const char* flag, Decision decision, const char* help) {
    choice->add_flag_callback(
        flag, [&drafts, decision] { drafts.resolve.decision = decision; }, help);
  };
  offer("--mine", Decision::kMine, "Yours replaces what is on the branch now");
  offer("--theirs", Decision::kTheirs, "The branch stays as it is, your bytes are dropped");
  offer("--keep-both", Decision::kKeepBoth, "Yours is published beside it, as NAME.mine.EXT");
  choice->require_option(1);

  auto* discard = program.add_subcommand("discard", "Drop pending bytes: they are nowhere else");
  discard->footer(kDiscardHelp);
  add(discard, "PATH", drafts.discard.path, absolute_path, kPending)->required()->type_name("");

  auto* recover = program.add_subcommand(
      "recover", "Publish what ended mounts left in a state directory, without a mount");
  recover->footer(kRecoverHelp);
  add(recover, "DIR", drafts.recover.directory, absolute_path, "A state directory")
      ->required()
      ->type_name("");
  declare_access(recover, drafts.recover.access);
  add_timeout(recover, "--timeout", drafts.recover.timeout);
}

void declare_others(CLI::App& program, Drafts& drafts) {
  auto* umount = program.add_subcommand("umount", "Publish what is not on the lake yet, then unmount");
  umount->footer(kUmountHelp);
  add(umount, "MOUNTPOINT", drafts.umount.mountpoint, absolute_path, "Where it is mounted")
      ->required()
      ->type_name("");
  add_timeout(umount, "--umount-timeout", drafts.umount.timeout);

  auto* status =
      program.add_subcommand("status", "What is mounted, what is not on the lake yet, what failed");
  status->footer(kStatusHelp);
  add_directory(status, drafts.status.directory, kMountOrStateDirectory);
  status->add_flag("--json", drafts.status.json, "As JSON");

  auto* pending =
      program.add_subcommand("pending", "Files whose bytes are not on the lake, and where they are kept");
  pending->footer(kPendingHelp);
  add_directory(pending, drafts.pending.directory, kMountOrStateDirectory);
  pending->add_flag("--json", drafts.pending.json, "As JSON");

  auto* diff = program.add_subcommand("diff", "Uncommitted changes of the branch, by everybody");
  diff->footer(kDiffHelp);
  add_directory(diff, drafts.diff.directory, kThisDirectory);

  auto* flush = program.add_subcommand("flush", "Publish now what is closed and not on the lake yet");
  flush->footer(kFlushHelp);
  add_directory(flush, drafts.flush.directory, kThisDirectory);
  add_timeout(flush, "--timeout", drafts.flush.timeout);

  auto* prefetch =
      program.add_subcommand("prefetch", "Bring files into the read cache, before they are wanted");
  prefetch->footer(kPrefetchHelp);
  prefetch
      ->add_option_function<std::vector<std::string>>(
          "PATH",
          [&drafts](const std::vector<std::string>& paths) {
            for (const auto& text : paths) {
              auto path = absolute_path(text);
              if (!path) throw CLI::ValidationError("PATH", path.error().message);
              drafts.prefetch.paths.push_back(*std::move(path));
            }
          },
          "Files in a mount, or directories with all that is below them")
      ->required()
      ->type_name("");

  auto* commit = program.add_subcommand("commit", "Publish what is closed, then commit the branch");
  commit->footer(kCommitHelp);
  add_directory(commit, drafts.commit.directory, kThisDirectory);
  add(commit, "-m,--message", drafts.commit.message, utf8, "The commit's message")
      ->required()
      ->type_name("TEXT");
  commit
      ->add_option_function<std::vector<std::string>>(
          "--metadata",
          [&drafts](const std::vector<std::string>& pairs) {
            for (const auto& text : pairs) {
              auto pair = key_value(text);
              if (!pair) throw CLI::ValidationError("--metadata", pair.error().message);
              drafts.commit.metadata.insert_or_assign(pair->first, pair->second);
            }
          },
          "Metadata of the commit; may be given again")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  commit->add_flag("--all", drafts.commit.all, "Commit others' changes of the branch along, without asking");
  commit->add_flag("--strict", drafts.commit.strict,
                   "Refuse where an open or held-back file would be left out");
  commit->add_flag("--leave-failed", drafts.commit.leave_failed,
                   "Commit without the files that could not be published, instead of refusing");
  add_timeout(commit, "--timeout", drafts.commit.timeout);
}

Drafts fresh_drafts(const Environment& environment) {
  Drafts drafts;
  MountCommand& mount = drafts.mount;
  mount.state_dir = default_state_dir(environment);
  mount.cache_dir = default_cache_dir(environment);
  mount.cache_bytes = std::uint64_t{10} << 30;
  mount.filesystem.uid = ::getuid();
  mount.filesystem.gid = ::getgid();
  mount.filesystem.claim_names = default_claim_names();
  mount.filesystem.temporary_names = default_temporary_names();
  mount.filesystem.local_names = default_local_names();
  drafts.recover.filesystem = mount.filesystem;
  return drafts;
}

// What CLI11 cannot check alone.
Result<> finish_mount(Drafts& drafts, const std::string& uri) {
  MountCommand& mount = drafts.mount;
  auto parsed = parse_lake_uri(uri);
  if (!parsed) return parsed.error();
  mount.uri = *std::move(parsed);
  if (!drafts.writeback.empty()) {
    const auto writeback = one_of<Writeback>(drafts.writeback, {{"true", Writeback::kOn},
                                                                {"on", Writeback::kOn},
                                                                {"off", Writeback::kOff},
                                                                {"all", Writeback::kAll}});
    if (!writeback) return writeback.error().in("--writeback");
    mount.filesystem.writeback = *writeback;
  }
  mount.filesystem.file_mode = drafts.modes.file.value_or(0666 & ~drafts.modes.umask);
  mount.filesystem.dir_mode = drafts.modes.dir.value_or(0777 & ~drafts.modes.umask);
  if (mount.state_dir.empty())
    return Error{Errc::kInvalid, "neither HOME nor XDG_STATE_HOME is set: give --state-dir"};
  if (mount.cache_dir.empty())
    return Error{Errc::kInvalid, "neither HOME nor XDG_CACHE_HOME is set: give --cache-dir"};
  return {};
}

stdfs::path base_directory(const Environment& environment, const char* variable, const char* below_home) {
  // The XDG specification: a relative path there is to be ignored.
  if (const auto base = environment(variable); base && base->starts_with('/'))
    return stdfs::path(*base) / "lakefuse";
  if (const auto home = environment("HOME"); home && home->starts_with('/')) {
    return stdfs::path(*home) / below_home / "lakefuse";
  }
  return {};
}

}  // namespace

stdfs::path default_state_dir(const Environment& environment) {
  return base_directory(environment, "XDG_STATE_HOME", ".local/state");
}

stdfs::path default_cache_dir(const Environment& environment) {
  return base_directory(environment, "XDG_CACHE_HOME", ".cache");
}

namespace {

// CLI11 takes "[a,b]" and "{}" for lists where several words may stand; to prefetch they are names.
std::vector<std::string> words_of(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const bool takes_several = !words.empty() && words.front() == "prefetch";
  for (auto& word : words)
    if (takes_several && (word.starts_with('[') || word.starts_with('{'))) word.insert(0, "./");
  std::reverse(words.begin(), words.end());  // As CLI11 wants them.
  return words;
}

}  // namespace

std::variant<Command, Words> parse_command_line(int argc, const char* const* argv,
                                                const Environment& environment) {
  Drafts drafts = fresh_drafts(environment);
  std::string uri;
  CLI::App program("lakefuse: a lakeFS branch as a directory; close() tells the truth.", "lakefuse");
  program.set_version_flag("--version", std::string("lakefuse ") + LAKEFUSE_VERSION);
  program.require_subcommand(1);
  program.footer(kProgramHelp);
  program.get_formatter()->column_width(34);
  auto* mount = declare_mount(program, drafts, uri);
  declare_others(program, drafts);
  declare_decisions(program, drafts);
  try {
    program.parse(words_of(argc, argv));
    if (mount->parsed()) {
      if (auto finished = finish_mount(drafts, uri); !finished)
        throw CLI::ValidationError(finished.error().message);
    }
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream complaint;
    const bool asked = program.exit(error, out, complaint) == 0;
    if (asked) return Words{out.str(), kDone};
    if (argc > 1 && std::string_view(argv[1]).starts_with("lakefs://"))
      return Words{
          "lakefuse: say what to do with it: `lakefuse mount " + std::string(argv[1]) + " MOUNTPOINT`\n",
          kUsage};
    if (argc > 1 && argv[1][0] != '-' && program.get_subcommands().empty())
      return Words{
          "lakefuse: there is no command \"" + std::string(argv[1]) + "\"; `lakefuse --help` lists them\n",
          kUsage};
    return Words{"lakefuse: " + complaint.str(), kUsage};
  }
  const std::string name = program.get_subcommands().front()->get_name();
  if (name == "mount") return Command{std::move(drafts.mount)};
  if (name == "umount") return Command{std::move(drafts.umount)};
  if (name == "status") return Command{std::move(drafts.status)};
  if (name == "pending") return Command{std::move(drafts.pending)};
  if (name == "diff") return Command{std::move(drafts.diff)};
  if (name == "flush") return Command{std::move(drafts.flush)};
  if (name == "prefetch") return Command{std::move(drafts.prefetch)};
  if (name == "resolve") return Command{std::move(drafts.resolve)};
  if (name == "discard") return Command{std::move(drafts.discard)};
  if (name == "recover") return Command{std::move(drafts.recover)};
  return Command{std::move(drafts.commit)};
}

}  // namespace lakefuse
