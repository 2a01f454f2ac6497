#pragma once

#include <chrono>

#include "client/http_client.h"
#include "client/retry_policy.h"

namespace lakefuse {

// Waits; kInterrupted when the thread's Patience ends first.
Result<> pause_for(std::chrono::milliseconds time);

// The statuses that mean "not now": 420, 423, 429 and the 5xx that can pass. 501 cannot.
[[nodiscard]] bool is_passing_status(int status);

// Counts the tries of one call and waits between them.
class Attempts {
 public:
  explicit Attempts(const RetryPolicy& policy);

  // True after a pause when one more try is due; false when tries or time are used up. `at_least` is what the
  // other side asked for (Retry-After).
  Result<bool> again(std::chrono::milliseconds at_least = std::chrono::milliseconds(0));

 private:
  const RetryPolicy policy_;
  const std::chrono::steady_clock::time_point end_;
  int used_ = 1;
  std::chrono::milliseconds pause_;
};

// HttpClient::call(), tried again where that is safe: after a passing status or a broken connection when
// `repeat` is kSafe, and whatever the call when nothing was sent. A deadline that passed is not given a
// second time. Returns the last answer of any status, or the last failure.
HttpOutcome call_repeatedly(HttpClient& client, const RetryPolicy& policy, const Origin& origin,
                            const HttpRequest& request, const HttpSink& sink, const HttpDeadlines& deadlines,
                            Repeat repeat);

}  // namespace lakefuse
