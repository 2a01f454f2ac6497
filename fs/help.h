#pragma once

namespace lakefuse {

// What --help says beyond the list of options: examples, exit codes, environment, where things are kept.
extern const char* const kProgramHelp;
extern const char* const kMountHelp;
extern const char* const kUmountHelp;
extern const char* const kStatusHelp;
extern const char* const kPendingHelp;
extern const char* const kDiffHelp;
extern const char* const kFlushHelp;
extern const char* const kResolveHelp;
extern const char* const kDiscardHelp;
extern const char* const kRecoverHelp;
extern const char* const kPrefetchHelp;
extern const char* const kCommitHelp;

}  // namespace lakefuse
