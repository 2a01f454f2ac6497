#pragma once

namespace lakefuse {

// What the program tells its caller; --help and the README list the same numbers.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,        // It could not be done; one sentence on stderr says why.
  kUsage = 2,         // The command line makes no sense.
  kNotOnLake = 3,     // Bytes are not on the lake: the files are named, with where they are kept.
  kUnreachable = 4,   // The lake cannot be reached, or what answers is no lakeFS.
  kNoAccess = 5,      // No credentials, wrong ones, or they may not do this.
  kWrongRef = 6,      // No such repository, ref or prefix, or it cannot be written.
  kLocalTrouble = 7,  // The mount point, the cache or the state directory, or FUSE itself.
};

}  // namespace lakefuse
