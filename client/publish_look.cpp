#include "client/publish_look.h"

#include "client/patience.h"

namespace lakefuse {

Result<> sleep_patiently(std::chrono::milliseconds pause) {
  if (!sleep_out(Patience::current(), pause)) return Error{Errc::kInterrupted, "a signal ended the wait"};
  return {};
}

bool may_be_done(Errc code) {
  switch (code) {
    case Errc::kUnavailable:
    case Errc::kTimeout:
    case Errc::kTooManyRequests:
    case Errc::kInterrupted:
    case Errc::kUntrustworthy:
      return true;
    default:
      return false;  // The server said no.
  }
}

Result<std::optional<ObjectInfo>> look_at(ObjectStore& lake, const ObjectPath& path, ObjectStore::Look look) {
  auto found = lake.stat(path, look);
  if (found) return std::optional(*std::move(found));
  if (found.error().code == Errc::kNotFound) return std::optional<ObjectInfo>();
  return found.error();
}

Result<std::optional<ObjectInfo>> look_after(const Error& lost, std::chrono::milliseconds pause,
                                             ObjectStore& lake, const ObjectPath& path, const Sleep& sleep) {
  const auto unknown = [&](const Error& error) {
    // A refusal that could not be looked into is none.
    const bool tells_more = error.code == Errc::kInterrupted || !may_be_done(lost.code);
    const Errc code = tells_more ? error.code : lost.code;
    return Error{code, lost.message + "; what became of it is not known: " + error.message};
  };
  if (auto slept = sleep(pause); !slept) return unknown(slept.error());
  auto found = look_at(lake, path);
  if (!found) return unknown(found.error());
  return found;
}

}  // namespace lakefuse
