#pragma once

#include <string>
#include <vector>

#include "client/error.h"
#include "fs/fuse_session.h"

namespace lakefuse {

// The arguments that libfuse makes the mount of, from what the user said. kInvalid, with a sentence: a -o
// that is no option of ours, or one that would break a promise.
Result<std::vector<std::string>> fuse_arguments(const SessionOptions& options);

}  // namespace lakefuse
