#include "client/wire.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <limits>

namespace lakefuse::wire {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16;  // lakeFS nests four deep.
// Two bytes of JSON can be a value of 24, twice while it is parsed. A page of 1,000 has some 20,000 commas,
// more in names and metadata.
constexpr std::ptrdiff_t kMaxCommas = std::ptrdiff_t{2} << 20;
constexpr std::int64_t kLatestSeconds = 253'402'300'799;   // The year 9999: times may be reckoned with.
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD.

Error untrustworthy(std::string what) {
  return {Errc::kUntrustworthy, "the answer makes no sense: " + std::move(what)};
}

json::parse_options options() {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  options.allow_invalid_utf8 = true;  // Mended per string: one bad name must not hide a whole page.
  return options;
}

bool has_too_many_values(std::string_view body) {
  return std::ranges::count(body, ',') > kMaxCommas;
}

Result<json::value> parse(std::string_view body) {
  if (has_too_many_values(body)) return untrustworthy("it has millions of values");
  json::error_code wrong;
  json::value value = json::parse(json::string_view(body.data(), body.size()), wrong, {}, options());
  if (wrong) return untrustworthy("it is no JSON (" + wrong.message() + ")");
  return value;
}

Result<json::object> parse_document(std::string_view body) {
  auto value = parse(body);
  if (!value) return value.error();
  if (!value->is_object()) return untrustworthy("it is no JSON object");
  return std::move(value->get_object());
}

std::string mended(const json::string& text) {
  return valid_utf8({text.data(), text.size()});
}

const json::value* find(const json::object& from, std::string_view name) {
  const json::value* value = from.if_contains(json::string_view(name.data(), name.size()));
  return value && !value->is_null() ? value : nullptr;
}

// A reader of one object's fields: remembers the first thing that is wrong, so that callers read all fields
// and ask once.
class Fields {
 public:
  explicit Fields(const json::object& from) : from_(from) {}

  std::string text(std::string_view name) {
    return get(name, true, [&](const json::value& v) { return as_text(name, v); });
  }
  std::string text_or_none(std::string_view name) {
    return get(name, false, [&](const json::value& v) { return as_text(name, v); });
  }
  std::int64_t number(std::string_view name) {
    return get(name, true, [&](const json::value& v) { return as_number(name, v); });
  }
  std::int64_t number_or_zero(std::string_view name) {
    return get(name, false, [&](const json::value& v) { return as_number(name, v); });
  }
  std::uint64_t size(std::string_view name) {
    const std::int64_t value = number(name);
    if (value < 0) return blame(name, "is negative"), 0;
    return static_cast<std::uint64_t>(value);
  }
  bool flag(std::string_view name, bool required) {
    return get(name, required, [&](const json::value& v) {
      if (v.is_bool()) return v.get_bool();
      blame(name, "is neither true nor false");
      return false;
    });
  }
  Metadata metadata(std::string_view name) {
    return get(name, false, [&](const json::value& v) {
      Metadata out;
      if (!v.is_object()) return blame(name, "is no object"), out;
      for (const auto& [key, value] : v.get_object()) {
        if (!value.is_string()) return blame(name, "has a value that is no text"), out;
        out.emplace(mended(json::string(key)), mended(value.get_string()));
      }
      return out;
    });
  }

  [[nodiscard]] bool good() const { return wrong_.empty(); }
  [[nodiscard]] Error error() const { return untrustworthy(wrong_); }

 private:
  template <class Read>
  auto get(std::string_view name, bool required, Read read) -> decltype(read(json::value())) {
    const json::value* value = find(from_, name);
    if (value) return read(*value);
    if (required) blame(name, "is missing");
    return {};
  }
  std::string as_text(std::string_view name, const json::value& value) {
    if (value.is_string()) return mended(value.get_string());
    blame(name, "is no text");
    return {};
  }
  std::int64_t as_number(std::string_view name, const json::value& value) {
    if (value.is_int64()) return value.get_int64();
    blame(name, "is no whole number");
    return 0;
  }
  void blame(std::string_view name, std::string_view what) {
    if (wrong_.empty()) wrong_ = "\"" + std::string(name) + "\" " + std::string(what);
  }

