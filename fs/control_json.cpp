#include "fs/control_json.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lakefuse {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<ChangeKind, std::string_view>, 3> kChangeWords{
    {{ChangeKind::kAdded, "added"}, {ChangeKind::kRemoved, "removed"}, {ChangeKind::kChanged, "changed"}}};

std::string_view word_of(ChangeKind kind) {
  return std::find_if(kChangeWords.begin(), kChangeWords.end(),
                      [&](auto& pair) { return pair.first == kind; })
      ->second;
}

}  // namespace

json::object to_json(const PendingFile& file) {
  return {{"path", file.path},       {"state", file.state},   {"size_bytes", file.size_bytes},
          {"cause", file.cause},     {"reason", file.reason}, {"since_seconds", file.since_seconds},
          {"kept_in", file.kept_in}, {"theirs", file.theirs}, {"is_whole", file.is_whole}};
}

json::object to_json(const RecentFailure& failure) {
  return {{"at_seconds", failure.at_seconds}, {"operation", failure.operation}, {"message", failure.message}};
}

json::object to_json(const MountStatus& status) {
  return {{"uri", status.uri},
          {"read_only", status.read_only},
          {"inodes", status.inodes},
          {"open_handles", status.open_handles},
          {"requests", status.requests},
          {"hidden_names", status.hidden_names},
          {"local_files", status.local_files},
          {"unseen_failures", status.unseen_failures},
          {"cache_hits", status.cache_hits},
          {"cache_misses", status.cache_misses},
          {"cache_bytes", status.cache_bytes},
          {"spool_free_bytes", status.spool_free_bytes},
          {"passthrough", status.passthrough.is_on},
          {"no_passthrough_because", status.passthrough.why_not},
          {"pending", to_json(status.pending)},
          {"failures", to_json(status.failures)}};
}

json::object to_json(const MountFacts& facts) {
  return {{"mountpoint", facts.mountpoint.string()},
          {"uri", facts.uri},
          {"endpoint", facts.endpoint},
          {"repository", facts.repository},
          {"branch", facts.branch},
          {"commit", facts.commit},
          {"read_only", facts.read_only},
          {"state_dir", facts.state_dir.string()},
          {"log_file", facts.log_file.string()},
          {"pid", facts.pid},
          {"since_seconds", facts.since_seconds},
          {"version", facts.version}};
}

json::object to_json(const Change& change) {
  return {{"kind", word_of(change.kind)}, {"path", change.path}, {"size_bytes", change.size_bytes}};
}

JsonReader::JsonReader(const json::value& value) {
  static const json::object kNone;
  object_ = value.is_object() ? &value.get_object() : &kNone;
}

const json::value* JsonReader::field(std::string_view name) const {
  return object_->if_contains(name);
}

std::string JsonReader::text(std::string_view name) const {
  const auto* const value = field(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t JsonReader::number(std::string_view name) const {
  const auto* const value = field(name);
  if (value == nullptr || !value->is_number()) return 0;
  json::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  return error ? 0 : number;
}

std::uint64_t JsonReader::count(std::string_view name) const {
  const auto* const value = field(name);
  if (value == nullptr || !value->is_number()) return 0;
  json::error_code error;
  const auto number = value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

bool JsonReader::flag(std::string_view name) const {
  const auto* const value = field(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::vector<std::string> JsonReader::texts(std::string_view name) const {
  std::vector<std::string> found;
  for (const auto& value : array(name)) {
    if (value.is_string()) found.emplace_back(value.get_string());
  }
  return found;
}

const json::object& JsonReader::object(std::string_view name) const {
  static const json::object kNone;
  const auto* const value = field(name);
  return value != nullptr && value->is_object() ? value->get_object() : kNone;
}

const json::array& JsonReader::array(std::string_view name) const {
  static const json::array kNone;
  const auto* const value = field(name);
  return value != nullptr && value->is_array() ? value->get_array() : kNone;
}

Result<json::value> parse_json(std::string_view text) {
  json::error_code error;
  json::parse_options lenient;
  lenient.allow_invalid_utf8 = true;  // A mount point may be called anything.
  auto value = json::parse(text, error, {}, lenient);
  if (error || !value.is_object()) return Error{Errc::kUntrustworthy, "not a JSON object"};
  return value;
}

PendingFile pending_from(const JsonReader& json) {
  return {json.text("path"),    json.text("state"),  json.count("size_bytes"),
          json.text("cause"),   json.text("reason"), json.number("since_seconds"),
          json.text("kept_in"), json.text("theirs"), json.flag("is_whole")};
}

MountStatus status_from(const JsonReader& json) {
  MountStatus status;
  status.uri = json.text("uri");
  status.read_only = json.flag("read_only");
  status.inodes = json.count("inodes");
  status.open_handles = json.count("open_handles");
  status.requests = json.count("requests");
  status.hidden_names = json.count("hidden_names");
  status.local_files = json.count("local_files");
  status.unseen_failures = json.count("unseen_failures");
  status.cache_hits = json.count("cache_hits");
  status.cache_misses = json.count("cache_misses");
  status.cache_bytes = json.count("cache_bytes");
  status.spool_free_bytes = json.count("spool_free_bytes");
  status.passthrough = {json.flag("passthrough"), json.text("no_passthrough_because")};
  for (const auto& file : json.array("pending")) status.pending.push_back(pending_from(JsonReader(file)));
  for (const auto& value : json.array("failures")) {
    const JsonReader failure(value);
    status.failures.push_back(
        {failure.number("at_seconds"), failure.text("operation"), failure.text("message")});
  }
  return status;
}

MountFacts facts_from(const JsonReader& json) {
  MountFacts facts;
  facts.mountpoint = json.text("mountpoint");
  facts.uri = json.text("uri");
  facts.endpoint = json.text("endpoint");
  facts.repository = json.text("repository");
  facts.branch = json.text("branch");
  facts.commit = json.text("commit");
  facts.read_only = json.flag("read_only");
  facts.state_dir = json.text("state_dir");
  facts.log_file = json.text("log_file");
  facts.pid = json.number("pid");
  facts.since_seconds = json.number("since_seconds");
  facts.version = json.text("version");
  return facts;
}

Change change_from(const JsonReader& json) {
  const std::string word = json.text("kind");
  const auto* const found =
      std::find_if(kChangeWords.begin(), kChangeWords.end(), [&](auto& pair) { return pair.second == word; });
  return {found == kChangeWords.end() ? ChangeKind::kChanged : found->first, json.text("path"),
          json.count("size_bytes")};
}

Errc errc_from(std::string_view word) {
  for (int code = 0; code <= static_cast<int>(kLastErrc); ++code) {
    if (to_word(static_cast<Errc>(code)) == word) return static_cast<Errc>(code);
  }
  return Errc::kUnavailable;
}

}  // namespace lakefuse
