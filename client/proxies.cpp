#include "client/proxies.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "client/encodings.h"
#include "client/text.h"

namespace lakefuse {
namespace {

std::string variable(const Environment& environment, const std::string& name) {
  const std::string value = environment(name).value_or("");
  return value.empty() ? environment(lower(name)).value_or("") : value;
}

std::string trimmed_lower(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t') out += lower(c);
  }
  return out;
}

}  // namespace

Result<std::optional<Proxy>> Proxies::proxy_in(const Environment& environment, const std::string& name) {
  std::string text = variable(environment, name);
  if (text.empty()) return std::optional<Proxy>();
  if (text.find("://") == std::string::npos) text.insert(0, "http://");
  const std::size_t authority = text.find("://") + 3;
  const std::size_t at = text.substr(0, text.find('/', authority)).rfind('@');
  Proxy proxy;
  if (at != std::string::npos && at >= authority) {
    const auto user = percent_decode(text.substr(authority, at - authority));
    if (!user) return user.error().in(name);
    const std::size_t colon = std::min(user->find(':'), user->size());
    const std::string pair = to_base64(*user + (colon < user->size() ? "" : ":"));
    proxy.authorization = Secret("Basic " + pair);
    secrets_.emplace_back(pair);
    secrets_.emplace_back(user->substr(std::min(colon + 1, user->size())));
    text.erase(authority, at + 1 - authority);
  }
  const auto url = parse_url(text);
  if (!url) return url.error().in(name);
  if (url->origin.tls) return Error{Errc::kInvalid, name + ": only proxies at http:// are known here"};
  proxy.origin = url->origin;
  return std::optional(std::move(proxy));
}

std::optional<Proxies::Address> Proxies::address_in(const std::string& text) {
  Address address{};
  in_addr four{};
  if (inet_pton(AF_INET, text.c_str(), &four) == 1) {
    address[10] = address[11] = 0xFF;
    std::memcpy(&address[12], &four, sizeof four);
    return address;
  }
  if (inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return address;
  return std::nullopt;
}

// "example.com" (and all below it), ".example.com" or "*.example.com" (only below it), an address,
// "10.0.0.0/8", each but the last with ":port" or without.
std::optional<Proxies::Exception> Proxies::exception_in(const std::string& entry) {
  Exception exception;
  if (const std::size_t slash = entry.find('/'); slash != std::string::npos) {
    const auto network = address_in(entry.substr(0, slash));
    const auto bits = number_in<int>(std::string_view(entry).substr(slash + 1));
    const int mapped = entry.find(':') == std::string::npos ? 96 : 0;
    if (!network || !bits || *bits < 0 || *bits + mapped > 128) return std::nullopt;
    exception.network = *network;
    exception.network_bits = *bits + mapped;
    return exception;
  }
  std::string host = entry;
  std::string port;
  if (entry.starts_with('[') && entry.find(']') != std::string::npos) {
    host = entry.substr(1, entry.find(']') - 1);
    port = entry.substr(entry.find(']') + 1);
  } else if (std::count(entry.begin(), entry.end(), ':') == 1) {
    host = entry.substr(0, entry.find(':'));
    port = entry.substr(entry.find(':'));
  }
  if (!port.empty()) {
    exception.port = number_in<std::uint16_t>(std::string_view(port).substr(1));
    if (!exception.port) return std::nullopt;
  }
  if (host.empty()) return std::nullopt;
  if (const auto address = address_in(host)) {
    exception.network = *address;
    exception.network_bits = 128;
    return exception;
  }
  if (host.starts_with("*.")) host.erase(0, 1);
  exception.and_itself = !host.starts_with('.');
  exception.domain = exception.and_itself ? "." + host : host;
  return exception;
}

Proxies::Proxies(const Environment& environment)
    : for_http_(proxy_in(environment, "HTTP_PROXY")), for_https_(proxy_in(environment, "HTTPS_PROXY")) {
  const std::string list = variable(environment, "NO_PROXY");
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t comma = std::min(list.find(',', from), list.size());
    const std::string entry = trimmed_lower(std::string_view(list).substr(from, comma - from));
    from = comma + 1;
    if (entry == "*") all_direct_ = true;
    if (entry.empty() || entry == "*") continue;
    // What makes no sense is passed over, as Go does.
    if (auto exception = exception_in(entry)) exceptions_.push_back(*std::move(exception));
  }
}

bool Proxies::is_direct(const Origin& origin) const {
  if (all_direct_ || origin.host == "localhost") return true;
  const auto address = address_in(origin.host);
  const auto is_in = [&](const Address& network, int bits) {
    for (int bit = 0; bit < bits; ++bit) {
      const auto byte = static_cast<std::size_t>(bit / 8);
      if ((((*address)[byte] ^ network[byte]) & (0x80 >> (bit % 8))) != 0) return false;
    }
    return true;
  };
  if (address && (is_in(*address_in("127.0.0.0"), 96 + 8) || is_in(*address_in("::1"), 128))) return true;
  return std::any_of(exceptions_.begin(), exceptions_.end(), [&](const Exception& exception) {
    if (exception.port && *exception.port != origin.port) return false;
    if (exception.domain.empty()) return address && is_in(exception.network, exception.network_bits);
    return !address && (origin.host.ends_with(exception.domain) ||
                        (exception.and_itself && origin.host == exception.domain.substr(1)));
  });
}

Result<std::optional<Proxy>> Proxies::towards(const Origin& origin) const {
  if (is_direct(origin)) return std::optional<Proxy>();
  return origin.tls ? for_https_ : for_http_;
}

}  // namespace lakefuse
