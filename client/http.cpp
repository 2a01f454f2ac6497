#include "client/http.h"

#include <algorithm>

#include "client/text.h"

namespace lakefuse {
namespace {

bool is_token_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_value_character(char c) {
  return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7F);
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view HttpHeaders::get(std::string_view name) const {
  for (const auto& [key, value] : fields_) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

bool HttpHeaders::has(std::string_view name) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const auto& field) { return equals_ignoring_case(field.first, name); });
}

Result<> check_header(std::string_view name, std::string_view value) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_token_character))
    return Error{Errc::kInvalid, "a name that no HTTP header can have"};
  if (!std::all_of(value.begin(), value.end(), is_value_character))
    return Error{Errc::kInvalid, "a line break or control character, which no HTTP header can carry"};
  return {};
}

Result<std::string> request_head(const HttpRequest& request, std::string_view host) {
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\nHost: " + std::string(host) +
                     "\r\nUser-Agent: lakefuse/" LAKEFUSE_VERSION "\r\nAccept: */*\r\n";
  for (const auto& [name, value] : request.headers.all()) {
    if (auto good = check_header(name, value); !good) return good.error().in("header " + name.substr(0, 64));
    head += name + ": " + value + "\r\n";
  }
  if (request.has_body()) head += "Content-Length: " + std::to_string(request.body_bytes()) + "\r\n";
  head += "\r\n";
  return head;
}

}  // namespace lakefuse
