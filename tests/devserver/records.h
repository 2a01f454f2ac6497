// The lake's records: what a path, a commit and a branch are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lakefuse::test::devserver {

struct Entry {
  std::string path;
  std::string address;   // Relative: "data/..."; full: as it was linked.
  bool relative = true;  // To the repository's storage namespace.
  std::string checksum;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  std::string content_type;
  std::map<std::string, std::string> metadata;
};

using EntryPtr = std::shared_ptr<const Entry>;

// Neither the address nor the mtime is part of what an entry is: the same content linked again is no change.
inline bool same_identity(const Entry& a, const Entry& b) {
  return a.size == b.size && a.checksum == b.checksum && a.content_type == b.content_type &&
         a.metadata == b.metadata;
}

// What a commit holds, sorted by path (bytewise).
using Tree = std::vector<EntryPtr>;

inline Tree::const_iterator first_at_or_after(const Tree& tree, std::string_view path) {
  return std::lower_bound(tree.begin(), tree.end(), path, [](const EntryPtr& entry, std::string_view wanted) {
    return entry->path < wanted;
  });
}

inline EntryPtr find_in(const Tree& tree, std::string_view path) {
  const auto found = first_at_or_after(tree, path);
  return found != tree.end() && (*found)->path == path ? *found : nullptr;
}

struct Commit {
  std::string id;
  std::vector<std::string> parents;
  std::string committer;
  std::string message;
  std::int64_t creation_date = 0;
  std::map<std::string, std::string> metadata;
  std::int64_t generation = 1;
  std::string meta_range_id;  // Names the tree's content; empty for the first commit.
  std::shared_ptr<const Tree> tree;
};

using CommitPtr = std::shared_ptr<const Commit>;

// Writes go to the staging token; a commit seals it and gives the branch a new one. Reads look at the staging
// token, the sealed tokens (newest first), then the commit.
struct Branch {
  std::string name;
  std::string commit_id;
  std::string staging_token;
  std::vector<std::string> sealed_tokens;
  bool hidden = false;
};

struct ApiError {
  int status;
  std::string message;
};

}  // namespace lakefuse::test::devserver
