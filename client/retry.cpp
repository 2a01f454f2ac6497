#include "client/retry.h"

#include <algorithm>
#include <random>

#include "client/patience.h"
#include "client/text.h"

namespace lakefuse {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kLongestRetryAfter{10};  // Asked for more: our own pauses are enough.

milliseconds jittered(milliseconds pause) {
  thread_local std::minstd_rand dice{std::random_device{}()};
  return pause / 2 + milliseconds(std::uniform_int_distribution<long>(0, pause.count() / 2)(dice));
}

milliseconds retry_after(const HttpResponse& response) {
  const auto seconds = number_in<int>(response.headers.get("Retry-After"));
  if (!seconds || *seconds < 0) return milliseconds(0);
  return std::min(std::chrono::seconds(*seconds), kLongestRetryAfter);
}

bool is_worth_repeating(const HttpOutcome& outcome, Repeat repeat) {
  if (outcome.maybe_done && repeat == Repeat::kOnce) return false;
  if (outcome.response) return is_passing_status(outcome.response->status);
  const Errc code = outcome.response.error().code;
  // An answer that is cut or of a wrong length can be better next time; a certificate (nothing sent) cannot.
  return code == Errc::kUnavailable || (code == Errc::kUntrustworthy && outcome.maybe_done);
}

}  // namespace

Result<> pause_for(milliseconds time) {
  if (!sleep_out(Patience::current(), time))
    return Error{Errc::kInterrupted, "interrupted while waiting to try again"};
  return {};
}

bool is_passing_status(int status) {
  return status == 420 || status == 423 || status == 429 ||
         (status >= 500 && status != 501 && status <= 504) || status == 408;
}

Attempts::Attempts(const RetryPolicy& policy)
    : policy_(policy), end_(std::chrono::steady_clock::now() + policy.budget), pause_(policy.first_pause) {}

Result<bool> Attempts::again(milliseconds at_least) {
  const milliseconds pause = std::max(jittered(pause_), at_least);
  if (used_ >= policy_.attempts || std::chrono::steady_clock::now() + pause > end_) return false;
  ++used_;
  pause_ = std::min(2 * pause_, policy_.longest_pause);
  if (auto paused = pause_for(pause); !paused) return paused.error();
  return true;
}

HttpOutcome call_repeatedly(HttpClient& client, const RetryPolicy& policy, const Origin& origin,
                            const HttpRequest& request, const HttpSink& sink, const HttpDeadlines& deadlines,
                            Repeat repeat) {
  Attempts attempts(policy);
  for (;;) {
    HttpOutcome outcome = client.call(origin, request, sink, deadlines, repeat);
    if (!is_worth_repeating(outcome, repeat)) return outcome;
    auto again = attempts.again(outcome.response ? retry_after(*outcome.response) : milliseconds(0));
    if (!again) return {again.error(), outcome.maybe_done};
    if (!*again) return outcome;
  }
}

}  // namespace lakefuse
