#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>

#include "client/url.h"

struct ssl_session_st;
struct ssl_st;

namespace lakefuse {

// TLS sessions, for the next connection to the same origin to take up: then no certificate comes and no chain
// is verified. Only sessions of full handshakes, and each for an hour: whoever is trusted no longer does not
// get in by an old acquaintance for ever. Safe to use from many threads at once; never blocks.
class TlsSessions {
 public:
  // Before the handshake; the server may insist on a full one all the same.
  void take_up(ssl_st* connection, const Origin& origin);
  // Once an answer was read, for tickets come with the first one.
  void remember(ssl_st* connection, const Origin& origin);

 private:
  struct Free {
    void operator()(ssl_session_st* session) const;
  };
  using Session = std::unique_ptr<ssl_session_st, Free>;
  struct Remembered {
    Session session;
    std::chrono::steady_clock::time_point since;
  };
  static Session copy_of(ssl_session_st* session);

  std::mutex mutex_;                        // A leaf.
  std::map<Origin, Remembered> by_origin_;  // Guarded by mutex_.
};

}  // namespace lakefuse