  const json::object& from_;
  std::string wrong_;
};

Result<ObjectAnswer> read_object(const json::object& from) {
  Fields fields(from);
  ObjectAnswer answer;
  answer.object.path = fields.text("path");
  answer.object.physical_address = fields.text("physical_address");
  answer.object.checksum = fields.text("checksum");
  answer.object.size_bytes = fields.size("size_bytes");
  answer.object.mtime_seconds = fields.number("mtime");
  answer.object.content_type = fields.text_or_none("content_type");
  answer.object.metadata = fields.metadata("metadata");
  if (find(from, "physical_address_expiry"))
    answer.address_expiry =
        std::clamp<std::int64_t>(fields.number("physical_address_expiry"), 0, kLatestSeconds);
  if (!fields.good()) return fields.error();
  if (answer.object.physical_address.empty()) return untrustworthy("\"physical_address\" is empty");
  return answer;
}

Result<ListEntry> read_entry(const json::value& from) {
  if (!from.is_object()) return untrustworthy("an entry is no object");
  Fields fields(from.get_object());
  const std::string type = fields.text("path_type");
  ListEntry entry;
  if (type == "common_prefix") {
    entry.is_prefix = true;
    entry.object.path = fields.text("path");
    if (!fields.good()) return fields.error();
    return entry;
  }
  if (!fields.good()) return fields.error();
  if (type != "object") return untrustworthy("\"path_type\" is neither object nor common_prefix");
  auto object = read_object(from.get_object());
  if (!object) return object.error();
  entry.object = std::move(object->object);
  return entry;
}

struct Page {
  json::array results;
  bool has_more = false;
  std::string next;
};

// `after` is where the page had to start: one that does not get beyond it would be asked for for ever.
Result<Page> read_page(std::string_view body, const std::string& after) {
  auto document = parse_document(body);
  if (!document) return document.error();
  json::value* results = document->if_contains("results");
  const json::value* pagination = find(*document, "pagination");
  if (!results || !results->is_array()) return untrustworthy("\"results\" is no list");
  if (!pagination || !pagination->is_object()) return untrustworthy("\"pagination\" is no object");
  Fields fields(pagination->get_object());
  Page page;
  page.has_more = fields.flag("has_more", true);
  page.next = fields.text_or_none("next_offset");
  if (!fields.good()) return fields.error();
  page.results = std::move(results->get_array());
  if (page.has_more && (page.next <= after || page.results.empty()))
    return untrustworthy("the page says that more comes and does not advance");
  return page;
}

bool is_sayable(const std::string& path) {
  return path.find(kReplacement) == std::string::npos;
}

// Order can only be judged among names that came as they are.
Result<> check_order(const ListPage& page, const ListRequest& request) {
  const std::string* before = nullptr;
  for (const ListEntry& entry : page.entries) {
    const std::string& path = entry.object.path;
    if (!is_sayable(path)) continue;
    if (!path.starts_with(request.prefix)) return untrustworthy("an entry lies outside the prefix asked for");
    if (before && path <= *before) return untrustworthy("the entries are not in order");
    // A prefix in whose middle the page starts is told again; lakefs-api.md section 6.
    const bool told_again = entry.is_prefix && request.after.starts_with(path);
    if (!request.after.empty() && path <= request.after && !told_again)
      return untrustworthy("an entry lies before the place asked for");
    before = &path;
  }
  return {};
}

// A page that ends in a name the server cannot say could not be continued exactly: end it at the last good
// name.
void end_at_a_sayable_name(ListPage& page, const ListRequest& request) {
  if (!page.has_more || is_sayable(page.next)) return;
  for (std::size_t count = page.entries.size(); count > 0; --count) {
    const std::string& path = page.entries[count - 1].object.path;
    if (!is_sayable(path) || path <= request.after) continue;
    page.next = path;
    page.entries.resize(count);
    return;
  }
}

Result<CommitAnswer> read_commit(const json::object& from) {
  Fields fields(from);
  CommitAnswer answer;
  answer.commit.id = fields.text("id");
  answer.commit.message = fields.text_or_none("message");
  answer.commit.created_seconds = fields.number_or_zero("creation_date");
  answer.metadata = fields.metadata("metadata");
  if (!fields.good()) return fields.error();
  if (answer.commit.id.empty()) return untrustworthy("\"id\" is empty");
  return answer;
}

StorageFacts read_storage(Fields& fields) {
  StorageFacts storage;
  storage.facts.blockstore_type = fields.text("blockstore_type");
  storage.facts.can_presign = fields.flag("pre_sign_support", true);
  storage.facts.can_presign_multipart = fields.flag("pre_sign_multipart_upload", false);
  storage.id = fields.text_or_none("blockstore_id");
  return storage;
}

json::object to_json(const Metadata& metadata) {
  json::object out;
  for (const auto& [key, value] : metadata) out.emplace(key, value);
  return out;
}

}  // namespace

