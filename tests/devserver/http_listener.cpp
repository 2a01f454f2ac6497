#include "tests/devserver/http_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstdio>
#include <list>
#include <mutex>
#include <thread>

#include "tests/devserver/body_sink.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::size_t kChunk = 256 * 1024;           // Of bodies, on the way to and from disk.
constexpr std::uint32_t kHeaderLimit = 1024 * 1024;  // As Go's default.

void set_linger_reset(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

// Sleeps so that `moved` bytes since `start` come to no more than `bytes_per_second`.
void keep_pace(std::chrono::steady_clock::time_point start, std::uint64_t moved,
               std::uint64_t bytes_per_second) {
  if (bytes_per_second == 0) return;
  std::this_thread::sleep_until(start + std::chrono::milliseconds(moved * 1000 / bytes_per_second));
}

std::string head_text(const HttpResponse& answer, bool is_head_request) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " ";
  text += std::string_view(http::obsolete_reason(static_cast<http::status>(answer.status)));
  text += "\r\nDate: " + http_date(std::time(nullptr));
  for (const auto& [name, value] : answer.headers) text += "\r\n" + name + ": " + value;
  const bool bodiless = answer.status == 204 || answer.status == 304 || answer.no_length;
  if (answer.wire.blanks_after) {
    text += "\r\nTransfer-Encoding: chunked";
  } else if (!bodiless || answer.declared_length) {
    const auto length = static_cast<std::int64_t>(answer.declared_length.value_or(answer.body_size()));
    if (!is_head_request || answer.declared_length || length > 0)
      text += "\r\nContent-Length: " +
              std::to_string(std::max<std::int64_t>(0, length + answer.wire.length_error));
  }
  if (answer.close) text += "\r\nConnection: close";
  return text + "\r\n\r\n";
}

class Connection {
 public:
  Connection(tcp::socket socket, std::uint64_t number, HttpService& service,
             const std::filesystem::path& spool)
      : socket_(std::move(socket)), number_(number), service_(service), spool_(spool) {}

