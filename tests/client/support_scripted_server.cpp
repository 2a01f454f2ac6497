#include "support_scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace lakefuse::test {
namespace {

std::size_t content_length(const std::string& head) {
  const std::size_t at = head.find("Content-Length: ");
  return at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
}

}  // namespace

bool ScriptedServer::Peer::receive() {
  char bytes[65536];
  const ssize_t got = recv(socket_, bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  inbox_.append(bytes, static_cast<std::size_t>(got));
  return true;
}

std::string ScriptedServer::Peer::head() {
  std::size_t end = 0;
  while ((end = inbox_.find("\r\n\r\n")) == std::string::npos) {
    if (!receive()) return {};
  }
  std::string out = inbox_.substr(0, end + 4);
  inbox_.erase(0, end + 4);
  return out;
}

std::string ScriptedServer::Peer::request() {
  std::string out = head();
  const std::size_t length = content_length(out);
  while (inbox_.size() < length) {
    if (!receive()) return {};
  }
  out += inbox_.substr(0, length);
  inbox_.erase(0, length);
  return out;
}

void ScriptedServer::Peer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void ScriptedServer::Peer::connect_to(std::uint16_t port) {
  const int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  bool open = connect(far, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  while (open) {
    pollfd ready[] = {{socket_, POLLIN, 0}, {far, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0) break;
    for (int side = 0; side < 2 && open; ++side) {
      if (ready[side].revents == 0) continue;
      char bytes[65536];
      const ssize_t got = recv(ready[side].fd, bytes, sizeof bytes, 0);
      open = got > 0 && ::send(ready[1 - side].fd, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
    }
  }
  close(far);
}

void ScriptedServer::Peer::wait_for_close() {
  while (receive()) {
  }
}

void ScriptedServer::Peer::reset() {
  // Dissolves the connection with a reset; the descriptor stays ours to close.
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  connect(socket_, &nowhere, sizeof nowhere);
}

ScriptedServer::ScriptedServer(Script script) : script_(std::move(script)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener_ < 0 || bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0)
    throw std::runtime_error("cannot listen on loopback");
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

ScriptedServer::Script ScriptedServer::always(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    while (!peer.request().empty()) peer.send(answer);
  };
}

void ScriptedServer::accept_all() {
  for (;;) {
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const int at_once = 1;  // Each send() goes out by itself.
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    if (stopping_) return;
    ++connections_;
    threads_.emplace_back([this, socket] {
      Peer peer(socket);
      script_(peer);
      shutdown(socket, SHUT_RDWR);
    });
  }
}

ScriptedServer::~ScriptedServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int socket : sockets_) shutdown(socket, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  for (const int socket : sockets_) close(socket);
  close(listener_);
}

std::string json_answer(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " Said\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

}  // namespace lakefuse::test
