#include "fs/interrupts.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/fs/child_process.h"

namespace lakefuse::test {
namespace {

using std::chrono::milliseconds;
using EndedBy = Interrupts::EndedBy;

// Waits as a network call does; true when it was ended before the time was over.
bool ends_within(milliseconds time) {
  const auto token = Patience::current();
  const auto end = std::chrono::steady_clock::now() + time;
  while (!token.stop_requested()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

// A program that handles these signals and waits for us.
class Asking : public ChildProcess {
 public:
  Asking()
      : ChildProcess([] {
          handle(SIGINT);
          handle(SIGCHLD);
        }) {
    freeze();
  }
};

constexpr milliseconds kSoon{1000};       // F1.
constexpr milliseconds kLongEnough{600};  // For the watcher to have looked more than once.

}  // namespace

TEST_CASE("interrupts: a signal that means stop ends a wait within a second") {
  Interrupts interrupts;
  const Asking program;
  Interrupts::Request request(interrupts, program.pid(), EndedBy::kEndingSignal);
  program.send(SIGINT);
  request.interrupted();
  CHECK(ends_within(kSoon));
}

TEST_CASE(
    "interrupts: a handled SIGCHLD ends no wait, and the SIGINT after it does, though the kernel tells "
    "once") {
  Interrupts interrupts;
  const Asking program;
  Interrupts::Request request(interrupts, program.pid(), EndedBy::kEndingSignal);
  program.send(SIGCHLD);
  request.interrupted();
  CHECK_FALSE(ends_within(kLongEnough));
  program.send(SIGINT);
  CHECK(ends_within(kSoon));
}

TEST_CASE("interrupts: a read goes on over the SIGINT that its program handles") {
  Interrupts interrupts;
  const Asking program;
  Interrupts::Request request(interrupts, program.pid(), EndedBy::kKill);
  program.send(SIGINT);
  request.interrupted();
  CHECK_FALSE(ends_within(kLongEnough));
}

TEST_CASE("interrupts: a request that was not interrupted is left alone, whatever is pending") {
  Interrupts interrupts;
  const Asking program;
  program.send(SIGINT);
  Interrupts::Request other(interrupts, program.pid(), EndedBy::kEndingSignal);
  CHECK_FALSE(ends_within(kLongEnough));
}

TEST_CASE("interrupts: the signals of a program that cannot be seen end nothing at once") {
  Interrupts interrupts;
  Interrupts::Request request(interrupts, 0, EndedBy::kEndingSignal);
  request.interrupted();
  CHECK_FALSE(ends_within(kLongEnough));
}

TEST_CASE("interrupts: when nobody reads any more, reads end and publishes go on; at the end all end") {
  Interrupts interrupts;
  std::atomic<bool> read_ended = false;
  std::atomic<bool> publish_ended = false;
  std::atomic<int> started = 0;
  std::jthread reader([&] {
    Interrupts::Request request(interrupts, 0, EndedBy::kKill);
    ++started;
    read_ended = ends_within(milliseconds(10'000));
  });
  std::jthread publisher([&] {
    Interrupts::Request request(interrupts, 0, EndedBy::kEndingSignal);
    ++started;
    publish_ended = ends_within(milliseconds(10'000));
  });
  while (started < 2) std::this_thread::yield();
  interrupts.end_reads();
  reader.join();
  CHECK(read_ended);
  CHECK_FALSE(publish_ended);
  interrupts.end_all();
  publisher.join();
  CHECK(publish_ended);
  Interrupts::Request late(interrupts, 0, EndedBy::kEndingSignal);
  CHECK(ends_within(milliseconds(0)));
}

TEST_CASE("interrupts: a hundred threads ask, are interrupted and end at once") {
  Interrupts interrupts;
  const Asking program;
  std::vector<std::jthread> threads;
  for (int n = 0; n < 100; ++n) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        Interrupts::Request request(interrupts, program.pid(), EndedBy::kEndingSignal);
        request.interrupted();
        std::this_thread::yield();
      }
    });
  }
}

}  // namespace lakefuse::test