  void run(asio::ssl::context* tls) noexcept {
    try {
      error_code ignored;
      socket_.set_option(tcp::no_delay(true), ignored);
      if (tls == nullptr) {
        serve(socket_);
      } else {
        asio::ssl::stream<tcp::socket&> stream(socket_, *tls);
        error_code failed;
        stream.handshake(asio::ssl::stream_base::server, failed);
        if (!failed) serve(stream);
      }
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "lakefuse-devserver: connection ended: %s\n", problem.what());
    }
    {
      std::lock_guard lock(mutex_);
      error_code ignored;
      socket_.close(ignored);
    }
    done_ = true;
  }

  // From another thread: reads and writes of run() fail from now on.
  void cut() {
    std::lock_guard lock(mutex_);
    if (socket_.is_open()) ::shutdown(socket_.native_handle(), SHUT_RDWR);
  }

  bool done() const { return done_; }

 private:
  template <class Stream>
  void serve(Stream& stream) {
    boost::beast::flat_buffer buffer;
    buffer.reserve(
        64 *
        1024);  // Beast reads no more at a time than there is room for: bodies would come in by 512 bytes.
    while (one_request(stream, buffer)) {
    }
  }

  // False: the connection is to end.
  template <class Stream>
  bool one_request(Stream& stream, boost::beast::flat_buffer& buffer) {
    http::request_parser<http::buffer_body> parser;
    parser.header_limit(kHeaderLimit);
    parser.body_limit(boost::none);
    error_code failed;
    http::read_header(stream, buffer, parser, failed);
    if (failed) return false;

    const auto exchange = service_.open(head_of(parser));
    const bool is_head = parser.get().method() == http::verb::head;
    Intake intake = exchange->intake();
    if (intake.early) {
      intake.early->close = true;
      exchange->answering(intake.early->status, 0);
      const std::uint64_t out = send(stream, *intake.early, is_head).value_or(0);
      exchange->finished(intake.early->status, 0, out);
      linger(stream);
      return false;
    }
    BodySink sink(intake.is_data, spool_);
    if (!take_body(stream, buffer, parser, intake, sink)) {
      exchange->finished(0, sink.size(), 0);
      return false;
    }
    const std::uint64_t bytes_in = sink.size();
    HttpResponse answer = exchange->answer(sink.finish());
    if (!parser.get().keep_alive()) answer.close = true;
    if (answer.wire.cut_after || answer.wire.length_error > 0)
      answer.close = false;  // Ends, but does not say so.
    if (answer.wire.end != Wire::End::kSend) {
      exchange->finished(0, bytes_in, 0);
      end_without_answer(stream, answer.wire.end);
      return false;
    }
    exchange->answering(answer.status, bytes_in);
    const auto out = send(stream, answer, is_head);
    exchange->finished(out ? answer.status : 0, bytes_in, out.value_or(0));
    return out && !answer.close && !answer.wire.cut_after && answer.wire.length_error <= 0;
  }

  RequestHead head_of(http::request_parser<http::buffer_body>& parser) const {
    RequestHead head;
    const auto& request = parser.get();
    head.method = std::string(request.method_string());
    head.target = std::string(request.target());
    const auto mark = head.target.find('?');
    head.path = head.target.substr(0, mark);
    if (mark != std::string::npos) head.query = head.target.substr(mark + 1);
    for (const auto& field : request)
      head.headers.emplace(lower(std::string_view(field.name_string())), std::string(field.value()));
    head.chunked = parser.chunked();
    if (const auto length = parser.content_length()) head.content_length = *length;
    head.connection = number_;
    return head;
  }

  template <class Stream, class Parser>
  bool take_body(Stream& stream, boost::beast::flat_buffer& buffer, Parser& parser, const Intake& intake,
                 BodySink& sink) {
    error_code failed;
    if (intake.reset_after && *intake.reset_after == 0) return reset();
    if (!parser.is_done() && boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      asio::write(stream, asio::buffer(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")), failed);
      if (failed) return false;
    }
    const auto start = std::chrono::steady_clock::now();
    const std::size_t piece = intake.bytes_per_second == 0
                                  ? kChunk
                                  : std::clamp<std::size_t>(intake.bytes_per_second / 20, 1, kChunk);
    std::string chunk(parser.is_done() ? 0 : piece, '\0');
    while (!parser.is_done()) {
      parser.get().body().data = chunk.data();
      parser.get().body().size = chunk.size();
      http::read(stream, buffer, parser, failed);
      const std::size_t got = chunk.size() - parser.get().body().size;
      sink.add(std::string_view(chunk).substr(0, got));
      if (failed && failed != http::error::need_buffer) return false;
      failed = {};
      if (intake.reset_after && sink.size() >= *intake.reset_after) return reset();
      keep_pace(start, sink.size(), intake.bytes_per_second);
    }
    return !intake.reset_after || reset();
  }

  // Writes the answer; how many bytes of body went out, nothing where the client has gone.
  template <class Stream>
  std::optional<std::uint64_t> send(Stream& stream, const HttpResponse& answer, bool is_head) {
    const std::string head = head_text(answer, is_head);
    if (answer.wire.endless_head) return send_endless_head(stream, head);
    if (answer.wire.blanks_after) return send_with_blanks(stream, head, answer);
    const std::uint64_t whole = is_head ? 0 : answer.body_size();
    const std::uint64_t size = std::min(whole, answer.wire.cut_after.value_or(whole));
    error_code failed;
    if (!answer.file && answer.wire.bytes_per_second == 0) {
      std::string changed;
      std::string_view body(answer.body.data(), size);
      if (answer.wire.corrupt_middle && whole > 0) {
        changed = answer.body;
        changed[whole / 2] = static_cast<char>(changed[whole / 2] ^ 1);
        body = std::string_view(changed).substr(0, size);
      }
      const std::array<asio::const_buffer, 2> both{asio::buffer(head), asio::buffer(body)};
      asio::write(stream, both, failed);
      return failed ? std::nullopt : std::optional(size);
    }
    asio::write(stream, asio::buffer(head), failed);
    return failed ? std::nullopt : send_in_pieces(stream, answer, size);
  }

  template <class Stream>
  std::optional<std::uint64_t> send_endless_head(Stream& stream, std::string head) {
    error_code failed;
    head.resize(head.size() - 2);  // Without its last line.
    asio::write(stream, asio::buffer(head), failed);
    const std::string more = "X-More: " + std::string(1000, 'x') + "\r\n";
    while (!failed) asio::write(stream, asio::buffer(more), failed);
    return std::nullopt;
  }

  template <class Stream>
  std::optional<std::uint64_t> send_with_blanks(Stream& stream, const std::string& head,
                                                const HttpResponse& answer) {
    error_code failed;
    const auto send_chunk = [&](std::string_view bytes) {
      std::ostringstream size;
      size << std::hex << bytes.size() << "\r\n";
      const std::string begin = size.str();
      const std::array<asio::const_buffer, 3> parts{asio::buffer(begin), asio::buffer(bytes),
                                                    asio::buffer(std::string_view("\r\n"))};
      if (!failed) asio::write(stream, parts, failed);
    };
    asio::write(stream, asio::buffer(head), failed);
    if (!answer.body.empty()) send_chunk(answer.body);
    const std::string blanks(kChunk, ' ');
    for (std::uint64_t sent = 0; sent < *answer.wire.blanks_after && !failed; sent += blanks.size())
      send_chunk(blanks);
    send_chunk("");
    return failed ? std::nullopt : std::optional(answer.body_size());
  }

  template <class Stream>
  std::optional<std::uint64_t> send_in_pieces(Stream& stream, const HttpResponse& answer,
                                              std::uint64_t size) {
    const std::uint64_t rate = answer.wire.bytes_per_second;
    const auto start = std::chrono::steady_clock::now();
    std::string chunk(rate == 0 ? kChunk : std::clamp<std::uint64_t>(rate / 20, 1, kChunk), '\0');
    error_code failed;
    for (std::uint64_t sent = 0; sent < size;) {
      const std::size_t piece = std::min<std::uint64_t>(chunk.size(), size - sent);
      if (answer.file) {
        const ::ssize_t got = ::pread(*answer.file->descriptor, chunk.data(), piece,
                                      static_cast<::off_t>(answer.file->offset + sent));
        if (got <= 0) return std::nullopt;  // The file is shorter than it was: what else could be said now?
        chunk.resize(static_cast<std::size_t>(got));
      } else {
        chunk.assign(answer.body, sent, piece);
      }
      const std::uint64_t middle = answer.body_size() / 2;
      if (answer.wire.corrupt_middle && middle >= sent && middle < sent + chunk.size())
        chunk[middle - sent] = static_cast<char>(chunk[middle - sent] ^ 1);
      asio::write(stream, asio::buffer(chunk), failed);
      if (failed) return std::nullopt;
      sent += chunk.size();
      chunk.resize(rate == 0 ? kChunk : std::clamp<std::uint64_t>(rate / 20, 1, kChunk));
      keep_pace(start, sent, rate);
    }
    return size;
  }

  template <class Stream>
  void end_without_answer(Stream& stream, Wire::End end) {
    if (end == Wire::End::kReset) reset();
    if (end == Wire::End::kHold) drain(stream);
  }

  // After an early answer: closing with bytes unread would reset the connection and could take the answer
  // with it.
  template <class Stream>
  void linger(Stream& stream) {
    ::shutdown(socket_.native_handle(), SHUT_WR);
    const timeval patience{1, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    drain(stream);
  }

  template <class Stream>
  void drain(Stream&) {
    std::array<char, 4096> scrap{};
    while (::recv(socket_.native_handle(), scrap.data(), scrap.size(), 0) > 0) {
    }
  }

  bool reset() {
    set_linger_reset(socket_.native_handle());  // run() closes: that sends the RST.
    return false;
  }

  std::mutex mutex_;  // Guards opening and closing of socket_'s descriptor against cut().
  tcp::socket socket_;
  const std::uint64_t number_;
  HttpService& service_;
  const std::filesystem::path& spool_;
  std::atomic<bool> done_{false};
};

}  // namespace

class HttpListener::Rooms {
 public:
  Rooms(HttpService& service, Options options) : service_(service), options_(std::move(options)) {
    if (options_.tls_cert.empty()) return;
    tls_.emplace(asio::ssl::context::tls_server);
    tls_->use_certificate_chain_file(options_.tls_cert.string());
    tls_->use_private_key_file(options_.tls_key.string(), asio::ssl::context::pem);
  }

  ~Rooms() { stop(); }

  void start() {
    if (!held_) {
      held_ = bound();
      options_.port = held_->local_endpoint().port();
    }
    acceptor_ = bound();
    acceptor_->listen(1024);
    accepting_ = std::thread([this] { accept_all(); });
  }

  void stop() {
    if (!accepting_.joinable()) return;
    ::shutdown(acceptor_->native_handle(), SHUT_RDWR);  // accept() returns.
    accepting_.join();
    acceptor_.reset();
    drop_connections();
    std::list<Live> last;
    {
      std::lock_guard lock(mutex_);
      last.swap(live_);
    }
    for (Live& live : last) live.thread.join();
  }

  void drop_connections() {
    std::lock_guard lock(mutex_);
    for (Live& live : live_) live.connection->cut();
  }

  std::string origin() const {
    return (tls_ ? "https://" : "http://") + options_.address + ":" + std::to_string(options_.port);
  }

 private:
  struct Live {
    std::unique_ptr<Connection> connection;
    std::thread thread;
  };

  // A socket bound to the port, deaf until listen(): what connects to it is refused.
  tcp::acceptor bound() {
    const tcp::endpoint where(asio::ip::make_address(options_.address), options_.port);
    tcp::acceptor socket(io_);
    socket.open(where.protocol());
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    socket.set_option(asio::socket_base::reuse_address(true));
    socket.bind(where);
    return socket;
  }

  void accept_all() {
    for (;;) {
      tcp::socket socket(io_);
      error_code failed;
      acceptor_->accept(socket, failed);
      if (failed == asio::error::invalid_argument || failed == asio::error::bad_descriptor) return;
      if (failed) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // Out of descriptors, most likely.
        continue;
      }
      ::fcntl(socket.native_handle(), F_SETFD,
              FD_CLOEXEC);  // Children of tests must not hold connections open.
      std::lock_guard lock(mutex_);
      reap();
      auto connection = std::make_unique<Connection>(std::move(socket), ++number_, service_, options_.spool);
      Connection& one = *connection;
      live_.push_back(
          {std::move(connection), std::thread([this, &one] { one.run(tls_ ? &*tls_ : nullptr); })});
    }
  }

  // REQUIRES: mutex_ held.
  void reap() {
    for (auto live = live_.begin(); live != live_.end();) {
      if (!live->connection->done()) {
        ++live;
        continue;
      }
      live->thread.join();
      live = live_.erase(live);
    }
  }

  HttpService& service_;
  Options options_;
  asio::io_context io_;
  std::optional<asio::ssl::context> tls_;
  std::optional<tcp::acceptor> held_;  // Keeps the port from everybody else between stop() and start().
  std::optional<tcp::acceptor> acceptor_;
  std::thread accepting_;

  std::mutex mutex_;  // Guards all below.
  std::uint64_t number_ = 0;
  std::list<Live> live_;
};

HttpListener::HttpListener(HttpService& service, Options options)
    : rooms_(std::make_unique<Rooms>(service, std::move(options))) {}
HttpListener::~HttpListener() = default;
void HttpListener::start() {
  rooms_->start();
}
void HttpListener::stop() {
  rooms_->stop();
}
void HttpListener::drop_connections() {
  rooms_->drop_connections();
}
std::string HttpListener::origin() const {
  return rooms_->origin();
}

}  // namespace lakefuse::test::devserver
