#include "fs/line_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace lakefuse {
namespace {

constexpr int kBacklog = 16;
constexpr std::chrono::seconds kWriteTimeout{10};  // A reader that stops reading must not hold a mount.
constexpr timeval kConnectTimeout{1, 0};           // Whoever listens takes calls at once.

Error trouble(const std::string& what) {
  const Errc code = errno == ECONNREFUSED || errno == ENOENT || errno == EPIPE || errno == ECONNRESET
                        ? Errc::kUnavailable
                        : Errc::kLocalIo;
  return {code, what + ": " + std::strerror(errno)};
}

// The address of a socket file. A path that sun_path cannot hold goes through the directory's descriptor.
class SocketAddress {
 public:
  explicit SocketAddress(const std::filesystem::path& socket) {
    address_.sun_family = AF_UNIX;
    std::string text = socket.string();
    if (text.size() >= sizeof(address_.sun_path)) {
      directory_ = UniqueFd(::open(socket.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      text = "/proc/self/fd/" + std::to_string(directory_.get()) + "/" + socket.filename().string();
    }
    text.copy(address_.sun_path, sizeof(address_.sun_path) - 1);
  }

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t kSize = sizeof(sockaddr_un);

 private:
  sockaddr_un address_{};
  UniqueFd directory_;
};

}  // namespace

Result<LineSocket> LineSocket::connect(const std::filesystem::path& socket) {
  LineSocket line{UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  const SocketAddress address(socket);
  // Where nobody takes calls (a stopped process) the queue is full after a few, and connect(2) waits for
  // room.
  if (line.fd_)
    ::setsockopt(line.fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectTimeout, sizeof(kConnectTimeout));
  if (!line.fd_ || ::connect(line.fd_.get(), address.get(), SocketAddress::kSize) != 0) {
    if (errno == EAGAIN) return Error{Errc::kTimeout, socket.string() + " takes no calls"};
    return trouble(socket.string());
  }
  return line;
}

Result<LineSocket> LineSocket::listen(const std::filesystem::path& socket) {
  LineSocket line{UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  ::unlink(socket.c_str());
  const SocketAddress address(socket);
  if (!line.fd_ || ::bind(line.fd_.get(), address.get(), SocketAddress::kSize) != 0 ||
      ::chmod(socket.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(line.fd_.get(), kBacklog) != 0) {
    return trouble("cannot listen at " + socket.string());
  }
  return line;
}

Result<LineSocket> LineSocket::accept(std::chrono::milliseconds timeout) {
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, static_cast<int>(timeout.count())) == 0)
    return Error{Errc::kTimeout, "nobody calls"};
  for (;;) {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) return LineSocket(std::move(fd));
    if (errno == EINVAL) return Error{Errc::kInterrupted, "woken"};  // shutdown(2) of a listener.
    if (errno != EINTR && errno != ECONNABORTED) return trouble("cannot take a call");
  }
}

Result<uid_t> LineSocket::peer_user() const {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return trouble("cannot tell who calls");
  return peer.uid;
}

Result<std::string> LineSocket::read_line(std::chrono::milliseconds timeout, std::size_t most_bytes) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (std::size_t looked_at = 0;;) {
    if (const auto end = rest_.find('\n', looked_at); end != std::string::npos) {
      std::string line = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      return line;
    }
    if (rest_.size() > most_bytes) return Error{Errc::kTooLarge, "a line without end"};
    looked_at = rest_.size();
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
            .count();
    pollfd waiting{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Error{Errc::kTimeout, "no answer in time"};
    std::array<char, 16384> piece{};
    const ssize_t n = ::recv(fd_.get(), piece.data(), piece.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return trouble("the other end");
    if (n == 0) return Error{Errc::kUnavailable, "the other end has gone"};
    rest_.append(piece.data(), static_cast<std::size_t>(n));
  }
}

Result<> LineSocket::write_line(std::string_view line) {
  std::string text(line);
  text += '\n';
  const auto deadline = std::chrono::steady_clock::now() + kWriteTimeout;
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t n = ::send(fd_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return trouble("the other end");
    if (std::chrono::steady_clock::now() > deadline)
      return Error{Errc::kTimeout, "the other end does not read"};
    pollfd waiting{fd_.get(), POLLOUT, 0};
    ::poll(&waiting, 1, 100);
  }
  return {};
}

bool LineSocket::is_left_alone() const {
  pollfd waiting{fd_.get(), POLLRDHUP, 0};
  return ::poll(&waiting, 1, 0) > 0 && (waiting.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void LineSocket::wake() {
  ::shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace lakefuse