Result<ObjectAnswer> parse_object(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  return read_object(*document);
}

Result<ListPage> parse_list(std::string_view body, const ListRequest& request) {
  auto page = read_page(body, request.after);
  if (!page) return page.error();
  if (page->results.size() > request.amount) return untrustworthy("more entries than were asked for");
  ListPage list;
  list.has_more = page->has_more;
  list.next = std::move(page->next);
  list.entries.reserve(page->results.size());
  for (const json::value& result : page->results) {
    auto entry = read_entry(result);
    if (!entry) return entry.error();
    list.entries.push_back(std::move(*entry));
  }
  if (auto ordered = check_order(list, request); !ordered) return ordered.error();
  end_at_a_sayable_name(list, request);
  return list;
}

std::optional<std::string> guess_next(std::string_view body) {
  // Inside of a text its quotes would be escaped.
  constexpr std::string_view kName = "\"pagination\":";
  const auto at = body.find(kName);
  if (at == std::string_view::npos || has_too_many_values(body)) return std::nullopt;
  body.remove_prefix(at + kName.size());
  json::stream_parser parser({}, options());
  json::error_code wrong;
  parser.write_some(body.data(), body.size(), wrong);
  if (wrong || !parser.done()) return std::nullopt;
  const json::value pagination = parser.release();
  if (!pagination.is_object()) return std::nullopt;
  Fields fields(pagination.get_object());
  const bool has_more = fields.flag("has_more", true);
  std::string next = fields.text("next_offset");
  if (!fields.good() || !has_more || !is_sayable(next)) return std::nullopt;
  return next;
}

Result<UploadTarget> parse_upload_target(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  Fields fields(*document);
  UploadTarget target{fields.text("physical_address"), Secret(fields.text_or_none("presigned_url"))};
  if (!fields.good()) return fields.error();
  if (target.physical_address.empty()) return untrustworthy("\"physical_address\" is empty");
  return target;
}

Result<PartsTarget> parse_multipart(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  Fields fields(*document);
  PartsTarget answer{fields.text("physical_address"), fields.text("upload_id"), {}};
  if (!fields.good()) return fields.error();
  const json::value* urls = find(*document, "presigned_urls");
  if (urls == nullptr || !urls->is_array()) return untrustworthy("\"presigned_urls\" is no list");
  for (const json::value& url : urls->get_array()) {
    if (!url.is_string()) return untrustworthy("\"presigned_urls\" has something that is no text");
    answer.part_urls.emplace_back(mended(url.get_string()));
  }
  return answer;
}

Result<Secret> parse_part_url(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  Fields fields(*document);
  Secret url(fields.text("presigned_url"));
  if (!fields.good()) return fields.error();
  return url;
}

