#include "client/tls_trust.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace lakefuse {

void TlsTrust::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

Result<std::shared_ptr<const TlsTrust>> TlsTrust::load(const std::filesystem::path& ca_file) {
  std::shared_ptr<TlsTrust> trust(new TlsTrust(SSL_CTX_new(TLS_client_method())));
  SSL_CTX* context = trust->context();
  if (context == nullptr) return Error{Errc::kLocalIo, "OpenSSL cannot be initialised"};
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);  // Idle connections keep no 34 KiB each.
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(context, kHttp11, sizeof kHttp11 - 1);
  SSL_CTX_set_default_verify_paths(context);
  if (!ca_file.empty() && SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr) != 1) {
    ERR_clear_error();
    return Error{Errc::kLocalIo,
                 "the CA file " + ca_file.string() + " cannot be read as certificates in PEM form"};
  }
  ERR_clear_error();
  return std::shared_ptr<const TlsTrust>(std::move(trust));
}

bool TlsTrust::expect(ssl_st* session, const std::string& host) {
  X509_VERIFY_PARAM* rules = SSL_get0_param(session);
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  // An address is looked for among the certificate's addresses, and is never sent as a server name.
  if (X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1) return true;
  ERR_clear_error();
  return SSL_set_tlsext_host_name(session, host.c_str()) == 1 &&
         X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size()) == 1;
}

std::string TlsTrust::refusal(ssl_st* session) {
  const long verdict = SSL_get_verify_result(session);
  return verdict == X509_V_OK ? std::string() : X509_verify_cert_error_string(verdict);
}

}  // namespace lakefuse
