#include "tests/devserver/router.h"

#include <regex>

namespace lakefuse::test::devserver {
namespace {

bool has_type(const json::value& value, char type) {
  switch (type) {
    case 's':
      return value.is_string();
    case 'r':
      return value.is_string() && valid_repository_name(json::value_to<std::string>(value));
    case 'i':
      return value.is_int64() || value.is_uint64();
    case 'b':
      return value.is_bool();
    case 'o':
      return value.is_object();
    case 'a':
      return value.is_array();
    default:
      break;
  }
  if (!value.is_object()) return false;
  for (const auto& [key, text] : value.get_object())
    if (!text.is_string()) return false;
  return true;
}

// One field as a route describes it: "name!s", "name?i", "name!s=a|b".
std::optional<std::string> check_field(const std::string& field, const json::object& body) {
  const auto mark = field.find_first_of("!?");
  const std::string name = field.substr(0, mark);
  const json::value* value = body.if_contains(name);
  if (value == nullptr) {
    if (field[mark] == '?') return std::nullopt;
    return "request body has an error: property \"" + name + "\" is missing";
  }
  if (!has_type(*value, field[mark + 1]))
    return "request body has an error: value of \"" + name + "\" is of a wrong type";
  if (mark + 2 < field.size()) {
    const auto allowed = split(field.substr(mark + 3), '|');
    if (std::find(allowed.begin(), allowed.end(), json::value_to<std::string>(*value)) == allowed.end())
      return "request body has an error: value of \"" + name + "\" is not one of the allowed values";
  }
  return std::nullopt;
}

std::optional<std::string> check_body(const Route& route, ApiRequest& request) {
  const std::string type = lower(request.head.header("content-type").value_or(""));
  if (trim(type.substr(0, type.find(';'))) != "application/json")
    return "request body has an error: header Content-Type has unexpected value \"" + type + "\"";
  const auto parsed = parse_json(request.body.bytes());
  if (!parsed) return "request body has an error: failed to decode request body";
  request.json_value = *parsed;
  if (route.body == "[") {
    if (parsed->is_array()) return std::nullopt;
    return "request body has an error: value must be an array";
  }
  if (!parsed->is_object()) return "request body has an error: value must be an object";
  request.json = parsed->get_object();
  for (const std::string& field : split(route.body, ' '))
    if (auto wrong = check_field(field, request.json)) return wrong;
  return std::nullopt;
}

}  // namespace

Router::Router() {
  std::vector<Route> routes;
  add_account_calls(routes);
  add_repository_calls(routes);
  add_branch_calls(routes);
  add_commit_calls(routes);
  add_upload_calls(routes);
  add_object_calls(routes);
  add_multipart_calls(routes);
  for (Route& route : routes) {
    auto segments = split(route.pattern, '/');
    entries_.push_back({std::move(route), std::move(segments)});
  }
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const auto segments = split(path, '/');
  for (const Entry& entry : entries_) {
    if (entry.route.method != method || entry.segments.size() != segments.size()) continue;
    std::map<std::string, std::string> params;
    bool fits = true;
    for (std::size_t i = 0; fits && i < segments.size(); ++i) {
      const std::string& wanted = entry.segments[i];
      if (wanted.empty() || wanted.front() != '{') {
        fits = wanted == segments[i];
        continue;
      }
      const auto value =
          query_unescape(segments[i]);  // A '+' in a segment is a space, as in the real server.
      fits = value && !value->empty();
      if (fits) params[wanted.substr(1, wanted.size() - 2)] = *value;
    }
    if (fits) return {&entry.route, std::move(params)};
  }
  return {};
}

std::optional<std::string> validate(const Route& route, ApiRequest& request) {
  for (const std::string& name : route.required)
    if (request.query.text(name).empty())
      return "parameter \"" + name + "\" in query has an error: value is required but missing";
  if (const auto amount = request.query.get("amount")) {
    const auto number = parse_integer(*amount);
    if (!number || *number < -1 || *number > 1000)
      return "parameter \"amount\" in query has an error: number must be at most 1000";
  }
  for (const char* name : {"presign", "user_metadata", "force", "no_tombstone", "show_hidden"}) {
    const auto flag = request.query.get(name);
    if (flag && *flag != "true" && *flag != "false")
      return "parameter \"" + std::string(name) + "\" in query has an error: an invalid boolean";
  }
  static const std::regex kRange("^bytes=((\\d*-\\d*,? ?)+)$");
  const auto range = request.head.header("range");
  if (range && route.operation != "link_physical_address" && !std::regex_match(*range, kRange))
    return "parameter \"Range\" in header has an error: string doesn't match the regular expression";
  return route.body.empty() ? std::nullopt : check_body(route, request);
}

std::optional<std::string> find_repeated(const ApiRequest& request) {
  for (const char* name : {"path", "dest_path", "prefix", "after", "delimiter", "amount", "presign"})
    if (request.query.count(name) > 1)
      return "Invalid format for parameter " + std::string(name) + ": multiple values";
  for (const char* name : {"if-none-match", "if-match"})
    if (request.head.headers.count(name) > 1) return "Expected one value for " + std::string(name);
  return std::nullopt;
}

}  // namespace lakefuse::test::devserver
