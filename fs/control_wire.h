#pragma once

// How a serving mount and the commands talk: one JSON object a line. A request is answered by any number of
// {"progress": N} lines and one last line, {"done": ...} or {"error": {"cause": ..., "message": ...}}. The
// same JSON is what --json prints. Unknown fields are ignored and missing ones are empty, so that versions
// may differ.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/version_control.h"
#include "fs/mount_control.h"
#include "fs/mount_registry.h"

namespace lakefuse {

// kPending: as kStatus, once the lake has been asked what it holds where conflicts are.
enum class Ask { kStatus, kPending, kFlush, kUncommitted, kOthers, kCommit, kUnmount, kDecide };

struct ControlRequest {
  Ask ask = Ask::kStatus;
  FlushOptions flush = {};   // kFlush; its patience for kUnmount too.
  std::string after = {};    // kUncommitted: where the page begins.
  std::string message = {};  // kCommit.
  Metadata metadata = {};    // kCommit.
  std::string which = {};    // kDecide.
  Decision decision = Decision::kTheirs;
};

// Whose the branch's uncommitted changes are (a removal has no address: nobody can tell).
struct OthersReport {
  std::uint64_t changes = 0;
  std::uint64_t removals = 0;
  std::uint64_t others = 0;
  std::vector<std::string> names;  // The first few of the others'.
};

std::string request_line(const ControlRequest& request);
Result<ControlRequest> parse_request(std::string_view line);

std::string progress_line(std::uint64_t waiting);
std::string error_line(const Error& error);
std::string done_line(const MountFacts& facts, const MountStatus& status);
std::string done_line(const FlushReport& report);
std::string done_line(const DiffPage& page);
std::string done_line(const OthersReport& report);
std::string done_line(const CommitInfo& commit);
std::string done_line(const std::string& sentence);

// One line of an answer.
struct AnswerLine {
  bool is_last = false;
  std::uint64_t progress = 0;  // Not the last.
  std::string done;            // The last: the JSON under "done".
};
// An {"error": ...} line comes back as that error. kUntrustworthy: no answer of ours.
Result<AnswerLine> parse_answer(std::string_view line);

struct MountReport {
  MountFacts facts;
  MountStatus status;
};
Result<MountReport> parse_mount_report(std::string_view done);
Result<FlushReport> parse_flush_report(std::string_view done);
Result<DiffPage> parse_diff_page(std::string_view done);
Result<OthersReport> parse_others_report(std::string_view done);
Result<CommitInfo> parse_commit(std::string_view done);
Result<std::string> parse_sentence(std::string_view done);

std::string facts_text(const MountFacts& facts);
Result<MountFacts> parse_facts(std::string_view text);

}  // namespace lakefuse
