#include "tests/bench/wire.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

namespace lakefuse::bench {

Wire::Wire(const std::string& origin) : host_(origin) {
  const auto colon = origin.rfind(':');
  const std::string name = origin.substr(0, colon);
  const std::string port = colon == std::string::npos ? "80" : origin.substr(colon + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), port.c_str(), &hints, &found) != 0)
    throw std::runtime_error("no such host: " + name);
  socket_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int connected = connect(socket_, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (connected != 0) {
    close(socket_);
    throw std::runtime_error("nobody listens at " + origin);
  }
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Wire::~Wire() {
  close(socket_);
}

Answer Wire::call(std::string_view method, std::string_view target, std::string_view headers,
                  std::string_view body) {
  std::string request;
  request.append(method)
      .append(" ")
      .append(target)
      .append(" HTTP/1.1\r\nHost: ")
      .append(host_)
      .append("\r\n");
  if (method != "GET") request.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  request.append(headers).append("\r\n").append(body);
  for (std::string_view rest = request; !rest.empty();) {
    const auto sent = send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent <= 0) throw std::runtime_error("the connection to " + host_ + " ended");
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }

  Answer answer;
  answer.status = std::stoi(line().substr(9));
  std::size_t length = 0;
  bool chunked = false;
  for (std::string header = line(); !header.empty(); header = line()) {
    if (strncasecmp(header.c_str(), "content-length:", 15) == 0) length = std::stoull(header.substr(15));
    if (strncasecmp(header.c_str(), "transfer-encoding:", 18) == 0)
      chunked = header.find("chunked") != std::string::npos;
  }
  if (!chunked) take(length, answer.body);
  while (chunked) {
    const std::size_t size = std::stoull(line(), nullptr, 16);
    take(size, answer.body);
    line();
    chunked = size != 0;
  }
  return answer;
}

void Wire::fill() {
  inbox_.erase(0, std::exchange(read_, 0));
  const std::size_t held = inbox_.size();
  inbox_.resize(held + (1 << 16));
  const auto got = recv(socket_, inbox_.data() + held, 1 << 16, 0);
  inbox_.resize(held + static_cast<std::size_t>(got > 0 ? got : 0));
  if (got <= 0) throw std::runtime_error("the connection to " + host_ + " ended");
}

std::string Wire::line() {
  std::size_t end;
  while ((end = inbox_.find("\r\n", read_)) == std::string::npos) fill();
  std::string found = inbox_.substr(read_, end - read_);
  read_ = end + 2;
  return found;
}

void Wire::take(std::size_t count, std::string& into) {
  while (inbox_.size() - read_ < count) fill();
  into.append(inbox_, read_, count);
  read_ += count;
}

}  // namespace lakefuse::bench
