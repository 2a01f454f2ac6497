#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/error.h"
#include "client/object_store.h"

namespace lakefuse {

struct ServerVersion {
  int major = 0;
  int minor = 0;
  std::string text;  // As the server says it; "dev..." has major = minor = 0 and counts as newest.
  [[nodiscard]] bool is_older_than(int other_major, int other_minor) const;
};

struct ServerConfig {
  ServerVersion version;
  StoreFacts facts;
};

struct RepositoryInfo {
  std::string id;
  std::string storage_namespace;
  std::string default_branch;
  std::string storage_id;
  bool read_only = false;
};

struct CommitInfo {
  std::string id;
  std::string message;
  std::int64_t created_seconds = 0;
};

enum class ChangeKind { kAdded, kRemoved, kChanged };

struct Change {
  ChangeKind kind;
  std::string path;
  std::uint64_t size_bytes = 0;
};

struct DiffPage {
  std::vector<Change> changes;
  bool has_more = false;
  std::string next;
};

// One lakeFS repository, seen as version control: what fs/ needs at mount, and the commands diff and commit.
// Safe to call from many threads at once; deadlines and general failures as ObjectStore.
class VersionControl {
 public:
  virtual ~VersionControl() = default;

  virtual Result<ServerConfig> config() = 0;

  // kNotFound: no such repository. kUnavailable: it is being deleted.
  virtual Result<RepositoryInfo> repository() = 0;

  // The branch's head commit. kNotFound: no branch of that name (it may still be a tag or a commit id).
  // kInvalid: no branch can be called so.
  virtual Result<std::string> branch_head(const std::string& branch) = 0;

  // The commit that any ref expression names now: branch, tag, id, "main~2", "main@". kNotFound.
  virtual Result<CommitInfo> resolve(const std::string& ref) = 0;

  // The glob patterns of protected branches. kDenied where the user may not see them.
  virtual Result<std::vector<std::string>> protection_rules() = 0;

  // One page of the branch's uncommitted changes, by everybody.
  virtual Result<DiffPage> uncommitted(const std::string& branch, const std::string& prefix,
                                       const std::string& after) = 0;

  // Commits all uncommitted changes of the branch, everybody's. kInvalid "no changes"; kDenied with the
  // hook's words (412). Not repeated after a lost answer: looks at the branch's head instead, so that a
  // commit is not made twice.
  virtual Result<CommitInfo> commit(const std::string& branch, const std::string& message,
                                    const Metadata& metadata) = 0;
};

// True when a lakeFS branch protection rule, a glob, covers `branch`.
[[nodiscard]] bool rule_covers(const std::string& pattern, const std::string& branch);

}  // namespace lakefuse
