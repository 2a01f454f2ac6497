#include "fs/commands/render.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <span>

#include "client/object_path.h"
#include "fs/control_json.h"
#include "fs/exit_code.h"
#include "fs/log.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

namespace json = boost::json;

std::string_view word_of(MountView::Life life) {
  switch (life) {
    case MountView::Life::kServing:
      return "serving";
    case MountView::Life::kEnding:
      return "ending";
    case MountView::Life::kSilent:
      return "silent";
    case MountView::Life::kDead:
      return "dead";
  }
  return "dead";
}

std::string_view word_of(SpoolRecord::State state) {
  switch (state) {
    case SpoolRecord::State::kClean:
      return "clean";
    case SpoolRecord::State::kOpen:
      return "open";
    case SpoolRecord::State::kSynced:
      return "synced";
    case SpoolRecord::State::kHeld:
      return "held";
    case SpoolRecord::State::kFailed:
      return "failed";
    case SpoolRecord::State::kQueued:
      return "queued";
    case SpoolRecord::State::kConflict:
      return "conflict";
  }
  return "open";
}

PendingFile as_pending(const SpooledFile& file) {
  const bool is_damaged = file.record.path.empty();
  return {file.record.path,
          is_damaged ? "damaged" : std::string(word_of(file.record.state)),
          file.size_bytes,
          file.record.cause,
          file.record.reason,
          file.record.since_seconds,
          file.data_path.string(),
          "",
          file.is_whole};
}

// "3: 1 uploading, 2 failed"
std::string summary(const std::vector<PendingFile>& files) {
  std::map<std::string, std::size_t> counts;
  for (const auto& file : files) ++counts[file.state];
  std::string text = std::to_string(files.size());
  const char* separator = ": ";
  for (const auto& [state, n] : counts) {
    text += separator + std::to_string(n) + " " + state;
    separator = ", ";
  }
  return text;
}

std::string line(const std::string& label, const std::string& text) {
  return "  " + label + std::string(label.size() < 10 ? 10 - label.size() : 1, ' ') + printable(text) + "\n";
}

// What a person must know first.
std::string first_of(std::vector<PendingFile> files, const std::filesystem::path& mountpoint) {
  std::stable_partition(files.begin(), files.end(), is_failure);
  std::string text;
  for (const auto& file : std::span(files).first(std::min(files.size(), kMostShown))) text += render(file);
  text += and_more(files.size(), mountpoint);
  return text;
}

std::string dead_text(const MountView& view) {
  std::string text =
      line("dead", view.trouble + ": `lakefuse umount` clears it, `lakefuse mount` replaces it");
  if (!view.mount.facts.state_dir.empty() && !view.mount.facts.read_only) {
    text += line("pending", "`lakefuse pending " + view.mount.facts.state_dir.string() +
                                "` lists what is not on the lake; the next mount publishes it");
  }
  return text;
}

std::string cache_text(const MountStatus& status) {
  return format_bytes(status.cache_bytes) + ", " + count_of(status.cache_hits, "hit") + ", " +
         std::to_string(status.cache_misses) + " fetched";
}

// JSON is UTF-8, and a path on this machine need not be: what is none becomes U+FFFD.
std::string text_of(const json::array& array) {
  return valid_utf8(json::serialize(array)) + "\n";
}

json::object json_of(const MountView& view) {
  json::object object = to_json(view.mount.facts);
  object["state"] = word_of(view.life);
  if (!view.trouble.empty()) object["trouble"] = view.trouble;
  if (view.trouble.empty()) object["status"] = to_json(view.status);
  return object;
}

json::array array_of(const std::vector<SpooledFile>& files) {
  json::array array;
  for (const auto& file : files) {
    json::object object = to_json(as_pending(file));
    object["endpoint"] = file.owner.endpoint;
    object["repository"] = file.owner.repository;
    object["branch"] = file.owner.branch;
    object["in_use"] = file.in_use;
    array.push_back(std::move(object));
  }
  return array;
}

}  // namespace

std::string and_more(std::size_t files, const std::filesystem::path& where) {
  if (files <= kMostShown) return {};
  return "    and " + std::to_string(files - kMostShown) + " more: `lakefuse pending " +
         printable(where.string()) + "` lists them\n";
}

std::string render(const PendingFile& file) {
  std::string text = "    " + file.state +
                     std::string(file.state.size() < 10 ? 10 - file.state.size() : 1, ' ') +
                     printable(file.path.empty() ? "(its name is not known)" : file.path) + "  " +
                     format_bytes(file.size_bytes);
  if (file.since_seconds > 0) text += ", since " + format_time(file.since_seconds);
  if (!file.reason.empty()) text += "\n              why: " + printable(file.reason);
  if (is_final(errc_from(file.cause)))
    text +=
        "\n              no mount will publish it as things are: `cp` copies it out, `lakefuse discard` "
        "drops it";
  if (!file.theirs.empty()) text += "\n              theirs: " + printable(file.theirs);
  if (!file.kept_in.empty()) {
    text += "\n              kept in " + printable(file.kept_in);
    if (!file.is_whole) text += " (what was not changed is not in it)";
  }
  return text + "\n";
}

