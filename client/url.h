#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "client/error.h"

namespace lakefuse {

// Who answers: connections are kept per origin, and credentials belong to one. The host is in lower case, an
// IPv6 address without its brackets.
struct Origin {
  bool tls = false;
  std::string host;
  std::uint16_t port = 0;
  auto operator<=>(const Origin&) const = default;
};

// "http://host:8000", with the port only where it is not the scheme's own: for people.
[[nodiscard]] std::string to_string(const Origin& origin);
// "host:443", with the port always: what a proxy is asked for.
[[nodiscard]] std::string host_and_port(const Origin& origin);
// The Host header: with the port only where it is not the scheme's own.
[[nodiscard]] std::string host_header(const Origin& origin);

// An absolute http or https URL. `target` goes on the wire as it is: it was never decoded, so that a
// signature over it stays good.
struct Url {
  Origin origin;
  std::string target;  // Path and query; starts with '/'.
};

// Fails with kInvalid: another scheme, no host, credentials in it, characters that cannot be sent, or over 64
// KiB. The message never repeats the URL, which may be a credential.
Result<Url> parse_url(std::string_view text);

// Everything outside RFC 3986's unreserved characters as %XX: right in a query and in a path segment, also
// for servers that take '+' for a space or ';' for a separator.
[[nodiscard]] std::string percent_encode(std::string_view text);

// kInvalid: a '%' that no two hex digits follow.
Result<std::string> percent_decode(std::string_view text);

}  // namespace lakefuse
