// Commits and merges, in the real server's steps: seal the staging token, walk what is sealed into a new
// tree, move the branch. What is written into a sealed token behind the walk's back is lost with the token.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/devserver/branch_writer.h"
#include "tests/devserver/clock.h"
#include "tests/devserver/repository.h"

namespace lakefuse::test::devserver {

struct CommitRequest {
  std::string message;
  std::map<std::string, std::string> metadata;
  std::string committer;
  std::int64_t date = 0;
  bool allow_empty = false;
};

struct MergeRequest {
  CommitRequest commit;
  enum class Strategy { kNone, kSourceWins, kDestWins } strategy = Strategy::kNone;
  bool squash = false;
};

class Committer {
 public:
  Committer(Repository& repository, Sleeper& sleeper, const RaceWindows& windows)
      : repository_(repository), sleeper_(sleeper), windows_(windows) {}

  // Throws 400 "no changes", 500 "predicate failed" where another commit came in between. `behind_walk` runs
  // when all has been read and the branch has not moved: what it writes into the sealed token is lost.
  CommitPtr commit(const std::string& branch, CommitRequest request,
                   const std::function<void()>& behind_walk = {});
  // None: a conflict. Throws 400 on a dirty destination or where there is nothing to merge.
  CommitPtr merge(const std::string& source, const std::string& destination, MergeRequest request);

 private:
  Branch seal(const std::string& branch);
  // The new tree; `changed` tells whether it differs from the old one.
  std::shared_ptr<const Tree> walk(const Branch& sealed, bool& changed);
  void prune_empty(const std::string& branch);
  CommitPtr common_ancestor(const CommitPtr& a, const CommitPtr& b) const;

  Repository& repository_;
  Sleeper& sleeper_;
  const RaceWindows windows_;
};

}  // namespace lakefuse::test::devserver
