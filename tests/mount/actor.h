// A program under the test's orders: what it does, it does as a process of its own (actor_main.cpp).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

namespace lakefuse::test {

class Actor {
 public:
  Actor();
  ~Actor();  // Killed, with its children.
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;

  // Does one thing and answers what it came to: "ok", an errno's name, or what was asked for.
  std::string operator()(const std::string& order);
  // The same in two halves, for what blocks. "<no answer>" after `patience`.
  void tell(const std::string& order);
  std::string answer(std::chrono::milliseconds patience = std::chrono::seconds(30));

  [[nodiscard]] pid_t process() const { return process_; }
  void signal(int number) const;
  // The end of its orders: it exits and its descriptors close with it. Answers when it is gone, exit code as
  // in Ran.
  int end();
  int wait();  // For one that was killed.

 private:
  pid_t process_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string heard_;
};

}  // namespace lakefuse::test