Result<std::optional<DeleteFailure>> parse_delete_failure(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  const json::value* errors = find(*document, "errors");
  if (!errors) return std::optional<DeleteFailure>();
  if (!errors->is_array()) return untrustworthy("\"errors\" is no list");
  if (errors->get_array().empty()) return std::optional<DeleteFailure>();
  const json::value& first = errors->get_array().front();
  if (!first.is_object()) return untrustworthy("an error is no object");
  Fields fields(first.get_object());
  DeleteFailure failure{fields.text_or_none("path"), 0, fields.text_or_none("message")};
  const std::int64_t status = fields.number("status_code");
  if (!fields.good()) return fields.error();
  failure.status = status >= 400 && status < 600 ? static_cast<int>(status) : 500;
  return std::optional(std::move(failure));
}

ServerVersion parse_version(std::string text) {
  ServerVersion version;
  const char* at = text.data();
  const char* const end = at + text.size();
  if (at != end && *at == 'v') ++at;
  const auto [dot, wrong] = std::from_chars(at, end, version.major);
  if (wrong != std::errc() || dot == end || *dot != '.' ||
      std::from_chars(dot + 1, end, version.minor).ec != std::errc())
    version.major = version.minor = 0;
  version.text = std::move(text);
  return version;
}

Result<ConfigAnswer> parse_config(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  ConfigAnswer answer;
  if (const json::value* version = find(*document, "version_config"); version && version->is_object()) {
    Fields fields(version->get_object());
    answer.version = parse_version(fields.text_or_none("version"));
    if (!fields.good()) return fields.error();
  }
  if (const json::value* list = find(*document, "storage_config_list"); list && list->is_array()) {
    for (const json::value& each : list->get_array()) {
      if (!each.is_object()) return untrustworthy("a storage configuration is no object");
      Fields fields(each.get_object());
      answer.list.push_back(read_storage(fields));
      if (!fields.good()) return fields.error();
    }
  }
  if (const json::value* storage = find(*document, "storage_config"); storage && storage->is_object()) {
    Fields fields(storage->get_object());
    answer.storage = read_storage(fields);
    if (!fields.good() && answer.list.empty()) return fields.error();
  } else if (answer.list.empty()) {
    return untrustworthy("\"storage_config\" is missing");
  }
  return answer;
}

Result<RepositoryInfo> parse_repository(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  Fields fields(*document);
  RepositoryInfo repository{fields.text("id"), fields.text("storage_namespace"),
                            fields.text("default_branch"), fields.text_or_none("storage_id"),
                            fields.flag("read_only", false)};
  if (!fields.good()) return fields.error();
  if (repository.storage_namespace.empty()) return untrustworthy("\"storage_namespace\" is empty");
  return repository;
}

Result<std::string> parse_branch_head(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  Fields fields(*document);
  std::string id = fields.text("commit_id");
  if (!fields.good()) return fields.error();
  return id;
}

Result<CommitAnswer> parse_commit(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  return read_commit(*document);
}

Result<std::vector<CommitAnswer>> parse_commit_log(std::string_view body) {
  auto document = parse_document(body);
  if (!document) return document.error();
  const json::value* results = find(*document, "results");
  if (!results || !results->is_array()) return untrustworthy("\"results\" is no list");
  std::vector<CommitAnswer> log;
  for (const json::value& each : results->get_array()) {
    if (!each.is_object()) return untrustworthy("a commit is no object");
    auto commit = read_commit(each.get_object());
    if (!commit) return commit.error();
    log.push_back(std::move(*commit));
  }
  return log;
}

Result<std::vector<std::string>> parse_protection_rules(std::string_view body) {
  auto value = parse(body);
  if (!value) return value.error();
  if (!value->is_array()) return untrustworthy("it is no list");
  std::vector<std::string> patterns;
  for (const json::value& rule : value->get_array()) {
    if (!rule.is_object()) return untrustworthy("a rule is no object");
    Fields fields(rule.get_object());
    patterns.push_back(fields.text("pattern"));
    if (!fields.good()) return fields.error();
  }
  return patterns;
}

