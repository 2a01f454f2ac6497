// One call on its way through: gates, faults, delays and the log are the same for the lake and for the store.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tests/devserver/call_log.h"
#include "tests/devserver/clock.h"
#include "tests/devserver/faults.h"
#include "tests/devserver/gates.h"
#include "tests/devserver/http_message.h"

namespace lakefuse::test::devserver {

// What acts on calls from outside. All of it may be changed while calls run.
struct Conditions {
  CallLog& log;
  Faults& faults;
  Gates& gates;
  Sleeper& sleeper;
  std::atomic<double> latency{0};
};

class CallExchange : public Exchange {
 public:
  struct Description {
    std::string operation;
    std::string path;      // The object's, or the store's key.
    bool is_data = false;  // The body may be large.
  };
  // Does the work; gets the fault if it is one of those in the meaning of the call.
  using Work = std::function<HttpResponse(const RequestHead&, Body, const Fault*)>;

  CallExchange(Conditions& conditions, RequestHead head, Description description, Work work);

  Intake intake() override;
  HttpResponse answer(Body body) override;
  void answering(int status, std::uint64_t bytes_in) override;
  void finished(int status, std::uint64_t bytes_in, std::uint64_t bytes_out) override;

 private:
  HttpResponse instead_of_work(const Fault& fault) const;
  HttpResponse do_work(Body body);
  void spoil(HttpResponse& answer) const;
  Call record(int status, std::uint64_t bytes_in, std::uint64_t bytes_out) const;
  bool fault_is(Fault::Kind kind) const { return fault_ && fault_->kind == kind; }

  Conditions& conditions_;
  const RequestHead head_;
  const Description description_;
  const Work work_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::optional<Fault> fault_;
  std::uint64_t number_ = 0;  // In the log, once the answer is on its way.
};

// What a call takes on a real server with an S3 store (design.md section 3).
std::chrono::nanoseconds real_latency(const std::string& operation, const HttpResponse& answer,
                                      const RequestHead& head);

}  // namespace lakefuse::test::devserver
