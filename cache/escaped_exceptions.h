#pragma once

#include <string_view>

namespace lakefuse {

// Who hears of exceptions that jobs of a pool (cache/workers.h) let out; each ends its own job alone.
// Nobody, until it is said. From any thread.
void tell_of_escaped_exceptions(void (*tell)(std::string_view what));

}  // namespace lakefuse
