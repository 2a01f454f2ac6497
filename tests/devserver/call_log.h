// What was called: one record a call, in the order in which they were answered.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace lakefuse::test {

struct Call {
  std::uint64_t number = 0;  // 1 is the first since the server started.
  std::string operation;     // stat_object, link_physical_address, store_put, ...
  std::string method;
  std::string target;                          // As sent, query included.
  std::string path;                            // The object's path, or the store's key.
  int status = 0;                              // 0: the client got no answer.
  std::string fault;                           // The kind of the fault that hit this call; empty: none.
  double milliseconds = 0;                     // To the answer's end, once it has ended.
  std::uint64_t bytes_in = 0;                  // Of the body.
  std::uint64_t bytes_out = 0;                 // Of the body, once it has ended.
  std::uint64_t connection = 0;                // Calls on one kept-alive connection have the same number.
  std::map<std::string, std::string> headers;  // Of the request, names in lower case, secrets and all.
};

// Safe to use from many threads at once.
class CallLog {
 public:
  explicit CallLog(const std::filesystem::path& file = {});
  ~CallLog();
  CallLog(const CallLog&) = delete;
  CallLog& operator=(const CallLog&) = delete;

  // Before the answer's first byte goes out, so that whoever has the answer finds the call. Returns its
  // number; 0 where it is none that tests count.
  std::uint64_t add(Call call);
  // How it went: in the place of what add() was given, and a line of the file.
  void end(Call call);
  void clear();
  std::vector<Call> calls() const;
  std::size_t count(std::string_view operation) const;
  std::map<std::string, std::size_t> counts() const;
  bool wait_for(std::string_view operation, std::size_t n, std::chrono::milliseconds timeout) const;

 private:
  std::FILE* const file_;

  mutable std::mutex mutex_;  // Guards all below, and file_'s lines.
  mutable std::condition_variable grew_;
  std::uint64_t number_ = 0;
  std::vector<Call> calls_;
  std::map<std::string, std::size_t, std::less<>> counts_;
};

// Without the headers and without the query of the store's calls, which is a credential.
std::string to_json_line(const Call& call);

}  // namespace lakefuse::test
