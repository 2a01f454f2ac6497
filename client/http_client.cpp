#include "client/http_client.h"

#include <sys/resource.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace lakefuse {
namespace {

// Stores and proxies close idle connections after 20 s and more (S3's and Azure's front ends); a shorter keep
// means that we close first and a request seldom meets a connection that is just being closed.
// (What a machine that slept had kept is gone, and nobody says so: a call would wait for its deadline.)
constexpr std::chrono::seconds kKeepFor{15};
// As many as callers at once are to be expected; above it a burst pays its own connections.
constexpr std::size_t kMaxKeptPerOrigin = 64;
// The lake, and its stores.
constexpr std::size_t kMostOrigins = 8;

}  // namespace

// Each holds four descriptors, and nobody closes it before the next call: where there are few, not all of
// them.
std::size_t HttpClient::most_kept() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  return std::clamp<std::size_t>(limit.rlim_cur / 32, 1, kMaxKeptPerOrigin);
}

std::unique_ptr<HttpConnection> HttpClient::take(const Origin& origin) {
  const auto oldest = BootClock::now() - kKeepFor;
  std::vector<Kept> stale;  // Closed after the lock is released.
  std::unique_lock lock(mutex_);
  const auto found = kept_.find(origin);
  if (found == kept_.end()) return nullptr;
  std::vector<Kept>& idle = found->second;
  while (!idle.empty()) {
    Kept latest = std::move(idle.back());
    idle.pop_back();
    if (latest.since >= oldest && latest.connection->is_quiet()) return std::move(latest.connection);
    stale.push_back(std::move(latest));
  }
  kept_.erase(found);
  lock.unlock();
  return nullptr;
}

void HttpClient::keep(const Origin& origin, std::unique_ptr<HttpConnection> connection) {
  const auto now = BootClock::now();
  std::vector<Kept> stale;
  std::lock_guard lock(mutex_);
  kept_[origin].push_back({std::move(connection), now});
  // Of all origins: nobody may ever call one of them again, for a server's URLs lead where it likes.
  for (auto at = kept_.begin(); at != kept_.end();) {
    std::vector<Kept>& idle = at->second;
    const auto is_too_old = [&](const Kept& kept) { return kept.since < now - kKeepFor; };
    while (!idle.empty() && (is_too_old(idle.front()) || idle.size() > most_kept_)) {
      stale.push_back(std::move(idle.front()));
      idle.erase(idle.begin());
    }
    at = idle.empty() ? kept_.erase(at) : std::next(at);
  }
  while (kept_.size() > kMostOrigins) {
    const auto longest_unused =
        std::ranges::min_element(kept_, {}, [](const auto& each) { return each.second.back().since; });
    std::ranges::move(longest_unused->second, std::back_inserter(stale));
    kept_.erase(longest_unused);
  }
}

HttpOutcome HttpClient::call(const Origin& origin, const HttpRequest& request, const HttpSink& sink,
                             const HttpDeadlines& deadlines, Repeat repeat) {
  auto turn = throttle_.begin(origin);
  if (!turn) return {turn.error(), false};
  const auto work = [&]() -> HttpOutcome {
    try {
      return send(origin, request, sink, deadlines, repeat);
    } catch (const std::bad_alloc&) {  // The connection has gone with it.
      return {Error{Errc::kUnavailable, "no memory"}, true};
    }
  };
  HttpOutcome outcome = work();
  if (outcome.response) turn->answered(outcome.response->status);
  return outcome;
}

HttpOutcome HttpClient::send(const Origin& origin, const HttpRequest& request, const HttpSink& sink,
                             const HttpDeadlines& deadlines, Repeat repeat) {
  std::unique_ptr<HttpConnection> connection = take(origin);
  for (bool was_kept = connection != nullptr;; was_kept = false) {
    if (!connection) {
      const auto proxy = proxies_.towards(origin);
      if (!proxy) return {proxy.error(), false};
      auto opened = HttpConnection::open(origin, *trust_, deadlines, *proxy);
      if (!opened) return {opened.error(), false};
      connection = std::move(*opened);
    }
    auto response = connection->exchange(request, sink, deadlines);
    const auto progress = connection->progress();
    if (response) {
      if (connection->is_reusable()) keep(origin, std::move(connection));
      return {std::move(response), true};
    }
    const bool maybe_done = progress != HttpConnection::Progress::kNothingSent;
    const bool was_closed = was_kept && response.error().code == Errc::kUnavailable &&
                            progress != HttpConnection::Progress::kAnswering;
    if (!was_closed || (maybe_done && repeat == Repeat::kOnce)) return {response.error(), maybe_done};
    connection.reset();  // The other kept ones may be closed as well: the second try gets a fresh one.
  }
}

}  // namespace lakefuse
