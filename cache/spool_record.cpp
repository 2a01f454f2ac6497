#include "cache/spool_record.h"

#include <array>
#include <stdexcept>

#include "cache/object_json.h"

namespace lakefuse {

namespace {

namespace json = boost::json;

using State = SpoolRecord::State;
using Kind = Expectation::Kind;

constexpr std::array<std::pair<State, std::string_view>, 7> kStates{{{State::kClean, "clean"},
                                                                     {State::kOpen, "open"},
                                                                     {State::kSynced, "synced"},
                                                                     {State::kHeld, "held"},
                                                                     {State::kFailed, "failed"},
                                                                     {State::kQueued, "queued"},
                                                                     {State::kConflict, "conflict"}}};
constexpr std::array<std::pair<Kind, std::string_view>, 3> kKinds{
    {{Kind::kAbsent, "absent"}, {Kind::kVersion, "version"}, {Kind::kAnything, "anything"}}};

template <class Words, class Value>
std::string_view word_of(const Words& words, Value value) {
  for (const auto& [known, word] : words)
    if (known == value) return word;
  return "";
}

// The readers throw what Boost.JSON throws; parse_object() catches once for all of them.
template <class Words>
auto value_of(const Words& words, const json::value& word) {
  for (const auto& [value, known] : words)
    if (known == std::string_view(word.as_string())) return value;
  throw std::runtime_error("unknown word");
}

json::value write(const EntryMeta& meta) {
  return {{"mtime", meta.mtime_seconds},
          {"content_type", meta.content_type},
          {"metadata", write_metadata(meta.metadata)}};
}

EntryMeta read_meta(const json::value& from) {
  const json::object& in = from.as_object();
  return {number<std::int64_t>(in, "mtime"), text(in, "content_type"), read_metadata(in.at("metadata"))};
}

json::value write(const Expectation& expected) {
  json::object out{{"kind", word_of(kKinds, expected.kind)}};
  if (expected.kind == Kind::kVersion) out["version"] = write_object(expected.version);
  return out;
}

Expectation read_expectation(const json::value& from) {
  const json::object& in = from.as_object();
  const Kind kind = value_of(kKinds, in.at("kind"));
  return {kind, kind == Kind::kVersion ? read_object(in.at("version")) : ObjectInfo{}};
}

json::value write(const std::vector<ByteRange>& ranges) {
  json::array out;
  for (const ByteRange& range : ranges) out.push_back(json::array{range.begin, range.end});
  return out;
}

std::vector<ByteRange> read_ranges(const json::value& from) {
  std::vector<ByteRange> ranges;
  for (const json::value& row : from.as_array()) {
    const json::array& pair = row.as_array();
    ranges.push_back({pair.at(0).to_number<std::uint64_t>(), pair.at(1).to_number<std::uint64_t>()});
  }
  return ranges;
}

StoredRecord read_record(const json::object& in) {
  StoredRecord stored;
  stored.record.state = value_of(kStates, in.at("state"));
  stored.record.path = text(in, "path");
  if (const json::value* beside = in.if_contains("is_beside_prefix"))
    stored.record.is_beside_prefix = beside->as_bool();
  if (const json::value* base = in.if_contains("base")) stored.record.base = read_object(*base);
  stored.record.expected = read_expectation(in.at("expected"));
  stored.record.meta = read_meta(in.at("meta"));
  stored.record.append_only = in.at("append_only").as_bool();
  if (const json::value* claim = in.if_contains("is_claim")) stored.record.is_claim = claim->as_bool();
  if (in.contains("order")) stored.record.order = number<std::uint64_t>(in, "order");
  if (const json::value* barrier = in.if_contains("is_barrier"))
    stored.record.is_barrier = barrier->as_bool();
  stored.record.reason = text(in, "reason");
  stored.record.cause = text(in, "cause");
  stored.record.since_seconds = number<std::int64_t>(in, "since");
  stored.shape = {number<std::uint64_t>(in, "bytes"), read_ranges(in.at("missing"))};
  stored.created_nanoseconds = number<std::int64_t>(in, "created_ns");
  stored.durable = in.at("durable").as_bool();
  stored.boot = text(in, "boot");
  if (!stored.shape.missing.empty() && !stored.record.base)
    throw std::runtime_error("missing bytes without a base");
  return stored;
}

}  // namespace

std::string to_json(const StoredRecord& stored) {
  const SpoolRecord& record = stored.record;
  json::object out{{"state", word_of(kStates, record.state)},
                   {"path", record.path},
                   {"is_beside_prefix", record.is_beside_prefix},
                   {"expected", write(record.expected)},
                   {"meta", write(record.meta)},
                   {"append_only", record.append_only},
                   {"is_claim", record.is_claim},
                   {"order", record.order},
                   {"is_barrier", record.is_barrier},
                   {"reason", record.reason},
                   {"cause", record.cause},
                   {"since", record.since_seconds},
                   {"bytes", stored.shape.size},
                   {"missing", write(stored.shape.missing)},
                   {"created_ns", stored.created_nanoseconds},
                   {"durable", stored.durable},
                   {"boot", stored.boot}};
  if (record.base) out["base"] = write_object(*record.base);
  return json::serialize(out);
}

Result<StoredRecord> parse_record(std::string_view text) {
  return parse_object(text, read_record);
}

std::string to_json(const SpoolOwner& owner) {
  return json::serialize(json::object{{"format", kSpoolFormat},
                                      {"endpoint", owner.endpoint},
                                      {"repository", owner.repository},
                                      {"branch", owner.branch}});
}

Result<SpoolOwner> parse_owner(std::string_view json_text) {
  auto format = parse_object(json_text, [](const json::object& in) { return number<int>(in, "format"); });
  if (!format) return format.error();
  if (*format < kOldestSpoolFormat || *format > kSpoolFormat)
    return Error{Errc::kUnsupported, "written in format " + std::to_string(*format) +
                                         ", and this lakefuse knows formats up to " +
                                         std::to_string(kSpoolFormat) + ": use the version that wrote it"};
  return parse_object(json_text, [](const json::object& in) {
    return SpoolOwner{text(in, "endpoint"), text(in, "repository"), text(in, "branch")};
  });
}

}  // namespace lakefuse
