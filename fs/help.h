#pragma once

namespace lakefuse {

// What --help says beyond the list of options: examples, exit codes, environment, where things are kept.
extern const char* const kProgramHelp;
extern const char* const kMountHelp;
extern const char* const kCommitHelp;

}  // namespace lakefuse
