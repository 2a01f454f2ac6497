// The little of JSON that the server's rooms share.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace lakefuse::test::devserver {

namespace json = boost::json;

// As Go writes it: bytes that are not UTF-8 become U+FFFD, and <, >, & are escaped.
std::string to_text(const json::value& value);
// Exactly the bytes that are in it: for our own files.
std::string to_raw_text(const json::value& value);
std::optional<json::value> parse_json(std::string_view text);      // Strict.
std::optional<json::value> parse_raw_json(std::string_view text);  // What to_raw_text wrote.

std::string text_or(const json::object& object, std::string_view name, std::string_view otherwise = "");
std::int64_t number_or(const json::object& object, std::string_view name, std::int64_t otherwise = 0);
bool flag_or(const json::object& object, std::string_view name, bool otherwise = false);

}  // namespace lakefuse::test::devserver
