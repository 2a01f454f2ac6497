#include "fs/cut_off.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "client/patience.h"

using namespace lakefuse;
using namespace std::chrono_literals;

namespace {

const Error kCut{Errc::kInterrupted, "a signal"};

std::stop_token stopped() {
  static std::stop_source signal;
  signal.request_stop();
  return signal.get_token();
}

// As a request that a signal ended.
void cut_off(CutOff& calls, const std::string& path, const Error& why = kCut) {
  const Patience patience(stopped());
  calls.may_come_later(path, why);
}

// Whether who wants these has to wait; a signal ends that at once.
bool waits(CutOff& calls, const std::vector<std::string>& paths) {
  const Patience patience(stopped());
  const auto over = calls.outlast(paths);
  if (!over) CHECK(over.error().code == Errc::kInterrupted);
  return !over;
}

}  // namespace

TEST_CASE("cut off: the path itself waits, and who has all below a path; nobody else") {
  for (const char* path : {"a/b", "a/b/"}) {
    CutOff calls(1h);
    cut_off(calls, path);
    for (const char* one : {"a/b", "a/b/", "a", "a/"}) CHECK(waits(calls, {"c", one}));
    CHECK_FALSE(waits(calls, {"a/bc", "a/a", "a/b/c", "b", "a b"}));
  }
}

TEST_CASE("cut off: only what a signal ended, and only by who waited for it") {
  CutOff calls(1h);
  cut_off(calls, "a", {Errc::kTimeout, "too long"});
  calls.may_come_later("a", kCut);
  CHECK(calls.is_idle());
  CHECK_FALSE(waits(calls, {"a"}));
}

TEST_CASE("cut off: the wait ends by itself, and then there is nothing to wait for") {
  CutOff calls(30ms);
  cut_off(calls, "a");
  const auto begun = std::chrono::steady_clock::now();
  CHECK(calls.outlast({"a"}).value());
  CHECK(std::chrono::steady_clock::now() - begun > 10ms);
  CHECK(calls.is_idle());
  CHECK_FALSE(calls.outlast({"a"}).value());
}

TEST_CASE("cut off: where there are too many to know, all paths wait") {
  CutOff calls(1h);
  for (std::size_t n = 0; n < CutOff::kMost; ++n) cut_off(calls, std::to_string(n));
  CHECK_FALSE(waits(calls, {"other"}));
  cut_off(calls, "one more");
  CHECK(waits(calls, {"other"}));
}
