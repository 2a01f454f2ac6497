#include "fs/control_client.h"

#include <unistd.h>

namespace lakefuse {
namespace {

constexpr std::chrono::seconds kLocalAnswer{10};  // Status asks no network, and pending for a second.
constexpr std::chrono::minutes kLakeAnswer{
    10};  // A commit runs the server's hooks, which may take their time.

const ControlClient::Progress kSilently = [](std::uint64_t) {};

}  // namespace

Result<std::string> ControlClient::call(const ControlRequest& request, std::chrono::milliseconds silence,
                                        const Progress& progress) const {
  auto line = LineSocket::connect(socket_);
  if (!line) return line.error();
  const auto server = line->peer_user();
  if (!server) return server.error();
  // Root may ask anybody's mount; nobody is answered by a stranger.
  if (*server != ::geteuid() && ::geteuid() != 0) {
    return Error{Errc::kDenied, socket_.string() + " belongs to another user"};
  }
  if (auto sent = line->write_line(request_line(request)); !sent) return sent.error();
  for (;;) {
    auto text = line->read_line(silence);
    if (!text) return text.error().in("the mount's control socket");
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
  const auto done = call({.ask = Ask::kFlush, .flush = options}, options.patience + kLakeAnswer, progress);
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
  const auto done =
      call({.ask = Ask::kUnmount, .flush = {.patience = patience}}, patience + kLakeAnswer, progress);
  if (!done) return done.error();
  return parse_flush_report(*done);
}

}  // namespace lakefuse