std::string render(const SpooledFile& file) {
  const std::string owner = file.owner.repository.empty()
                                ? "unknown lake"
                                : "lakefs://" + file.owner.repository + "/" + file.owner.branch;
  return printable(owner) + (file.in_use ? " (mounted now)" : "") + "\n" + render(as_pending(file));
}

std::string render(const MountView& view) {
  const auto& facts = view.mount.facts;
  const auto& status = view.status;
  std::string text = printable(view.mount.mountpoint.string()) + "  " + printable(facts.uri) +
                     (facts.read_only ? "  read-only" : "  read-write") + "\n";
  if (view.life == MountView::Life::kDead) return text + dead_text(view);
  if (!view.trouble.empty()) return text + line("trouble", view.trouble);
  if (view.life == MountView::Life::kEnding)
    text += line(
        "ending",
        "not mounted here any more, still publishing (or mounted where another mount namespace sees it)");
  text += line("served by", "process " + std::to_string(facts.pid) + " since " +
                                format_time(facts.since_seconds) + ", lake " + facts.endpoint);
  text +=
      line("in use",
           count_of(status.open_handles, "open file") + ", cache " + cache_text(status) +
               (facts.read_only ? "" : ", " + format_bytes(status.spool_free_bytes) + " free for writing"));
  if (status.hidden_names > 0) {
    text += line("hidden", count_of(status.hidden_names, "name") + " of the lake that no file can have");
  }
  if (status.local_files > 0) {
    text += line("local", count_of(status.local_files, "file") + " that never leave this machine");
  }
  if (!status.pending.empty()) text += line("pending", summary(status.pending));
  text += first_of(status.pending, view.mount.mountpoint);
  if (status.unseen_failures > 0) {
    text += line("unseen", count_of(status.unseen_failures, "failure") + " that no program could be told of");
  }
  for (const auto& failure : status.failures) {
    text +=
        line("failure", format_time(failure.at_seconds) + " " + failure.operation + ": " + failure.message);
  }
  if (!facts.log_file.empty()) text += line("log", facts.log_file.string());
  return text;
}

std::string render_json(const std::vector<MountView>& views, const LeftBytes& left) {
  json::array array;
  for (const auto& view : views) array.push_back(json_of(view));
  if (!left.files.empty())
    array.push_back(json::object{{"mountpoint", ""},
                                 {"state", "not mounted"},
                                 {"state_dir", left.state_dir.string()},
                                 {"status", {{"pending", array_of(left.files)}}}});
  return text_of(array);
}

std::string render_pending_json(const std::vector<MountView>& views, const std::vector<SpooledFile>& left) {
  json::array array = array_of(left);
  for (const auto& view : views) {
    for (const auto& file : view.status.pending) {
      json::object object = to_json(file);
      object["mountpoint"] = view.mount.mountpoint.string();
      array.push_back(std::move(object));
    }
  }
  return text_of(array);
}

std::string render_json(const std::vector<SpooledFile>& files) {
  return text_of(array_of(files));
}

bool is_failure(const PendingFile& file) {
  const bool is_tried_again = file.state == "uploading" && !file.cause.empty();
  return file.state == "failed" || file.state == "conflict" || file.state == "damaged" || is_tried_again;
}

bool is_final(Errc cause) {
  return cause == Errc::kNotFound || cause == Errc::kDenied || cause == Errc::kReadOnly;
}

bool has_failures(const MountStatus& status) {
  return status.unseen_failures > 0 || std::any_of(status.pending.begin(), status.pending.end(), is_failure);
}

int exit_code_of(Errc cause) {
  switch (cause) {
    case Errc::kUnauthenticated:
    case Errc::kDenied:
      return kNoAccess;
    case Errc::kUnavailable:
    case Errc::kTimeout:
    case Errc::kTooManyRequests:
    case Errc::kUntrustworthy:
      return kUnreachable;
    case Errc::kNotFound:
    case Errc::kReadOnly:
      return kWrongRef;
    default:
      return kFailed;
  }
}

void complain(const std::string& sentence) {
  std::fprintf(stderr, "lakefuse: %s\n", printable(sentence).c_str());
}

void ProgressLine::show(std::uint64_t n) {
  if (::isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r\033[K%s: %s", what_.c_str(), count_of(n, "file").c_str());
  shown_ = true;
}

ProgressLine::~ProgressLine() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

}  // namespace lakefuse
