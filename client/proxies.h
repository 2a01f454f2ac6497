#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/environment.h"
#include "client/error.h"
#include "client/secret.h"
#include "client/url.h"

namespace lakefuse {

// The HTTP proxy on the way to an origin. A value type.
struct Proxy {
  Origin origin;
  Secret authorization;  // What Proxy-Authorization says; empty: nothing.
};

// Which origins are reached through which proxy: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in capitals or not, as
// Go's net/http reads them, and so lakectl. This machine itself is never reached through one. A value type.
class Proxies {
 public:
  Proxies() = default;  // None.
  explicit Proxies(const Environment& environment);

  // Nothing: there is no proxy on this way. kInvalid: the variable names none that we can use; the sentence
  // names the variable and never its value, which may hold a password.
  [[nodiscard]] Result<std::optional<Proxy>> towards(const Origin& origin) const;
  // Their passwords, in every form in which they could be said back to us.
  [[nodiscard]] const std::vector<Secret>& secrets() const { return secrets_; }

 private:
  using Address = std::array<std::uint8_t, 16>;  // IPv6; IPv4 mapped into it.

  // One entry of NO_PROXY.
  struct Exception {
    std::string domain;  // ".example.com"; empty for an address.
    bool and_itself = false;
    Address network{};
    int network_bits = 0;
    std::optional<std::uint16_t> port;
  };

  // "http://user:password@host:port"; without a scheme it is http.
  Result<std::optional<Proxy>> proxy_in(const Environment& environment, const std::string& name);
  static std::optional<Address> address_in(const std::string& text);
  static std::optional<Exception> exception_in(const std::string& entry);
  [[nodiscard]] bool is_direct(const Origin& origin) const;

  std::vector<Secret> secrets_;  // Before the two that fill it.
  Result<std::optional<Proxy>> for_http_ = std::optional<Proxy>();
  Result<std::optional<Proxy>> for_https_ = std::optional<Proxy>();
  bool all_direct_ = false;
  std::vector<Exception> exceptions_;
};

}  // namespace lakefuse