Result<DiffPage> parse_diff(std::string_view body, const std::string& after) {
  auto page = read_page(body, after);
  if (!page) return page.error();
  DiffPage diff;
  diff.has_more = page->has_more;
  diff.next = std::move(page->next);
  for (const json::value& result : page->results) {
    if (!result.is_object()) return untrustworthy("a change is no object");
    Fields fields(result.get_object());
    const std::string type = fields.text("type");
    Change change{ChangeKind::kChanged, fields.text("path"), 0};
    const std::int64_t size = fields.number_or_zero("size_bytes");
    if (!fields.good()) return fields.error();
    if (size > 0) change.size_bytes = static_cast<std::uint64_t>(size);
    if (type == "added") change.kind = ChangeKind::kAdded;
    if (type == "removed") change.kind = ChangeKind::kRemoved;
    if (type == "prefix_changed") continue;  // Only with a delimiter, which is never sent.
    diff.changes.push_back(std::move(change));
  }
  return diff;
}

ErrorAnswer parse_error(std::string_view body) {
  // A stream parser stops after the first document: a batch delete's 401 holds several (lakefs-api.md section
  // 7).
  json::stream_parser parser({}, options());
  json::error_code wrong;
  parser.write_some(body.data(), body.size(), wrong);
  if (!wrong && parser.done()) {
    const json::value value = parser.release();
    if (value.is_object()) {
      const json::value* message = find(value.get_object(), "message");
      return {message && message->is_string() ? mended(message->get_string()) : std::string(), true};
    }
  }
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  if (first == body.npos) return {};
  if (body[first] == '<') return {"a page that is not lakeFS's", false};
  return {std::string(body.substr(0, 4096)), false};
}

std::string link_body(const Uploaded& uploaded, const EntryMeta& meta) {
  json::object body;
  body["staging"] = json::object{{"physical_address", uploaded.physical_address}};
  body["checksum"] = uploaded.checksum;
  body["size_bytes"] = uploaded.size_bytes;
  if (!meta.metadata.empty()) body["user_metadata"] = to_json(meta.metadata);
  if (!meta.content_type.empty()) body["content_type"] = meta.content_type;
  if (meta.mtime_seconds != 0) body["mtime"] = meta.mtime_seconds;
  return json::serialize(body);
}

std::string complete_body(const Uploaded& uploaded, const EntryMeta& meta) {
  json::array parts;
  int number = 0;
  for (const std::string& etag : uploaded.open->etags)
    parts.emplace_back(json::object{{"part_number", ++number}, {"etag", etag}});
  json::object body;
  body["physical_address"] = uploaded.physical_address;
  body["parts"] = std::move(parts);
  if (!meta.metadata.empty()) body["user_metadata"] = to_json(meta.metadata);
  if (!meta.content_type.empty()) body["content_type"] = meta.content_type;
  return json::serialize(body);
}

std::string address_body(const std::string& physical_address) {
  return json::serialize(json::object{{"physical_address", physical_address}});
}

std::string part_copy_body(const std::string& physical_address, const std::string& repository,
                           const std::string& ref, const std::string& path, std::uint64_t begin,
                           std::uint64_t end) {
  const std::string range = "bytes=" + std::to_string(begin) + "-" + std::to_string(end - 1);
  const json::object source{{"repository", repository}, {"ref", ref}, {"path", path}, {"range", range}};
  return json::serialize(json::object{{"physical_address", physical_address}, {"copy_source", source}});
}

std::string copy_body(const ObjectPath& from) {
  return json::serialize(json::object{{"src_path", from.str()}});
}

std::string delete_body(std::span<const ObjectPath> paths) {
  json::array list;
  for (const ObjectPath& path : paths) list.emplace_back(path.str());
  json::object body;
  body["paths"] = std::move(list);
  return json::serialize(body);
}

std::string metadata_body(const Metadata& metadata) {
  json::object body;
  body["set"] = to_json(metadata);
  return json::serialize(body);
}

std::string commit_body(const std::string& message, const Metadata& metadata) {
  json::object body;
  body["message"] = message;
  body["metadata"] = to_json(metadata);
  return json::serialize(body);
}

}  // namespace lakefuse::wire
