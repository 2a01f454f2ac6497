#pragma once

#include "client/error.h"

namespace lakefuse {

// The one place where a cause becomes a number that programs read from errno(3).
[[nodiscard]] int to_errno(Errc code);

}  // namespace lakefuse
