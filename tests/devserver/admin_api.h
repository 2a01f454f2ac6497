// The server's own calls, under /_dev/ on the lake's origin: what a test in another process needs of
// DevServer. They are not in the log, need no credentials, and no fault hits them.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "tests/devserver/call_exchange.h"
#include "tests/devserver/lake.h"

namespace lakefuse::test::devserver {

class AdminApi {
 public:
  AdminApi(Lake& lake, Conditions& conditions, std::function<void()> drop_connections)
      : lake_(lake), conditions_(conditions), drop_connections_(std::move(drop_connections)) {}

  HttpResponse answer(const RequestHead& request, const std::string& body);
  void release_gates();

 private:
  HttpResponse logged(const std::string& method);
  HttpResponse faults(const std::string& method, const std::string& body);
  HttpResponse gates(const std::string& method, const std::string& id, const std::string& body);
  HttpResponse set(const std::string& body);

  Lake& lake_;
  Conditions& conditions_;
  const std::function<void()> drop_connections_;

  std::mutex mutex_;  // Guards all below.
  int next_gate_ = 1;
  std::map<std::string, Gate> gates_;
  std::map<std::uint64_t, std::string> kinds_;  // Of the faults that were added here.
};

}  // namespace lakefuse::test::devserver
