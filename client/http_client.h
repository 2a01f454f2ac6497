#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "client/boot_clock.h"
#include "client/http_connection.h"
#include "client/proxies.h"
#include "client/throttle.h"

namespace lakefuse {

// Whether a request may be sent again when nobody knows if it was carried out (lakefs-api.md section 9).
enum class Repeat { kSafe, kOnce };

// What became of one request. `maybe_done` is false only when the other side cannot have carried it out.
struct HttpOutcome {
  Result<HttpResponse> response;
  bool maybe_done = true;
};

// Connections kept alive, per origin, of the few origins that were called last. Safe to use from many threads
// at once; each call takes a connection for itself and blocks as HttpConnection does, and a second more where
// the origin says that it is sent too many.
// Redirects are never followed. Knows nothing of credentials.
class HttpClient {
 public:
  explicit HttpClient(std::shared_ptr<const TlsTrust> trust, Proxies proxies = {})
      : trust_(std::move(trust)), proxies_(std::move(proxies)) {}

  // Sends the request once; a second time, on a fresh connection, only when a kept one turned out to be
  // closed and either nothing was sent or the call is safe to repeat and nothing of an answer had come.
  HttpOutcome call(const Origin& origin, const HttpRequest& request, const HttpSink& sink,
                   const HttpDeadlines& deadlines, Repeat repeat);

  [[nodiscard]] const std::vector<Secret>& proxy_secrets() const { return proxies_.secrets(); }

 private:
  struct Kept {
    std::unique_ptr<HttpConnection> connection;
    BootClock::time_point since;
  };

  HttpOutcome send(const Origin& origin, const HttpRequest& request, const HttpSink& sink,
                   const HttpDeadlines& deadlines, Repeat repeat);
  // For an origin: what this process's limit of descriptors leaves room for when the client is made.
  static std::size_t most_kept();
  std::unique_ptr<HttpConnection> take(const Origin& origin);
  void keep(const Origin& origin, std::unique_ptr<HttpConnection> connection);

  const std::shared_ptr<const TlsTrust> trust_;
  const Proxies proxies_;
  const std::size_t most_kept_ = most_kept();
  Throttle throttle_;

  std::mutex mutex_;  // A leaf: never held over a call, nor over closing a connection.
  std::map<Origin, std::vector<Kept>> kept_;  // Guarded by mutex_. Latest last.
};

}  // namespace lakefuse
