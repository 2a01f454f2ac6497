#include "client/resolver.h"

#include <netdb.h>

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>

#include "client/patience.h"

namespace lakefuse {
namespace {

struct Answer {
  int failure = 0;
  std::vector<SocketAddress> addresses;
};

Answer ask(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  Answer answer;
  answer.failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (answer.failure != 0) return answer;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address{};
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    answer.addresses.push_back(address);
  }
  freeaddrinfo(found);
  return answer;
}

struct Question {
  std::mutex mutex;
  std::condition_variable_any answered;
  std::optional<Answer> answer;  // Guarded by mutex.
};

}  // namespace

Result<std::vector<SocketAddress>> resolve(const std::string& host, std::uint16_t port,
                                           std::chrono::steady_clock::time_point deadline) {
  if (Answer digits = ask(host, port, AI_NUMERICHOST); digits.failure == 0)
    return std::move(digits.addresses);

  const auto question = std::make_shared<Question>();
  try {
    std::thread([question, host, port] {
      Answer answer;
      try {
        answer = ask(host, port, AI_ADDRCONFIG);
        if (answer.failure != 0)
          answer = ask(host, port, 0);  // ADDRCONFIG hides localhost without a network.
      } catch (const std::bad_alloc&) {
        answer = {EAI_MEMORY, {}};
      }
      std::lock_guard lock(question->mutex);
      question->answer = std::move(answer);
      question->answered.notify_all();
    }).detach();
  } catch (const std::system_error&) {
    return Error{Errc::kUnavailable, "no thread can be started to look up " + host};
  }
  const std::stop_token stop = Patience::current();
  std::unique_lock lock(question->mutex);
  if (!question->answered.wait_until(lock, stop, deadline, [&] { return question->answer.has_value(); })) {
    if (stop.stop_requested()) return Error{Errc::kInterrupted, "interrupted while looking up " + host};
    return Error{Errc::kTimeout, "looking up " + host + " took too long"};
  }
  if (question->answer->failure != 0)
    return Error{Errc::kUnavailable,
                 "cannot find the host " + host + ": " + gai_strerror(question->answer->failure)};
  return std::move(question->answer->addresses);
}

}  // namespace lakefuse
