#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {
namespace {

constexpr std::size_t kLongestPath = 1024;  // Bytes.

}  // namespace

HttpResponse json_answer(int status, const json::value& value) {
  HttpResponse answer;
  answer.status = status;
  answer.set("Content-Type", "application/json");
  answer.body = to_text(value) + "\n";
  return answer;
}

HttpResponse text_answer(int status, std::string text) {
  HttpResponse answer;
  answer.status = status;
  answer.set("Content-Type", "text/plain; charset=utf-8");
  answer.body = std::move(text);
  return answer;
}

HttpResponse error_answer(int status, const std::string& message) {
  return json_answer(status, json::object{{"message", message}});
}

HttpResponse no_content() {
  HttpResponse answer;
  answer.status = 204;
  return answer;
}

HttpResponse page_answer(json::array results, bool has_more, const std::string& last) {
  const json::object pagination{{"has_more", has_more},
                                {"max_per_page", 1000},
                                {"next_offset", has_more ? last : std::string()},
                                {"results", results.size()}};
  return json_answer(200, json::object{{"pagination", pagination}, {"results", std::move(results)}});
}

HttpResponse changes_answer(const ChangePage& page) {
  json::array results;
  for (const Change& change : page.items) {
    const bool is_prefix = change.type == Change::Type::kPrefixChanged;
    json::object item{{"type", name_of(change.type)},
                      {"path", change.path},
                      {"path_type", is_prefix ? "common_prefix" : "object"}};
    if (!is_prefix) item["size_bytes"] = change.size;
    results.emplace_back(std::move(item));
  }
  return page_answer(std::move(results), page.has_more, page.items.empty() ? "" : page.items.back().path);
}

std::size_t amount_of(const ApiRequest& request) {
  const std::int64_t amount = parse_integer(request.query.text("amount")).value_or(0);
  return amount <= 0 ? 100 : static_cast<std::size_t>(amount);
}

json::object stats_json(const Entry& entry, const std::string& address, StatsMetadata metadata) {
  json::object stats{{"path", entry.path},
                     {"path_type", "object"},
                     {"physical_address", address},
                     {"checksum", entry.checksum},
                     {"size_bytes", entry.size},
                     {"mtime", entry.mtime},
                     {"content_type", entry.content_type}};
  const bool shown =
      metadata == StatsMetadata::kAlways || (metadata == StatsMetadata::kIfAny && !entry.metadata.empty());
  if (shown) stats["metadata"] = to_json(entry.metadata);
  if (metadata == StatsMetadata::kEmptied) stats["metadata"] = json::object();
  return stats;
}

json::object stats_of(const ApiRequest& request, const Repository& repository, const Entry& entry,
                      StatsMetadata metadata, bool presign) {
  const std::string address = request.lake.full_address(repository, entry);
  if (!presign) return stats_json(entry, address, metadata);
  const auto expiry = request.has_fault(Fault::Kind::kExpired) ? std::chrono::seconds(-1)
                                                               : request.lake.options().presign_expiry;
  const auto url = request.lake.signer().presign("GET", *request.lake.store_key(address), expiry,
                                                 {{"response-content-disposition", "attachment"}});
  json::object stats = stats_json(entry, url.url, metadata);
  stats["physical_address_expiry"] = url.expiry;
  return stats;
}

void check_writable(const ApiRequest& request, const Repository& repository) {
  if (!valid_branch_name(request.branch()))
    throw ApiError{400, "argument branch: validation error: invalid value"};
  if (repository.is_protected(request.branch())) throw ApiError{403, "cannot write to protected branch"};
  const bool forced = request.query.flag("force", false) || flag_or(request.json, "force");
  if (repository.read_only() && !forced) throw ApiError{403, "read-only repository"};
}

void check_path(const std::string& path) {
  if (path.empty() || path.size() > kLongestPath)
    throw ApiError{400, "argument path: validation error: invalid value"};
}

std::string presign_unsupported() {
  return "local adapter presigned URL: operation not supported";
}

std::map<std::string, std::string> string_map(const json::object& object, std::string_view name) {
  return map_from(object, name);
}

ByteRange range_of(const std::optional<std::string>& header, std::uint64_t size) {
  using Kind = ByteRange::Kind;
  if (!header) return {};
  if (header->rfind("bytes=", 0) != 0 || header->find(',') != std::string::npos)
    return {Kind::kMalformed, 0, 0};
  const std::string range = header->substr(6);
  const auto dash = range.find('-');
  if (dash == std::string::npos) return {Kind::kMalformed, 0, 0};
  const auto first = parse_integer(range.substr(0, dash));
  const auto last = parse_integer(range.substr(dash + 1));
  const auto end = static_cast<std::int64_t>(size);
  if (dash == 0) {
    if (!last) return {Kind::kMalformed, 0, 0};
    const std::int64_t length = std::min(*last, end);
    if (length == 0) return {Kind::kUnsatisfiable, 0, 0};
    return {Kind::kPart, static_cast<std::uint64_t>(end - length), static_cast<std::uint64_t>(length)};
  }
  if (!first || (dash + 1 < range.size() && (!last || *last < *first))) return {Kind::kMalformed, 0, 0};
  if (*first >= end) return {Kind::kUnsatisfiable, 0, 0};
  const std::int64_t stop = last ? std::min(*last, end - 1) : end - 1;
  return {Kind::kPart, static_cast<std::uint64_t>(*first), static_cast<std::uint64_t>(stop - *first + 1)};
}

}  // namespace lakefuse::test::devserver
