#pragma once

#include <string>

#include "client/error.h"
#include "fs/fuse_session.h"

namespace lakefuse {

// Why a mount failed, in words that say what to do. libfuse only says that it did: so this looks at what
// usually stands in the way. `said`: what libfuse wrote.
Error mount_trouble(const SessionOptions& options, const std::string& said);

}  // namespace lakefuse
