#include "tests/devserver/json.h"

#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {

std::string to_text(const json::value& value) {
  const std::string plain = valid_utf8(json::serialize(value));
  std::string out;
  out.reserve(plain.size());
  for (const char c : plain) {  // These three can only stand inside strings.
    if (c == '<')
      out += "\\u003c";
    else if (c == '>')
      out += "\\u003e";
    else if (c == '&')
      out += "\\u0026";
    else
      out += c;
  }
  return out;
}

std::string to_raw_text(const json::value& value) {
  return json::serialize(value);
}

std::optional<json::value> parse_json(std::string_view text) {
  json::error_code failed;
  json::value value = json::parse({text.data(), text.size()}, failed);
  return failed ? std::nullopt : std::optional(std::move(value));
}

std::optional<json::value> parse_raw_json(std::string_view text) {
  json::parse_options options;
  options.allow_invalid_utf8 = true;
  json::error_code failed;
  json::value value = json::parse({text.data(), text.size()}, failed, {}, options);
  return failed ? std::nullopt : std::optional(std::move(value));
}

std::string text_or(const json::object& object, std::string_view name, std::string_view otherwise) {
  const json::value* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_string()) return std::string(otherwise);
  const auto& text = value->get_string();
  return {text.data(), text.size()};
}

std::int64_t number_or(const json::object& object, std::string_view name, std::int64_t otherwise) {
  const json::value* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr) return otherwise;
  if (value->is_int64()) return value->get_int64();
  if (value->is_uint64()) return static_cast<std::int64_t>(value->get_uint64());
  if (value->is_double()) return static_cast<std::int64_t>(value->get_double());
  return otherwise;
}

bool flag_or(const json::object& object, std::string_view name, bool otherwise) {
  const json::value* value = object.if_contains({name.data(), name.size()});
  return value != nullptr && value->is_bool() ? value->get_bool() : otherwise;
}

}  // namespace lakefuse::test::devserver
