#include "fs/fuse_serve.h"

#include <cassert>
#include <cerrno>
#include <string>

#include "fs/log.h"
#include "fs/to_errno.h"

namespace lakefuse {
namespace {

void on_interrupt(fuse_req_t, void* request) {
  static_cast<Interrupts::Request*>(request)->interrupted();
}

// What programs ask to be told no: a log of these would hide the failures.
bool is_everyday(std::string_view operation, Errc code) {
  switch (code) {
    case Errc::kNotFound:
      return operation == "lookup" || operation == "getattr" || operation == "getxattr" ||
             operation == "access";
    case Errc::kExists:
      return operation == "create" || operation == "mkdir" || operation == "mknod" ||
             operation == "symlink" || operation == "setxattr" || operation == "rename" ||
             operation == "link";
    case Errc::kNotPermitted:
      return operation == "link";  // git, cp -l and their like try one first.
    case Errc::kInterrupted:
      return operation == "read";  // By a kill, or the end of the mount: nobody has missed anything.
    case Errc::kStale:
      return operation == "open";  // The kernel looks the name up again.
    case Errc::kNotEmpty:
    case Errc::kNoAttribute:
    case Errc::kResultTooLarge:
    case Errc::kUnsupported:
    case Errc::kPastTheEnd:
      return true;
    default:
      return false;
  }
}

}  // namespace

Reply::~Reply() {
  assert(is_given());
  if (!is_given()) fuse_reply_err(request_, EIO);
}

fuse_req_t Reply::give() {
  assert(!is_given());
  return std::exchange(request_, nullptr);
}

Waiting::Waiting(fuse_req_t request, FuseBridge& bridge, Interrupts::EndedBy ended_by)
    : fuse_(request), request_(bridge.interrupts, fuse_req_ctx(request)->pid, ended_by) {
  // May call at once: an interrupt can overtake its request.
  fuse_req_interrupt_func(fuse_, on_interrupt, &request_);
}

Waiting::~Waiting() {
  // Waits for a call that is being made: libfuse makes it under the request's lock.
  fuse_req_interrupt_func(fuse_, nullptr, nullptr);
}

void refuse(Reply& reply, Filesystem& filesystem, const Operation& operation, const Error& error) {
  if (!is_everyday(operation.name, error.code)) {
    filesystem.note_failure(operation.name, error, false);
  } else if (log_is_on(LogLevel::kDebug)) {
    log_debug(std::string(operation.name) + ": " + error.message);
  }
  fuse_reply_err(reply.give(), to_errno(error.code));
}

void refuse(Reply& reply, const Operation& operation, int number, std::string_view what) {
  try {
    log_error(std::string(operation.name) + ": " + std::string(what));
  } catch (...) {  // Without memory for a line the answer still goes out.
  }
  if (!reply.is_given()) fuse_reply_err(reply.give(), number);
}

}  // namespace lakefuse
