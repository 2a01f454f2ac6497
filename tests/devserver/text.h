// Encodings of text as the wire has them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lakefuse::test::devserver {

// Go's url.QueryUnescape: '+' is a space. Nothing where a '%' is not followed by two hex digits.
std::optional<std::string> query_unescape(std::string_view text);
std::string percent_encode(std::string_view text);       // Everything outside RFC 3986's unreserved.
std::string percent_encode_path(std::string_view text);  // The same, '/' excepted.

std::string hex(std::string_view bytes);
std::string base64(std::string_view bytes);
std::string base64url(std::string_view bytes);  // Unpadded.
std::optional<std::string> base64_decode(std::string_view text);
std::optional<std::string> base64url_decode(std::string_view text);

// Go's encoder: each byte that is not UTF-8 becomes U+FFFD.
std::string valid_utf8(std::string_view bytes);
std::string lower(std::string_view text);
std::string trim(std::string_view text, std::string_view what = " \t\r\n");
std::vector<std::string> split(std::string_view text, char separator);
std::string http_date(std::int64_t unix_seconds);   // "Tue, 25 Nov 2025 03:27:00 GMT"
std::string basic_date(std::int64_t unix_seconds);  // "20251125T032700Z"
std::optional<std::int64_t> parse_basic_date(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);

std::string random_uuid();
std::string random_bytes(std::size_t n);

// A query string as Go's url.ParseQuery reads it: a pair with a raw ';' or a bad escape is dropped.
class Query {
 public:
  Query() = default;
  explicit Query(std::string_view raw);

  std::size_t count(std::string_view name) const;
  std::optional<std::string> get(std::string_view name) const;  // The first.
  std::string text(std::string_view name) const;                // Empty where there is none.
  bool flag(std::string_view name, bool otherwise) const;
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace lakefuse::test::devserver
