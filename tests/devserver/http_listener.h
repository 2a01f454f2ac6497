// One origin: accepts connections on a loopback port, speaks HTTP/1.1 (over TLS if asked), keeps connections
// alive.
//
// Each connection has a thread of its own, which reads a request, asks the service, writes the answer.
// Simple, and enough: tests open hundreds of connections, not tens of thousands, and a held or stalled call
// holds only itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/devserver/http_message.h"

namespace lakefuse::test::devserver {

class HttpListener {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;  // 0: a free one, the same again after stop() and start().
    std::filesystem::path tls_cert;
    std::filesystem::path tls_key;
    std::filesystem::path spool;  // Where large bodies go while they come.
  };

  HttpListener(HttpService& service, Options options);  // Does not listen yet.
  ~HttpListener();                                      // Stops.

  void start();                // Throws std::system_error where the port is taken.
  void stop();                 // Cuts all connections and waits for their threads. The port stays ours.
  void drop_connections();     // Cuts all connections; new ones are welcome.
  std::string origin() const;  // "http://127.0.0.1:PORT". REQUIRES: started once.

 private:
  class Rooms;
  std::unique_ptr<Rooms> rooms_;
};

}  // namespace lakefuse::test::devserver
