#pragma once

// The commands, one function each. They write to stdout and stderr and return the process's exit code.

#include "fs/options.h"

namespace lakefuse {

int run(const MountCommand& command);
int run(const UmountCommand& command);
int run(const StatusCommand& command);
int run(const PendingCommand& command);
int run(const DiffCommand& command);
int run(const FlushCommand& command);
int run(const CommitCommand& command);
int run(const PrefetchCommand& command);
int run(const ResolveCommand& command);
int run(const DiscardCommand& command);
int run(const RecoverCommand& command);

}  // namespace lakefuse
