#include "client/http_connection.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "client/answer_pace.h"
#include "client/patience.h"
#include "client/resolver.h"

namespace lakefuse {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Parser = http::response_parser<http::buffer_body>;

constexpr std::size_t kMaxHeadBytes = 64 * 1024;       // lakeFS and S3 stay below 8 KiB.
constexpr std::size_t kReadBytes = 64 * 1024;          // Asked for at once where the length is not known.
constexpr std::size_t kSendBytes = 512 * 1024;         // Of a source at once: few calls, little memory.
constexpr std::size_t kMaxErrorBodyBytes = 64 * 1024;  // A sentence, or a proxy's page.
constexpr int kMaxInterimAnswers = 16;                 // 1xx in front of the real one.
constexpr milliseconds kTick{500};                     // How often a wait looks whether sent bytes move.
constexpr milliseconds kEarlyAnswerWait{1'000};        // For the answer of a server that stopped listening.
constexpr milliseconds kNextAddress{250};              // Then another address is tried beside it (RFC 8305).

std::string seconds(milliseconds time) {
  const auto tenths = time.count() / 100;
  return std::to_string(tenths / 10) + (tenths % 10 ? "." + std::to_string(tenths % 10) : "") + " s";
}

}  // namespace

struct HttpConnection::Impl {
  Impl(Origin to, std::optional<Proxy> by) : origin(std::move(to)), proxy(std::move(by)) {}

  const Origin origin;
  const std::optional<Proxy> proxy;
  asio::io_context io{1};
  tcp::socket socket{io};
  std::optional<asio::ssl::context> tls_context;  // Must outlive tls.
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  TlsSessions* to_remember_in = nullptr;  // Until the first answer is read.
  boost::beast::flat_buffer inbox{kMaxHeadBytes + kReadBytes};
  Progress progress = Progress::kNothingSent;
  bool reusable = false;

  Error failed(Errc code, const std::string& what) const { return {code, to_string(origin) + " " + what}; }

  Error broken(const error_code& wrong) const {
    if (wrong == asio::error::eof || wrong == asio::ssl::error::stream_truncated)
      return failed(Errc::kUnavailable, "closed the connection");
    if (wrong == asio::error::timed_out) return failed(Errc::kTimeout, "does not answer any more");
    return failed(Errc::kUnavailable, "broke the connection: " + wrong.message());
  }

