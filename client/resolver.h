#pragma once

#include <sys/socket.h>

#include <chrono>
#include <string>
#include <vector>

#include "client/error.h"

namespace lakefuse {

struct SocketAddress {
  sockaddr_storage storage;
  socklen_t size;
};

// The addresses of `host`, in the system's order. The system's call cannot be ended early, so it runs on a
// thread of its own, which is left to itself when the deadline (kTimeout) or the thread's Patience
// (kInterrupted) comes first. kUnavailable: no such host, or nobody to ask. An address in digits is answered
// without a thread.
Result<std::vector<SocketAddress>> resolve(const std::string& host, std::uint16_t port,
                                           std::chrono::steady_clock::time_point deadline);

}  // namespace lakefuse
