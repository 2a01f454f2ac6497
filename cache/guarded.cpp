#include "cache/guarded.h"

#include <exception>
#include <new>
#include <string>

namespace lakefuse {

Error caught() {
  try {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      return {Errc::kUnavailable, "no memory"};  // Short enough to need none.
    } catch (const std::exception& exception) {
      return {Errc::kLocalIo, std::string("unexpected: ") + exception.what()};
    }
  } catch (...) {
    return {Errc::kLocalIo, "unexpected"};
  }
}

}  // namespace lakefuse
