#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/mount/actor.h"
#include "tests/mount/process.h"

namespace lakefuse::test {

Actor::Actor() {
  int orders[2];
  int answers[2];
  if (::pipe2(orders, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0)
    throw std::runtime_error("pipe failed");
  process_ = start({LAKEFUSE_ACTOR}, {}, orders[0], answers[1]);
  ::close(orders[0]);
  ::close(answers[1]);
  in_ = orders[1];
  out_ = answers[0];
}

Actor::~Actor() {
  if (in_ >= 0) ::close(in_);
  ::close(out_);
  if (process_ <= 0) return;
  ::kill(-process_, SIGKILL);
  wait_for_end(process_, std::chrono::seconds(10));
}

void Actor::tell(const std::string& order) {
  const std::string line = order + "\n";
  if (::write(in_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::runtime_error("the actor is gone");
}

std::string Actor::answer(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    if (const auto newline = heard_.find('\n'); newline != std::string::npos) {
      const std::string line = heard_.substr(0, newline);
      heard_.erase(0, newline + 1);
      return line;
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd ready{out_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return "<no answer>";
    char piece[4096];
    const auto n = ::read(out_, piece, sizeof piece);
    if (n <= 0) return "<gone>";
    heard_.append(piece, static_cast<std::size_t>(n));
  }
}

std::string Actor::operator()(const std::string& order) {
  tell(order);
  return answer();
}

void Actor::signal(int number) const {
  ::kill(process_, number);
}

int Actor::end() {
  ::close(in_);
  in_ = -1;
  return wait();
}

int Actor::wait() {
  const int code = wait_for_end(process_, std::chrono::seconds(30));
  if (code != -1) {
    ::kill(-process_, SIGKILL);  // Its children.
    process_ = -1;
  }
  return code;
}

}  // namespace lakefuse::test
