#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace lakefuse::test {

// A server that says what the test tells it to say, byte for byte: what no HTTP library would send. Each
// connection runs the script on a thread of its own. Destroying it ends all connections.
class ScriptedServer {
 public:
  // One connection, as the script sees it.
  class Peer {
   public:
    explicit Peer(int socket) : socket_(socket) {}
    // The next request, head and body (by Content-Length); "" when the other side has closed.
    std::string request();
    // As much of a request as comes before its body.
    std::string head();
    void send(std::string_view bytes);
    // Carries bytes between the other side and that port of this machine, until one of them closes.
    void connect_to(std::uint16_t port);
    // Waits for the other side to go away.
    void wait_for_close();
    // Closes such that the other side gets a reset.
    void reset();

   private:
    bool receive();

    const int socket_;
    std::string inbox_;
  };
  using Script = std::function<void(Peer&)>;

  explicit ScriptedServer(Script script);
  // Answers every request of every connection with the same bytes.
  static Script always(std::string answer);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept_all();

  const Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::thread acceptor_;

  mutable std::mutex mutex_;
  bool stopping_ = false;     // Guarded by mutex_.
  std::vector<int> sockets_;  // Guarded by mutex_. Closed at the end only, so that no number is used twice.
  std::list<std::thread> threads_;  // Guarded by mutex_.
};

// "HTTP/1.1 200 OK" with a JSON body and its length.
std::string json_answer(int status, const std::string& body);

}  // namespace lakefuse::test
