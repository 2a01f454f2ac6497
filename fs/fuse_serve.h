#pragma once

#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "fs/filesystem.h"
#include "fs/fuse_api.h"
#include "fs/fuse_bridge.h"
#include "fs/interrupts.h"

namespace lakefuse {

// The name of an operation in the log, and which signals end it.
struct Operation {
  constexpr Operation(const char* name_, Interrupts::EndedBy ended_by_ = Interrupts::EndedBy::kEndingSignal)
      : name(name_), ended_by(ended_by_) {}
  std::string_view name;
  Interrupts::EndedBy ended_by;
};

// A request that waits for its one answer: libfuse frees it with the answer, so a second one would be a
// crash, and none would leave a program waiting for ever.
class Reply {
 public:
  explicit Reply(fuse_req_t request) : request_(request) {}
  ~Reply();
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  [[nodiscard]] bool is_given() const { return request_ == nullptr; }
  // The request, to answer it now.
  fuse_req_t give();

 private:
  fuse_req_t request_;  // Null once answered.
};

// A request as long as it may wait: ended by signals, under Patience. Over before the answer, for then the
// request is gone.
class Waiting {
 public:
  Waiting(fuse_req_t request, FuseBridge& bridge, Interrupts::EndedBy ended_by);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  const fuse_req_t fuse_;
  Interrupts::Request request_;
};

// Answers with the error and tells the log and status of it, if it is not an everyday one.
void refuse(Reply& reply, Filesystem& filesystem, const Operation& operation, const Error& error);
// An exception, which is always a mistake of ours or a lack of memory. `what`: its text.
void refuse(Reply& reply, const Operation& operation, int number, std::string_view what);

// The one way in which a request is worked on: `work(filesystem)` gives a Result, `answer(request,
// filesystem, value)` (no value for Result<>) sends its success by exactly one fuse_reply. No exception
// leaves it, for it is called from C.
template <class Work, class Answer>
void serve(fuse_req_t request, const Operation& operation, const Work& work, const Answer& answer) {
  auto& bridge = *static_cast<FuseBridge*>(fuse_req_userdata(request));
  Reply reply(request);
  bridge.filesystem.count_request();
  try {
    auto result = [&] {
      const Waiting waiting(request, bridge, operation.ended_by);
      return work(bridge.filesystem);
    }();
    if (!result) return refuse(reply, bridge.filesystem, operation, result.error());
    if constexpr (std::is_void_v<typename decltype(result)::value_type>) {
      answer(reply.give(), bridge.filesystem);
    } else {
      answer(reply.give(), bridge.filesystem, *std::move(result));
    }
  } catch (const std::bad_alloc&) {
    refuse(reply, operation, ENOMEM, "no memory");
  } catch (const std::exception& exception) {
    refuse(reply, operation, EIO, exception.what());
  } catch (...) {
    refuse(reply, operation, EIO, "an unknown exception");
  }
}

}  // namespace lakefuse
