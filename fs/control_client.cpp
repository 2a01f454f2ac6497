#include "fs/control_client.h"

#include <unistd.h>

namespace lakefuse {
namespace {

constexpr std::chrono::seconds kLocalAnswer{10};  // Status asks no network, and pending for a second.
// A commit runs the server's hooks, which may take their time.
constexpr std::chrono::minutes kLakeAnswer{10};
// What tells progress does so several times a second, whatever the lake does.
constexpr std::chrono::minutes kSilence{1};
// A file that waits takes half a KiB in an answer, and as many wait as a process may have descriptors.
constexpr std::size_t kLongestAnswer = 512 << 20;

const ControlClient::Progress kSilently = [](std::uint64_t) {};

// Of what a mount was asked to do for the lake, "unavailable" would be the lake's.
Error silent(const ControlRequest& request, const Error& error) {
  const bool asks_the_mount = request.ask == Ask::kStatus || request.ask == Ask::kPending;
  return Error{asks_the_mount ? error.code : Errc::kLocalIo, "the mount's control socket: " + error.message};
}

}  // namespace

Result<std::string> ControlClient::call(const ControlRequest& request, std::chrono::milliseconds silence,
                                        const Progress& progress) const {
  auto line = LineSocket::connect(socket_);
  if (!line) return silent(request, line.error());
  const auto server = line->peer_user();
  if (!server) return server.error();
  // Root may ask anybody's mount; nobody is answered by a stranger.
  if (*server != ::geteuid() && ::geteuid() != 0) {
    return Error{Errc::kDenied, socket_.string() + " belongs to another user"};
  }
  if (auto sent = line->write_line(request_line(request)); !sent) return silent(request, sent.error());
  for (;;) {
    auto text = line->read_line(silence, kLongestAnswer);
    if (!text) return silent(request, text.error());
    auto answer = parse_answer(*text);
    if (!answer) return answer.error();
    if (answer->is_last) return std::move(answer->done);
    progress(answer->progress);
  }
}

Result<MountReport> ControlClient::status(Ask ask) const {
  const auto done = call({.ask = ask}, kLocalAnswer, kSilently);
  if (!done) return done.error();
  return parse_mount_report(*done);
}

Result<FlushReport> ControlClient::flush(const FlushOptions& options, const Progress& progress) const {
  const auto done = call({.ask = Ask::kFlush, .flush = options}, kSilence, progress);
  if (!done) return done.error();
  return parse_flush_report(*done);
}

Result<DiffPage> ControlClient::uncommitted(const std::string& after) const {
  const auto done = call({.ask = Ask::kUncommitted, .after = after}, kLakeAnswer, kSilently);
  if (!done) return done.error();
  return parse_diff_page(*done);
}

Result<OthersReport> ControlClient::others(const Progress& progress) const {
  const auto done = call({.ask = Ask::kOthers}, kLakeAnswer, progress);
  if (!done) return done.error();
  return parse_others_report(*done);
}

Result<CommitInfo> ControlClient::commit(const std::string& message, const Metadata& metadata) const {
  const auto done =
      call({.ask = Ask::kCommit, .message = message, .metadata = metadata}, kLakeAnswer, kSilently);
  if (!done) return done.error();
  return parse_commit(*done);
}

Result<std::string> ControlClient::decide(const std::string& which, Decision decision) const {
  // An upload takes as long as it takes; a mount that ends closes the connection.
  const auto done =
      call({.ask = Ask::kDecide, .which = which, .decision = decision}, std::chrono::hours(24), kSilently);
  if (!done) return done.error();
  return parse_sentence(*done);
}

Result<FlushReport> ControlClient::unmount(std::chrono::milliseconds patience,
                                           const Progress& progress) const {
  const auto done = call({.ask = Ask::kUnmount, .flush = {.patience = patience}}, kSilence, progress);
  if (!done) return done.error();
  return parse_flush_report(*done);
}

}  // namespace lakefuse
