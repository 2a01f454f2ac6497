#include "client/url.h"

#include <algorithm>

#include "client/text.h"

namespace lakefuse {
namespace {

// Presigned URLs have one or two KiB, with session tokens a few more; nothing good is longer than this.
constexpr std::size_t kMaxUrlBytes = 64 * 1024;

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_host_character(char c) {
  return is_unreserved(c) && c != '~';
}
bool is_ipv6_character(char c) {
  return hex_value(c) >= 0 || c == ':' || c == '.';
}

Error invalid(std::string why) {
  return {Errc::kInvalid, std::move(why)};
}

Result<std::uint16_t> parse_port(std::string_view text) {
  const auto port = number_in<std::uint16_t>(text);
  if (!port || *port == 0) return invalid("the port is not a number from 1 to 65535");
  return *port;
}

Result<Origin> parse_authority(std::string_view text, bool tls) {
  Origin origin{tls, {}, static_cast<std::uint16_t>(tls ? 443 : 80)};
  if (text.find('@') != text.npos) return invalid("a user name or password in the URL");
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == text.npos) return invalid("'[' without ']' in the host");
    origin.host = lower(text.substr(1, close - 1));
    rest = text.substr(close + 1);
    if (!std::all_of(origin.host.begin(), origin.host.end(), is_ipv6_character))
      return invalid("the host in brackets is no IPv6 address");
  } else {
    const std::size_t colon = text.find(':');
    origin.host = lower(text.substr(0, colon));
    rest = colon == text.npos ? std::string_view() : text.substr(colon);
    if (!std::all_of(origin.host.begin(), origin.host.end(), is_host_character))
      return invalid("the host has characters that no host name has");
  }
  if (origin.host.empty()) return invalid("no host");
  if (origin.host.size() > 255) return invalid("a host name of over 255 characters");
  if (rest.empty() || rest == ":") return origin;
  if (!rest.starts_with(':')) return invalid("something between host and port");
  auto port = parse_port(rest.substr(1));
  if (!port) return port.error();
  origin.port = *port;
  return origin;
}

}  // namespace

std::string host_and_port(const Origin& origin) {
  const std::string host = origin.host.find(':') == std::string::npos ? origin.host : "[" + origin.host + "]";
  return host + ":" + std::to_string(origin.port);
}

std::string host_header(const Origin& origin) {
  std::string out = host_and_port(origin);
  if (origin.port == (origin.tls ? 443 : 80)) out.resize(out.rfind(':'));
  return out;
}

std::string to_string(const Origin& origin) {
  return (origin.tls ? "https://" : "http://") + host_header(origin);
}

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return invalid("a URL of over 64 KiB");
  const std::size_t colon = text.find("://");
  if (colon == text.npos) return invalid("no http:// or https:// in front");
  const std::string scheme = lower(text.substr(0, colon));
  if (scheme != "http" && scheme != "https") return invalid("the scheme is neither http nor https");

  text.remove_prefix(colon + 3);
  const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
  auto origin = parse_authority(text.substr(0, end), scheme == "https");
  if (!origin) return origin.error();

  std::string_view target = text.substr(end);
  target = target.substr(0, target.find('#'));  // A fragment is the reader's own and is never sent.
  if (std::any_of(target.begin(), target.end(), [](char c) { return c <= ' ' || c == 0x7F; }))
    return invalid("a space or control character in the URL");
  Url url{*origin, std::string(target)};
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  return url;
}

std::string percent_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) {
    if (is_unreserved(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(c);
    out += {'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out;
}

Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return invalid("a '%' that no two hex digits follow (write %25 for '%' itself)");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace lakefuse
