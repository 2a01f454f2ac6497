#include "fs/control_wire.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "fs/control_json.h"

namespace lakefuse {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<Ask, std::string_view>, 8> kAskWords{{{Ask::kStatus, "status"},
                                                                     {Ask::kPending, "pending"},
                                                                     {Ask::kFlush, "flush"},
                                                                     {Ask::kUncommitted, "uncommitted"},
                                                                     {Ask::kOthers, "others"},
                                                                     {Ask::kCommit, "commit"},
                                                                     {Ask::kUnmount, "unmount"},
                                                                     {Ask::kDecide, "decide"}}};

constexpr std::array<std::pair<Decision, std::string_view>, 4> kDecisionWords{
    {{Decision::kMine, "mine"},
     {Decision::kTheirs, "theirs"},
     {Decision::kKeepBoth, "keep-both"},
     {Decision::kDiscard, "discard"}}};

// Deadlines are reckoned in nanoseconds, and those of a year from now still can be.
constexpr std::chrono::milliseconds kLongestPatience = std::chrono::hours(24 * 365);

template <class Words, class Value>
std::string_view word_of(const Words& words, Value value) {
  return std::find_if(words.begin(), words.end(), [&](auto& pair) { return pair.first == value; })->second;
}

// Nothing for a word that is none of them.
template <class Words>
auto value_of(const Words& words, std::string_view word) {
  const auto* const known =
      std::find_if(words.begin(), words.end(), [&](auto& pair) { return pair.second == word; });
  return known == words.end() ? std::nullopt : std::optional(known->first);
}

json::array texts(const std::vector<std::string>& values) {
  return json::array(values.begin(), values.end());
}

std::string done(json::object value) {
  return json::serialize(json::object{{"done", std::move(value)}});
}

std::vector<PendingFile> files_from(const JsonReader& json, std::string_view name) {
  std::vector<PendingFile> files;
  for (const auto& file : json.array(name)) files.push_back(pending_from(JsonReader(file)));
  return files;
}

}  // namespace

std::string request_line(const ControlRequest& request) {
  json::object metadata;
  for (const auto& [key, value] : request.metadata) metadata[key] = value;
  return json::serialize(json::object{{"ask", word_of(kAskWords, request.ask)},
                                      {"patience_ms", request.flush.patience.count()},
                                      {"open_files", request.flush.open_files},
                                      {"held_files", request.flush.held_files},
                                      {"after", request.after},
                                      {"message", request.message},
                                      {"which", request.which},
                                      {"decision", word_of(kDecisionWords, request.decision)},
                                      {"metadata", std::move(metadata)}});
}

Result<ControlRequest> parse_request(std::string_view line) {
  const auto value = parse_json(line);
  if (!value) return value.error();
  const JsonReader json(*value);
  const std::string word = json.text("ask");
  const auto ask = value_of(kAskWords, word);
  if (!ask) {
    return Error{Errc::kUnsupported,
                 "this mount does not know '" + word + "': it may be of an older lakefuse"};
  }
  ControlRequest request;
  request.ask = *ask;
  request.flush.patience =
      std::chrono::milliseconds(std::min<std::uint64_t>(json.count("patience_ms"), kLongestPatience.count()));
  request.flush.open_files = json.flag("open_files");
  request.flush.held_files = json.flag("held_files");
  request.after = json.text("after");
  request.message = json.text("message");
  request.which = json.text("which");
  if (request.ask == Ask::kDecide) {
    const std::string decision = json.text("decision");
    const auto known = value_of(kDecisionWords, decision);
    if (!known) return Error{Errc::kUnsupported, "this mount does not know '" + decision + "'"};
    request.decision = *known;
  }
  for (const auto& [key, text] : json.object("metadata")) {
    if (text.is_string()) request.metadata[std::string(key)] = std::string(text.get_string());
  }
  return request;
}

std::string progress_line(std::uint64_t waiting) {
  return json::serialize(json::object{{"progress", waiting}});
}

std::string error_line(const Error& error) {
  return json::serialize(
      json::object{{"error", json::object{{"cause", to_word(error.code)}, {"message", error.message}}}});
}

std::string done_line(const MountFacts& facts, const MountStatus& status) {
  return done({{"facts", to_json(facts)}, {"status", to_json(status)}});
}

std::string done_line(const FlushReport& report) {
  return done({{"published", texts(report.published)},
               {"failed", to_json(report.failed)},
               {"left_out", to_json(report.left_out)}});
}

std::string done_line(const DiffPage& page) {
  return done({{"changes", to_json(page.changes)}, {"has_more", page.has_more}, {"next", page.next}});
}

std::string done_line(const OthersReport& report) {
  return done({{"changes", report.changes},
               {"removals", report.removals},
               {"others", report.others},
               {"names", texts(report.names)}});
}

std::string done_line(const CommitInfo& commit) {
  return done({{"id", commit.id}, {"message", commit.message}, {"created_seconds", commit.created_seconds}});
}

std::string done_line(const std::string& sentence) {
  return done({{"sentence", sentence}});
}

Result<AnswerLine> parse_answer(std::string_view line) {
  const auto value = parse_json(line);
  if (!value) return value.error();
  const auto& object = value->get_object();
  if (const auto* const error = object.if_contains("error")) {
    const JsonReader json(*error);
    return Error{errc_from(json.text("cause")), json.text("message")};
  }
  if (const auto* const done = object.if_contains("done")) return AnswerLine{true, 0, json::serialize(*done)};
  if (object.contains("progress")) return AnswerLine{false, JsonReader(*value).count("progress"), {}};
  return Error{Errc::kUntrustworthy, "an answer that is none"};
}

Result<MountReport> parse_mount_report(std::string_view done) {
  const auto value = parse_json(done);
  if (!value) return value.error();
  const JsonReader json(*value);
  return MountReport{facts_from(JsonReader(json::value(json.object("facts")))),
                     status_from(JsonReader(json::value(json.object("status"))))};
}

Result<FlushReport> parse_flush_report(std::string_view done) {
  const auto value = parse_json(done);
  if (!value) return value.error();
  const JsonReader json(*value);
  return FlushReport{json.texts("published"), files_from(json, "failed"), files_from(json, "left_out")};
}

Result<DiffPage> parse_diff_page(std::string_view done) {
  const auto value = parse_json(done);
  if (!value) return value.error();
  const JsonReader json(*value);
  DiffPage page;
  for (const auto& change : json.array("changes")) page.changes.push_back(change_from(JsonReader(change)));
  page.has_more = json.flag("has_more");
  page.next = json.text("next");
  return page;
}

Result<OthersReport> parse_others_report(std::string_view done) {
  const auto value = parse_json(done);
  if (!value) return value.error();
  const JsonReader json(*value);
  return OthersReport{json.count("changes"), json.count("removals"), json.count("others"),
                      json.texts("names")};
}

Result<CommitInfo> parse_commit(std::string_view done) {
  const auto value = parse_json(done);
  if (!value) return value.error();
  const JsonReader json(*value);
  return CommitInfo{json.text("id"), json.text("message"), json.number("created_seconds")};
}

Result<std::string> parse_sentence(std::string_view done) {
  const auto value = parse_json(done);
  if (!value) return value.error();
  return JsonReader(*value).text("sentence");
}

std::string facts_text(const MountFacts& facts) {
  return json::serialize(to_json(facts));
}

Result<MountFacts> parse_facts(std::string_view text) {
  const auto value = parse_json(text);
  if (!value) return value.error();
  return facts_from(JsonReader(*value));
}

}  // namespace lakefuse
