#pragma once

#include <filesystem>
#include <memory>

#include "client/error.h"
#include "client/tls_sessions.h"

struct ssl_ctx_st;
struct ssl_st;

namespace lakefuse {

// Whom we believe over TLS: the system's certificate store (or SSL_CERT_FILE and SSL_CERT_DIR, as OpenSSL
// does), and besides it the authorities of one file. TLS 1.2 at least; a certificate must be trusted and name
// the host. Constant after it was loaded, but for the sessions with those who passed; safe to use from many
// threads at once.
class TlsTrust {
 public:
  // kLocalIo: the file cannot be read or holds no certificate. An empty path: the system's store alone.
  static Result<std::shared_ptr<const TlsTrust>> load(const std::filesystem::path& ca_file);

  [[nodiscard]] ssl_ctx_st* context() const { return context_.get(); }
  [[nodiscard]] TlsSessions& sessions() const { return sessions_; }

  // Makes one TLS session expect `host` (a name or an address) and say so to the server.
  static bool expect(ssl_st* session, const std::string& host);
  // Why the peer's certificate was refused, in OpenSSL's words; empty if it was not.
  static std::string refusal(ssl_st* session);

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  explicit TlsTrust(ssl_ctx_st* context) : context_(context) {}
  std::unique_ptr<ssl_ctx_st, Free> context_;
  mutable TlsSessions sessions_;
};

}  // namespace lakefuse
