#include "client/error.h"

namespace lakefuse {

bool is_passing(Errc code) {
  switch (code) {
    case Errc::kTooManyRequests:
    case Errc::kUnavailable:
    case Errc::kTimeout:
    case Errc::kInterrupted:
    case Errc::kExpired:
    case Errc::kTooManyOpen:
    case Errc::kUnauthenticated:  // A token is renewed, a key is rotated: the user mends it without a
                                  // remount.
    case Errc::kUntrustworthy:
      return true;
    case Errc::kNotFound:
    case Errc::kExists:
    case Errc::kConflict:
    case Errc::kBusy:
    case Errc::kStale:
    case Errc::kDenied:
    case Errc::kReadOnly:
    case Errc::kInvalid:
    case Errc::kBadName:
    case Errc::kNameTooLong:
    case Errc::kDataMissing:
    case Errc::kUnsupported:
    case Errc::kNoSpace:
    case Errc::kTooLarge:
    case Errc::kLocalIo:
    case Errc::kNotEmpty:
    case Errc::kNotADirectory:
    case Errc::kIsADirectory:
    case Errc::kNotPermitted:
    case Errc::kBadHandle:
    case Errc::kNoAttribute:
    case Errc::kResultTooLarge:
    case Errc::kCrossesMounts:
    case Errc::kPastTheEnd:
      return false;
  }
  return false;
}

std::string_view to_word(Errc code) {
  switch (code) {
    case Errc::kNotFound:
      return "not found";
    case Errc::kExists:
      return "exists";
    case Errc::kConflict:
      return "conflict";
    case Errc::kBusy:
      return "busy";
    case Errc::kStale:
      return "stale";
    case Errc::kUnauthenticated:
      return "unauthenticated";
    case Errc::kDenied:
      return "denied";
    case Errc::kReadOnly:
      return "read-only";
    case Errc::kInvalid:
      return "invalid";
    case Errc::kBadName:
      return "bad name";
    case Errc::kNameTooLong:
      return "name too long";
    case Errc::kTooManyRequests:
      return "too many requests";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kInterrupted:
      return "interrupted";
    case Errc::kDataMissing:
      return "data missing";
    case Errc::kExpired:
      return "expired";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kUntrustworthy:
      return "untrustworthy answer";
    case Errc::kNoSpace:
      return "no space";
    case Errc::kTooLarge:
      return "too large";
    case Errc::kTooManyOpen:
      return "too many open files";
    case Errc::kLocalIo:
      return "local i/o";
    case Errc::kNotEmpty:
      return "not empty";
    case Errc::kNotADirectory:
      return "not a directory";
    case Errc::kIsADirectory:
      return "is a directory";
    case Errc::kNotPermitted:
      return "not permitted";
    case Errc::kBadHandle:
      return "bad handle";
    case Errc::kNoAttribute:
      return "no attribute";
    case Errc::kResultTooLarge:
      return "result too large";
    case Errc::kCrossesMounts:
      return "crosses mounts";
    case Errc::kPastTheEnd:
      return "past the end";
  }
  return "unknown";
}

}  // namespace lakefuse
