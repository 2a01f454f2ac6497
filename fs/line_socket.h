#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// One end of a local connection that carries lines of text. Owns its descriptor. For one thread at a time,
// but for wake(), which any thread may call. Reading and writing wait no longer than their timeouts
// (kTimeout) and fail with kUnavailable when the other end is gone.
class LineSocket {
 public:
  explicit LineSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  // kUnavailable: nobody listens there; kTimeout: somebody does, and has taken no call for a second.
  static Result<LineSocket> connect(const std::filesystem::path& socket);

  // Listens; whatever was left at that path is replaced. Sockets are made with mode 0600.
  static Result<LineSocket> listen(const std::filesystem::path& socket);

  // The next caller; kTimeout where none comes, kInterrupted after wake().
  Result<LineSocket> accept(std::chrono::milliseconds timeout);

  [[nodiscard]] Result<uid_t> peer_user() const;

  // Without its newline. kTooLarge: over `most_bytes`, no line of ours.
  static constexpr std::size_t kLongestLine = 16 << 20;
  Result<std::string> read_line(std::chrono::milliseconds timeout, std::size_t most_bytes = kLongestLine);
  Result<> write_line(std::string_view line);

  // True when the other end has closed.
  [[nodiscard]] bool is_left_alone() const;

  // Ends what this end waits for.
  void wake();

 private:
  UniqueFd fd_;
  std::string rest_;  // Read, and not yet asked for.
};

}  // namespace lakefuse
