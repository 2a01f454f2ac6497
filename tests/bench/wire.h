#pragma once

#include <map>
#include <string>
#include <string_view>

namespace lakefuse::bench {

struct Answer {
  int status = 0;
  std::string body;
};

// One kept connection to one "host:port". As little as HTTP takes, for measuring what nothing can be faster
// than: plain http, answers that say their length or come in chunks, no deadline. For one thread. Throws
// std::runtime_error where the connection ends.
class Wire {
 public:
  explicit Wire(const std::string& origin);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // `headers` are lines that end in CRLF.
  Answer call(std::string_view method, std::string_view target, std::string_view headers,
              std::string_view body = {});

 private:
  void fill();
  std::string line();
  void take(std::size_t count, std::string& into);

  const std::string host_;
  int socket_ = -1;
  std::string inbox_;
  std::size_t read_ = 0;  // So much of the inbox is used up.
};

// The connections of one thread.
class Wires {
 public:
  Wire& to(const std::string& origin) { return wires_.try_emplace(origin, origin).first->second; }

 private:
  std::map<std::string, Wire> wires_;
};

}  // namespace lakefuse::bench
