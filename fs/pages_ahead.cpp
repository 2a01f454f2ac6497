#include "fs/pages_ahead.h"

#include <algorithm>

#include "cache/guarded.h"
#include "client/patience.h"

namespace lakefuse {
namespace {

// A thousand names are some hundred KiB.
constexpr std::size_t kMostKept = 16;

bool asks_for_the_same(const ListRequest& one, const ListRequest& other) {
  return one.prefix == other.prefix && one.after == other.after && one.delimited == other.delimited &&
         one.amount == other.amount;
}

ListRequest following(ListRequest request, const std::string& next) {
  request.after = next;
  return request;
}

}  // namespace

// Guarded by the mutex of all, but for the request.
struct PagesAhead::Call {
  ListRequest request;               // Constant once others know of it.
  std::optional<Moment> asked = {};  // Whoever comes first asks: a worker, or who wants the page.
  std::optional<Result<ListPage>> answer = {};
  std::size_t pages_behind = 0;  // To be asked for when it is answered.
  bool was_taken = false;
};

std::list<std::shared_ptr<PagesAhead::Call>>::iterator PagesAhead::find_locked(const ListRequest& request) {
  return std::ranges::find_if(calls_,
                              [&](const auto& call) { return asks_for_the_same(call->request, request); });
}

void PagesAhead::ask(const ListRequest& request) {
  const auto call = std::make_shared<Call>(Call{request});
  {
    const std::lock_guard lock(mutex_);
    const auto old = find_locked(request);
    if (old != calls_.end()) {
      if (!(*old)->answer) return;
      calls_.erase(old);  // Nobody came for it, and it grows old.
    }
    calls_.push_back(call);
    if (calls_.size() > kMostKept) calls_.pop_front();
  }
  begin(call);
}

void PagesAhead::begin(std::shared_ptr<Call> call) {
  if (call) workers_.post([this, call = std::move(call)] { run(*call); });
}

void PagesAhead::ask_row(const ListRequest& first, std::size_t pages, Moment oldest) {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    call = ask_row_locked(first, pages, oldest);
  }
  begin(std::move(call));
}

std::shared_ptr<PagesAhead::Call> PagesAhead::ask_row_locked(const ListRequest& first, std::size_t pages,
                                                             Moment oldest) {
  ListRequest request = first;
  for (; pages > 0; --pages) {
    const auto there = find_locked(request);
    if (there == calls_.end()) break;
    Call& other = **there;
    if (other.asked && *other.asked < oldest) {
      calls_.erase(there);
      break;
    }
    other.pages_behind = pages - 1;
    if (!other.answer || !*other.answer || !(*other.answer)->has_more) return nullptr;
    request.after = (*other.answer)->next;
  }
  if (pages == 0) return nullptr;
  const auto call = std::make_shared<Call>(Call{std::move(request)});
  call->pages_behind = pages - 1;
  calls_.push_back(call);
  if (calls_.size() > kMostKept) calls_.pop_front();
  return call;
}

void PagesAhead::forget_below(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  std::erase_if(calls_, [&](const auto& call) { return call->request.prefix.starts_with(prefix); });
}

void PagesAhead::ask_behind(const Call& call, const std::string& next) {
  std::shared_ptr<Call> behind;
  {
    const std::lock_guard lock(mutex_);
    behind = ask_row_locked(following(call.request, next), call.pages_behind, *call.asked);
  }
  begin(std::move(behind));
}

void PagesAhead::run(Call& call) {
  {
    const std::lock_guard lock(mutex_);
    if (call.asked) return;
    call.asked = clock_now();
  }
  ListRequest request = call.request;
  // A thousand names take a third as long to take apart as to get: the next page is on its way meanwhile.
  // Where the guess was wrong nobody takes that page.
  request.guessed_next = [&](const std::string& next) {
    if (next > request.after) ask_behind(call, next);
  };
  auto answer = guarded([&] { return lake_.list(request); });  // Others may wait for it.
  std::shared_ptr<Call> behind;
  {
    const std::lock_guard lock(mutex_);
    // In one step: whoever comes before it leaves the pages behind to this call, whoever comes after it finds
    // them asked for. Also where the guess was right: more of them may be wanted by now.
    if (answer && answer->has_more)
      behind = ask_row_locked(following(call.request, answer->next), call.pages_behind, *call.asked);
    call.answer = std::move(answer);
  }
  answered_.notify_all();
  begin(std::move(behind));
}

Result<PagesAhead::Page> PagesAhead::take(const ListRequest& request, Moment oldest, std::size_t behind) {
  std::unique_lock lock(mutex_);
  const auto ahead = find_locked(request);
  if (ahead != calls_.end()) {
    const std::shared_ptr<Call> call = *ahead;
    calls_.erase(ahead);
    const bool is_begun = call->asked.has_value();
    if (!is_begun) call->asked = clock_now();  // Whatever worker comes to it leaves it.
    if (is_begun && *call->asked >= oldest) {
      call->pages_behind = std::max(call->pages_behind, behind);
      if (!answered_.wait(lock, Patience::current(), [&] { return call->answer.has_value(); }))
        return Error{Errc::kInterrupted, "interrupted while waiting for a page of names"};
      if (*call->answer) {
        Page page{**std::move(call->answer), *call->asked};
        lock.unlock();
        if (page.page.has_more) ask_row(following(request, page.page.next), behind, oldest);
        return page;
      }
      // Nobody had asked for it when it failed: now somebody does.
    }
  }
  lock.unlock();
  Call own{request};
  own.pages_behind = behind;
  run(own);
  if (!*own.answer) return own.answer->error();
  return Page{**std::move(own.answer), *own.asked};
}

void PagesAhead::keep(const ListRequest& request, Page page, Moment oldest) {
  const auto kept = std::make_shared<Call>(Call{request});
  kept->asked = page.asked;
  kept->answer = std::move(page.page);
  kept->was_taken = true;
  const std::lock_guard lock(mutex_);
  std::erase_if(calls_, [&](const auto& call) {
    return (call->was_taken && *call->asked < oldest) || asks_for_the_same(call->request, request);
  });
  calls_.push_back(kept);
  if (calls_.size() > kMostKept) calls_.pop_front();
}

}  // namespace lakefuse
