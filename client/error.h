#pragma once

// What can go wrong, in the words of the domain. Every failure between the kernel and the lake is an Error:
// one cause out of a closed set, by which programs decide, and one sentence, which people read. The sentence
// names the call, the path and the other side's own words, and never holds a secret or a presigned URL.

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace lakefuse {

enum class Errc {
  kNotFound,         // No such object, prefix, branch or repository.
  kExists,           // Something is there already, and nothing may be.
  kConflict,         // Another version came between what was opened and what is written (W6).
  kBusy,             // The same for a rename, whose ESTALE the kernel would hide.
  kStale,            // That version can be had no more, neither by URL nor from a commit (R1).
  kUnauthenticated,  // The server does not know these credentials.
  kDenied,           // The credentials are good but may not do this.
  kReadOnly,         // Protected branch, read-only repository, or a ref that cannot be written.
  kInvalid,          // The request makes no sense to the other side.
  kBadName,          // A name that is not UTF-8.
  kNameTooLong,      // A name over 255 bytes, or a path over lakeFS's 1,024.
  kTooManyRequests,  // 420, 423, 429: try again later.
  kUnavailable,      // Network trouble, 5xx: try again later.
  kTimeout,          // A deadline passed.
  kInterrupted,      // A signal ended the wait.
  kDataMissing,      // 410: the entry is there, its bytes are not.
  kExpired,          // The address or URL is too old; a new one helps.
  kUnsupported,      // 501, or an operation that lakefuse does not have.
  kUntrustworthy,    // The answer contradicts itself or what it was asked (F4).
  kNoSpace,          // The local disk is full (F2).
  kTooLarge,         // Over the largest object that can be stored.
  kTooManyOpen,      // No descriptor is left for it: later, when fewer files are open or wait.
  kLocalIo,          // The local disk failed.
  kNotEmpty,
  kNotADirectory,
  kIsADirectory,
  kNotPermitted,
  kBadHandle,
  kNoAttribute,
  kResultTooLarge,
  kCrossesMounts,
  kPastTheEnd,  // SEEK_DATA or SEEK_HOLE has nowhere to go.
};
inline constexpr Errc kLastErrc = Errc::kPastTheEnd;

struct Error {
  Errc code;
  std::string message;

  // The same cause, told from further out: "<context>: <message>".
  [[nodiscard]] Error in(std::string_view context) const {
    return {code, std::string(context) + ": " + message};
  }
};

// A value, or why there is none. Cannot be dropped unseen.
template <class T = void>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  using Base = tl::expected<T, Error>;

 public:
  using Base::Base;
  Result(Base base) : Base(std::move(base)) {}
  Result(Error error) : Base(tl::unexpect, std::move(error)) {}
};

// True for causes that go away by themselves: what failed for them is tried again in the background (W2).
[[nodiscard]] bool is_passing(Errc code);

// The enumerator as a word for logs and JSON, e.g. "conflict".
[[nodiscard]] std::string_view to_word(Errc code);

}  // namespace lakefuse
