#include "fs/to_errno.h"

#include <cerrno>

namespace lakefuse {

int to_errno(Errc code) {
  switch (code) {  // No default: a new Errc does not compile before it has its line here.
    case Errc::kNotFound:
      return ENOENT;
    case Errc::kExists:
      return EEXIST;
    case Errc::kConflict:
      return ESTALE;
    case Errc::kBusy:
      return EBUSY;
    case Errc::kStale:
      return ESTALE;
    case Errc::kUnauthenticated:
      return EACCES;
    case Errc::kDenied:
      return EACCES;
    case Errc::kReadOnly:
      return EROFS;
    case Errc::kInvalid:
      return EINVAL;
    case Errc::kBadName:
      return EILSEQ;
    case Errc::kNameTooLong:
      return ENAMETOOLONG;
    case Errc::kTooManyRequests:
      return EIO;  // EAGAIN would make programs think of O_NONBLOCK.
    case Errc::kUnavailable:
      return EIO;
    case Errc::kTimeout:
      return EIO;  // ETIMEDOUT is no answer that programs expect of a file.
    case Errc::kInterrupted:
      return EINTR;
    case Errc::kDataMissing:
      return EIO;
    case Errc::kExpired:
      return EIO;
    case Errc::kUnsupported:
      return EOPNOTSUPP;
    case Errc::kUntrustworthy:
      return EIO;
    case Errc::kNoSpace:
      return ENOSPC;
    case Errc::kTooLarge:
      return EFBIG;
    case Errc::kTooManyOpen:
      return ENFILE;  // EMFILE would say that it is the program that has too many.
    case Errc::kLocalIo:
      return EIO;
    case Errc::kNotEmpty:
      return ENOTEMPTY;
    case Errc::kNotADirectory:
      return ENOTDIR;
    case Errc::kIsADirectory:
      return EISDIR;
    case Errc::kNotPermitted:
      return EPERM;
    case Errc::kBadHandle:
      return EBADF;
    case Errc::kNoAttribute:
      return ENODATA;
    case Errc::kResultTooLarge:
      return ERANGE;
    case Errc::kCrossesMounts:
      return EXDEV;
    case Errc::kPastTheEnd:
      return ENXIO;
  }
  return EIO;
}

}  // namespace lakefuse
