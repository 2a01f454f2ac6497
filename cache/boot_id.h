#pragma once

#include <string>

namespace lakefuse {

// Tells one boot of this machine from another: what was written before another one may lack what was not
// synced.
[[nodiscard]] const std::string& boot_id();

}  // namespace lakefuse
