#include "client/tls_sessions.h"

#include <openssl/ssl.h>

#include <utility>

namespace lakefuse {
namespace {

constexpr std::chrono::hours kGoodFor{1};
// Some KiB each. There are a few origins; a server whose URLs lead to ever new ones has all forgotten.
constexpr std::size_t kMostOrigins = 64;

}  // namespace

void TlsSessions::Free::operator()(ssl_session_st* session) const {
  SSL_SESSION_free(session);
}

// Each connection has a copy of its own: OpenSSL spoils the session of one that ends without a farewell.
TlsSessions::Session TlsSessions::copy_of(ssl_session_st* session) {
  return Session(session == nullptr ? nullptr : SSL_SESSION_dup(session));
}

void TlsSessions::take_up(ssl_st* connection, const Origin& origin) {
  const std::lock_guard lock(mutex_);
  const auto found = by_origin_.find(origin);
  if (found == by_origin_.end()) return;
  if (found->second.since + kGoodFor < std::chrono::steady_clock::now())
    by_origin_.erase(found);
  else
    SSL_set_session(connection, copy_of(found->second.session.get()).get());
}

void TlsSessions::remember(ssl_st* connection, const Origin& origin) {
  if (SSL_session_reused(connection) == 1) return;
  Session session = copy_of(SSL_get_session(connection));
  if (!session || SSL_SESSION_is_resumable(session.get()) != 1) return;
  const std::lock_guard lock(mutex_);
  if (by_origin_.size() >= kMostOrigins) by_origin_.clear();
  by_origin_[origin] = {std::move(session), std::chrono::steady_clock::now()};
}

}  // namespace lakefuse