  // Bytes that the kernel has taken from us and the other side has not.
  int unsent() {
    int bytes = 0;
    return socket.is_open() && ioctl(socket.native_handle(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
  }

  // Starts one operation and runs it to its end, to `limit` without a byte moving, or to the end of the
  // thread's Patience. In the latter two cases the socket is closed: nobody knows what is half sent on it.
  // `start` gets the handler to hand to the operation. `pointless`, asked now and then, ends the operation
  // early (kUnavailable) and leaves the socket open.
  template <class Start, class Pointless>
  Result<std::size_t> await(milliseconds limit, Start&& start, Pointless&& pointless) {
    const std::stop_token stop = Patience::current();
    std::optional<error_code> outcome;
    std::size_t moved = 0;
    io.restart();
    std::stop_callback wake(stop, [this] { io.stop(); });
    start([&](error_code wrong, std::size_t bytes) {
      outcome = wrong;
      moved = bytes;
    });
    auto last_move = steady_clock::now();
    for (int queued = unsent(); !outcome && !stop.stop_requested();) {
      const auto left = limit - std::chrono::duration_cast<milliseconds>(steady_clock::now() - last_move);
      if (left <= milliseconds(0)) break;
      io.run_for(std::min(left, kTick));
      const int still = outcome ? 0 : unsent();
      if (still < queued) last_move = steady_clock::now();
      queued = still;
      if (!outcome && pointless()) {
        end_operation(outcome, [this](error_code& ignored) { socket.cancel(ignored); });
        return failed(Errc::kUnavailable, "has heard enough");
      }
    }
    if (outcome) return *outcome ? Result<std::size_t>(broken(*outcome)) : moved;
    end_operation(outcome, [this](error_code& ignored) { socket.close(ignored); });
    if (stop.stop_requested()) return failed(Errc::kInterrupted, "was left waiting: interrupted");
    return failed(Errc::kTimeout, "moved no byte for " + seconds(limit));
  }

  template <class Start>
  Result<std::size_t> await(milliseconds limit, Start&& start) {
    return await(limit, std::forward<Start>(start), [] { return false; });
  }

  // The operation ends as aborted, here and not later: its handler refers to the frame that waits for it. A
  // stop that is asked for just now ends one run() before that.
  template <class End>
  void end_operation(const std::optional<error_code>& outcome, End&& end) {
    error_code ignored;
    end(ignored);
    for (int runs = 0; runs < 2 && !outcome; ++runs) {
      io.restart();
      io.run();
    }
  }

  Result<std::size_t> read_some(asio::mutable_buffer into, milliseconds limit) {
    return await(limit, [&](auto handler) {
      if (tls) return tls->async_read_some(into, handler);
      socket.async_read_some(into, handler);
    });
  }

  Result<> write_all(asio::const_buffer from, milliseconds limit) {
    while (from.size() > 0) {
      if (tls) progress = Progress::kSent;  // A failed TLS write may have sent a record.
      auto wrote = await(
          limit,
          [&](auto handler) {
            if (tls) return tls->async_write_some(from, handler);
            socket.async_write_some(from, handler);
          },
          [this] { return answered_early(); });
      if (!wrote) return wrote.error();
      progress = Progress::kSent;
      from += *wrote;
    }
    return {};
  }

  Result<> connect(const TlsTrust& trust, const HttpDeadlines& deadlines);
  Result<> connect_any(const std::vector<SocketAddress>& addresses, milliseconds limit);
  Result<> ask_for_tunnel(const HttpDeadlines& deadlines);
  Result<> shake_hands(const TlsTrust& trust, milliseconds limit);
  void tune(const HttpDeadlines& deadlines);

  Result<bool> send(const HttpRequest& request, const HttpDeadlines& deadlines);
  Result<bool> send_source(const ByteSource& source, std::string head, milliseconds idle);
  bool answered_early();
  Result<> fill_inbox(milliseconds limit);
  Error body_failed(const Error& error, milliseconds idle) const;
  Result<> read_head(std::optional<Parser>& parser, milliseconds limit);
  Result<> read_body(Parser& parser, const HttpSink& sink, milliseconds idle, HttpResponse& response);
  Result<> read_counted(std::span<std::byte> into, milliseconds idle);
  Result<> read_uncounted(Parser& parser, std::size_t limit, milliseconds idle, std::string& body);
};

// ---- Connecting ----

Result<> HttpConnection::Impl::connect(const TlsTrust& trust, const HttpDeadlines& deadlines) {
  const auto deadline = steady_clock::now() + deadlines.connect;
  const auto left = [&] { return std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()); };
  const Origin& hop = proxy ? proxy->origin : origin;
  auto addresses = resolve(hop.host, hop.port, deadline);
  if (!addresses) return addresses.error();

  const auto connected = connect_any(*addresses, left());
  if (!connected) return proxy ? connected.error().in("proxy " + to_string(hop)) : connected;
  tune(deadlines);
  if (!origin.tls) return {};
  if (proxy) {
    if (auto open = ask_for_tunnel(deadlines); !open) return open;
  }
  return shake_hands(trust, left());
}

// To the first address that answers. One that fails, or says nothing for a moment, holds up none of those
// behind it, and may answer yet.
Result<> HttpConnection::Impl::connect_any(const std::vector<SocketAddress>& addresses, milliseconds limit) {
  struct Try {
    explicit Try(asio::io_context& in) : socket(in) {}
    tcp::socket socket;
    std::optional<error_code> outcome;
  };
  std::vector<std::shared_ptr<Try>> tries;  // A handler has its own part in one: it may come late.
  const auto has_ended = [](const auto& one) { return one->outcome.has_value(); };
  const auto has_won = [](const auto& one) { return one->outcome && !*one->outcome; };
  const auto begin = [&](const SocketAddress& address) {
    tcp::endpoint endpoint;
    std::memcpy(endpoint.data(), &address.storage, std::min<std::size_t>(address.size, endpoint.capacity()));
    endpoint.resize(address.size);
    const auto& one = tries.emplace_back(std::make_shared<Try>(io));
    one->socket.async_connect(endpoint, [one](const error_code& failure) { one->outcome = failure; });
  };
  const std::stop_token stop = Patience::current();
  const std::stop_callback wake(stop, [this] { io.stop(); });
  const auto end = steady_clock::now() + limit;
  const auto until_next = std::min(kNextAddress, limit / static_cast<int>(addresses.size() + 1));
  auto next_due = steady_clock::now();
  auto winner = tries.end();
  while (winner == tries.end() && !stop.stop_requested() && steady_clock::now() < end) {
    const bool are_all_over = std::ranges::all_of(tries, has_ended);
    if (tries.size() == addresses.size() && are_all_over) break;
    if (tries.size() < addresses.size() && (are_all_over || steady_clock::now() >= next_due)) {
      begin(addresses[tries.size()]);
      next_due = steady_clock::now() + (tries.size() < addresses.size() ? until_next : limit);
    }
    io.restart();
    io.run_one_until(std::min({end, next_due, steady_clock::now() + kTick}));
    winner = std::ranges::find_if(tries, has_won);
  }
  if (winner != tries.end()) socket = std::move((*winner)->socket);
  const bool is_late = tries.empty() || !std::ranges::all_of(tries, has_ended);
  for (const auto& one : tries) {
    error_code ignored;
    one->socket.close(ignored);
  }
  if (winner != tries.end()) return {};
  if (stop.stop_requested()) return failed(Errc::kInterrupted, "was left waiting: interrupted");
  if (addresses.empty()) return failed(Errc::kUnavailable, "has no address");
  if (is_late)
    return Error{Errc::kTimeout, "no connection to " + to_string(origin) + " within " + seconds(limit)};
  return Error{Errc::kUnavailable,
               "no connection to " + to_string(origin) + ": " + tries.back()->outcome->message()};
}

void HttpConnection::Impl::tune(const HttpDeadlines& deadlines) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);  // Small requests must not wait for each other's ACK.
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  // A machine that vanished while it thought about a long copy is noticed by probes, not after minutes.
  const int handle = socket.native_handle();
  const auto set = [&](int option, int value) {
    setsockopt(handle, IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 15);
  set(TCP_KEEPINTVL, 5);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, static_cast<int>(std::max<long>(deadlines.idle.count(), 1'000)));
}

// What goes through the tunnel is between us and the origin; the proxy hears its name.
Result<> HttpConnection::Impl::ask_for_tunnel(const HttpDeadlines& deadlines) {
  const std::string to = host_and_port(origin);
  std::string head = "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n";
  if (!proxy->authorization.empty()) head += "Proxy-Authorization: " + proxy->authorization.reveal() + "\r\n";
  head += "\r\n";
  std::optional<Parser> parser;
  auto asked = write_all(asio::buffer(head), deadlines.idle);
  if (asked) asked = read_head(parser, deadlines.connect);
  if (!asked) return asked.error().in("proxy " + to_string(proxy->origin));
  const auto status = parser->get().result_int();
  if (status / 100 == 2 && inbox.size() == 0) return {};
  return failed(Errc::kUnavailable, "is not reached: the proxy " + to_string(proxy->origin) + " answers " +
                                        std::to_string(status));
}

Result<> HttpConnection::Impl::shake_hands(const TlsTrust& trust, milliseconds limit) {
  SSL_CTX_up_ref(trust.context());
  tls_context.emplace(trust.context());
  tls.emplace(socket, *tls_context);
  if (!TlsTrust::expect(tls->native_handle(), origin.host))
    return failed(Errc::kInvalid, "is no name that TLS can ask for");
  trust.sessions().take_up(tls->native_handle(), origin);
  error_code outcome;
  auto shaken = await(limit, [&](auto handler) {
    tls->async_handshake(asio::ssl::stream_base::client, [&outcome, handler](error_code failure) mutable {
      outcome = failure;
      handler(error_code(), 0);
    });
  });
  if (!shaken) return shaken.error().in("TLS handshake");
  if (!outcome) {
    to_remember_in = &trust.sessions();
    return {};
  }
  const std::string refusal = TlsTrust::refusal(tls->native_handle());
  if (!refusal.empty())
    return failed(Errc::kUntrustworthy,
                  "shows a certificate that cannot be trusted (" + refusal +
                      "); an authority of your own is named with --ca-file or SSL_CERT_FILE");
  if (outcome.category() == asio::error::get_ssl_category())
    return failed(Errc::kUntrustworthy, "does not speak TLS as we do: " + outcome.message());
  return broken(outcome).in("TLS handshake");
}

// ---- Sending ----

// True when the whole request went out; false when the server answered before it had all.
Result<bool> HttpConnection::Impl::send(const HttpRequest& request, const HttpDeadlines& deadlines) {
  auto head = request_head(request, host_header(origin));
  if (!head) return head.error();
  if (proxy && !origin.tls) {  // The proxy reads the request: it wants the whole URL.
    if (!proxy->authorization.empty())
      head->insert(head->size() - 2, "Proxy-Authorization: " + proxy->authorization.reveal() + "\r\n");
    head->insert(request.method.size() + 1, to_string(origin));
  }
  if (request.source) return send_source(*request.source, std::move(*head), deadlines.idle);
  *head += request.body;  // One packet for most calls.
  if (auto sent = write_all(asio::buffer(*head), deadlines.idle); !sent) return sent.error();
  return true;
}

Result<bool> HttpConnection::Impl::send_source(const ByteSource& source, std::string head,
                                               milliseconds idle) {
  const std::uint64_t size = source.size();
  std::vector<std::byte> chunk(head.size() +
                               static_cast<std::size_t>(std::min<std::uint64_t>(size, kSendBytes)));
  std::memcpy(chunk.data(), head.data(), head.size());
  std::size_t filled = head.size();  // The head rides with the first bytes.
  for (std::uint64_t at = 0;;) {
    while (at < size && filled < chunk.size()) {
      const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(size - at, chunk.size() - filled));
      auto got = source.read(at, std::span(chunk).subspan(filled, room));
      if (!got) return got.error();
      if (*got == 0) return Error{Errc::kLocalIo, "the bytes to upload ended at " + std::to_string(at)};
      at += *got;
      filled += *got;
    }
    if (auto sent = write_all(asio::buffer(chunk.data(), filled), idle); !sent) return sent.error();
    filled = 0;
    if (at == size) return true;
    if (answered_early()) return false;
  }
}

// A server that refuses (403, 412) need not take a large body first, and may then read no further. Over TLS
// the bytes that wait may be a session ticket, so there only a failed write tells.
bool HttpConnection::Impl::answered_early() {
  error_code ignored;
  return !tls && socket.available(ignored) > 0;
}

// ---- Reading ----

Result<> HttpConnection::Impl::fill_inbox(milliseconds limit) {
  if (inbox.size() >= kMaxHeadBytes)
    return failed(Errc::kUntrustworthy, "sends an endless head or chunk line");
  auto got = read_some(inbox.prepare(kReadBytes), limit);
  if (!got) return got.error();
  inbox.commit(*got);
  progress = Progress::kAnswering;
  return {};
}

// Reads to the end of the head of the final answer; 1xx answers before it are passed over.
Result<> HttpConnection::Impl::read_head(std::optional<Parser>& parser, milliseconds limit) {
  const auto deadline = steady_clock::now() + limit;
  for (int interim = 0; interim <= kMaxInterimAnswers; ++interim) {
    parser.emplace();
    parser->header_limit(kMaxHeadBytes);
    parser->body_limit(boost::none);  // Bounded where it is stored.
    while (!parser->is_header_done()) {
      error_code wrong;
      inbox.consume(parser->put(inbox.data(), wrong));
      if (wrong && wrong != http::error::need_more)
        return failed(Errc::kUntrustworthy, "does not answer in HTTP: " + wrong.message());
      if (parser->is_header_done()) break;
      // Asked before each read: one that drips has its byte there at any time.
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
      if (left <= milliseconds(0))
        return failed(Errc::kTimeout, "has not sent all of its answer's head within " + seconds(limit));
      if (auto filled = fill_inbox(left); !filled) return filled;
    }
    const int status = parser->get().result_int();
    if (status >= 200) return {};
    if (status == 101) break;
  }
  return failed(Errc::kUntrustworthy, "answers with 1xx only");
}

// That the last moment of a slow body was silent says less than that all of it was slow.
Error HttpConnection::Impl::body_failed(const Error& error, milliseconds idle) const {
  if (error.code != Errc::kTimeout) return error;
  return failed(Errc::kTimeout, "sends too slowly: for " + seconds(idle) + " less than " +
                                    std::to_string(AnswerPace::kSlowestBytesPerSecond / 1024) + " KiB/s");
}

Result<> HttpConnection::Impl::read_counted(std::span<std::byte> into, milliseconds idle) {
  AnswerPace pace(idle, steady_clock::now());
  const std::size_t held = std::min(inbox.size(), into.size());
  std::memcpy(into.data(), inbox.data().data(), held);
  inbox.consume(held);
  const std::size_t size = into.size();
  for (into = into.subspan(held); !into.empty();) {
    auto got = read_some(asio::buffer(into.data(), into.size()), pace.left(steady_clock::now()));
    if (!got)
      return body_failed(got.error(), idle)
          .in("after " + std::to_string(size - into.size()) + " of " + std::to_string(size) + " bytes");
    into = into.subspan(*got);
    pace.came(*got, steady_clock::now());
  }
  return {};
}

// Chunked, or to the end of the connection.
Result<> HttpConnection::Impl::read_uncounted(Parser& parser, std::size_t limit, milliseconds idle,
                                              std::string& body) {
  AnswerPace pace(idle, steady_clock::now());
  std::vector<char> piece(kReadBytes);
  while (!parser.is_done()) {
    auto& into = parser.get().body();
    into.data = piece.data();
    into.size = piece.size();
    into.more = true;
    error_code wrong;
    const std::size_t parsed = parser.put(inbox.data(), wrong);
    inbox.consume(parsed);
    const std::size_t got = piece.size() - into.size;
    if (body.size() + got > limit)
      return failed(Errc::kUntrustworthy, "answers with over " + std::to_string(limit) + " bytes");
    body.append(piece.data(), got);
    pace.came(got, steady_clock::now());  // What stands around the chunks is no progress.
    if (parser.is_done()) break;
    if (wrong == http::error::need_buffer || (!wrong && parsed > 0)) continue;
    if (wrong && wrong != http::error::need_more)
      return failed(Errc::kUntrustworthy, "does not answer in HTTP: " + wrong.message());
    if (auto filled = fill_inbox(pace.left(steady_clock::now())); !filled) {
      if (parser.need_eof() && filled.error().code == Errc::kUnavailable) return {};
      return body_failed(filled.error(), idle);
    }
  }
  return {};
}

Result<> HttpConnection::Impl::read_body(Parser& parser, const HttpSink& sink, milliseconds idle,
                                         HttpResponse& response) {
  const bool good = response.status == 200 || response.status == 206;
  const auto length = parser.content_length();
  if (parser.is_done() || (length && *length == 0)) return {};
  const bool other_length = length && *length != sink.into.size();
  if (good && !sink.into.empty() && (other_length || (sink.accepts && !sink.accepts(response.headers)))) {
    reusable = false;  // Not what was asked for: the caller judges by the head, the body is left unread.
    return {};
  }
  if (good && !sink.into.empty() && length) {
    response.went_into_sink = true;
    return read_counted(sink.into, idle);
  }
  // 201 answers can be long, too: the URLs of an upload in parts.
  const bool is_refusal = response.status >= 300;
  // Who wants so many bytes in their place wants no others.
  const std::size_t wanted = good && !sink.into.empty() ? sink.into.size() : sink.limit;
  const std::size_t limit = is_refusal ? std::min(sink.limit, kMaxErrorBodyBytes) : wanted;
  if (length && *length > limit) {
    if (!is_refusal)
      return failed(Errc::kUntrustworthy, "answers with over " + std::to_string(limit) + " bytes");
    reusable = false;  // The status says enough; the rest of the page is left unread.
    return {};
  }
  if (length) {
    response.body.resize(static_cast<std::size_t>(*length));
    return read_counted(std::as_writable_bytes(std::span(response.body)), idle);
  }
  auto read = read_uncounted(parser, limit, idle, response.body);
  if (!read || !good || sink.into.empty() || response.body.size() != sink.into.size()) return read;
  std::memcpy(sink.into.data(), response.body.data(), response.body.size());
  response.went_into_sink = true;
  response.body.clear();
  return {};
}

// ---- The connection ----

HttpConnection::HttpConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpConnection::~HttpConnection() = default;
HttpConnection::Progress HttpConnection::progress() const {
  return impl_->progress;
}
bool HttpConnection::is_reusable() const {
  return impl_->reusable;
}

bool HttpConnection::is_quiet() const {
  char byte = 0;
  const ssize_t got = recv(impl_->socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

Result<std::unique_ptr<HttpConnection>> HttpConnection::open(const Origin& origin, const TlsTrust& trust,
                                                             const HttpDeadlines& deadlines,
                                                             const std::optional<Proxy>& proxy) {
  try {
    auto impl = std::make_unique<Impl>(origin, proxy);
    if (auto connected = impl->connect(trust, deadlines); !connected) return connected.error();
    return std::unique_ptr<HttpConnection>(new HttpConnection(std::move(impl)));
  } catch (const boost::system::system_error& out_of_descriptors) {
    return Error{Errc::kUnavailable,
                 "no connection to " + to_string(origin) + ": " + out_of_descriptors.what()};
  }
}

Result<HttpResponse> HttpConnection::exchange(const HttpRequest& request, const HttpSink& sink,
                                              const HttpDeadlines& deadlines) {
  Impl& self = *impl_;
  self.progress = Progress::kNothingSent;
  self.reusable = false;
  auto sent = self.send(request, deadlines);
  const bool all_sent = sent.value_or(false);
  std::optional<Parser> parser;
  if (!sent) {
    // A server that refuses may answer and then stop listening: its answer says more than our broken pipe.
    const bool may_have_answered =
        sent.error().code == Errc::kUnavailable && self.progress == Progress::kSent;
    if (!may_have_answered || !self.read_head(parser, kEarlyAnswerWait)) return sent.error();
  } else if (auto read = self.read_head(parser, deadlines.answer); !read) {
    return read.error();
  }

  HttpResponse response;
  response.status = static_cast<int>(parser->get().result_int());
  for (const auto& field : parser->get())
    response.headers.add(std::string(field.name_string()), std::string(field.value()));
  if (!all_sent && response.status < 300)
    return self.failed(Errc::kUntrustworthy, "says it is done before it has all bytes");

  self.reusable = all_sent && parser->keep_alive() && !parser->need_eof();
  auto read = self.read_body(*parser, sink, deadlines.idle, response);
  if (!read && response.status < 400) {
    self.reusable = false;
    return read.error();
  }
  if (self.tls && self.to_remember_in != nullptr)
    std::exchange(self.to_remember_in, nullptr)->remember(self.tls->native_handle(), self.origin);
  // An error's body is only its sentence: one that broke off does not change the status.
  self.reusable = self.reusable && read && self.inbox.size() == 0;
  return response;
}

}  // namespace lakefuse
