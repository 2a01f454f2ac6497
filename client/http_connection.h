#pragma once

#include <memory>
#include <optional>

#include "client/http.h"
#include "client/proxies.h"
#include "client/tls_trust.h"
#include "client/url.h"

namespace lakefuse {

// One connection to one origin, plain or TLS, straight or through a proxy. Used by one thread at a time.
// Every call blocks on an io_context of the connection's own, which is how each wait gets a deadline and an
// end by the thread's Patience: Beast and Asio have none for blocking calls.
class HttpConnection {
 public:
  // kUnavailable: refused or unreachable; kTimeout: not within deadlines.connect; kUntrustworthy: its
  // certificate is not trusted or not for this host; kInterrupted. kUnavailable, too, where the proxy
  // refuses. The trust outlives the connection.
  static Result<std::unique_ptr<HttpConnection>> open(const Origin& origin, const TlsTrust& trust,
                                                      const HttpDeadlines& deadlines,
                                                      const std::optional<Proxy>& proxy = {});
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Sends one request and reads its answer, whatever the status; redirects are answers too. kUnavailable: the
  // connection broke; kTimeout; kInterrupted; kUntrustworthy: what came is no HTTP, or too long; what the
  // request's source fails with. An answer whose length is not that of sink.into comes without its body.
  // After a failure only progress() may be called.
  Result<HttpResponse> exchange(const HttpRequest& request, const HttpSink& sink,
                                const HttpDeadlines& deadlines);

  // How far the last exchange got, for whoever thinks of repeating it.
  enum class Progress { kNothingSent, kSent, kAnswering };
  [[nodiscard]] Progress progress() const;

  // True when the next request may use this connection: the answer was read to its end and keep-alive is on.
  [[nodiscard]] bool is_reusable() const;
  // True while an idle connection has nothing to say: neither closed by the other side nor anything unasked
  // for.
  [[nodiscard]] bool is_quiet() const;

 private:
  struct Impl;
  explicit HttpConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lakefuse
