// One repository: its branches, tags, commits, rules and staging. What the names mean; nothing of HTTP.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/devserver/records.h"
#include "tests/devserver/staging.h"

namespace lakefuse::test::devserver {

class Journal;

// What a ref points at: a commit, and for a branch what is staged over it, newest token first.
struct View {
  std::shared_ptr<const Tree> tree;
  std::vector<std::string> tokens;
  std::string commit_id;
};

// Safe to use from many threads at once. Throws ApiError with the real server's status and words.
class Repository : private Staging::Listener {
 public:
  struct Facts {
    std::string name;
    std::string storage_namespace;
    std::string default_branch;
    std::int64_t creation_date = 0;
  };

  Repository(Facts facts, Journal* journal);

  const Facts& facts() const { return facts_; }
  Staging& staging() { return staging_; }
  const Staging& staging() const { return staging_; }
  bool read_only() const;
  void set_read_only(bool read_only);

  // --- Branches ---
  Branch branch(const std::string& name) const;  // 404 "branch not found".
  std::optional<Branch> find_branch(const std::string& name) const;
  std::vector<Branch> branches() const;  // Sorted by name.
  void create_branch(const std::string& name, const std::string& source, bool hidden);
  void delete_branch(const std::string& name);
  // Stores `changed` only if the branch is still as `seen`: how commits, resets and merges exclude each
  // other.
  bool update_branch(const Branch& seen, const Branch& changed);
  // Does `write` where the branch's staging token is still as `seen`, and lets none seal it meanwhile.
  // REQUIRES: `write` calls nothing of the repository but staging().
  void while_not_sealed(const Branch& seen, const std::function<void()>& write);
  // Sealed tokens of a finished commit. They stay readable for a while: a reader that looked at the branch
  // just before must not find neither the token nor the commit.
  void drop_later(const std::vector<std::string>& tokens);

  // --- Rules ---
  std::vector<std::string> protection() const;
  void set_protection(std::vector<std::string> patterns);
  bool is_protected(const std::string& branch) const;
  std::map<std::string, std::string> metadata() const;
  void set_metadata(std::map<std::string, std::string> metadata);

  // --- Commits, tags, refs ---
  CommitPtr commit(const std::string& id) const;  // REQUIRES: exists.
  void add_commit(CommitPtr commit);
  std::map<std::string, std::string> tags() const;
  void create_tag(const std::string& tag, const std::string& ref);
  void delete_tag(const std::string& tag);
  CommitPtr resolve_commit(const std::string& ref) const;  // 404 "not found", 400 bad syntax.
  View view(const std::string& ref) const;
  EntryPtr find(const View& view, std::string_view path) const;  // None: no such object.

  // Told when the lake comes back from disk; nothing is journaled.
  void restore_branch(Branch branch);
  void forget_branch(const std::string& name);
  void restore_commit(CommitPtr commit);
  void restore_tag(const std::string& tag, const std::string& commit_id);
  void restore_settings(bool read_only, std::vector<std::string> protection,
                        std::map<std::string, std::string> metadata);

 private:
  void staged(const std::string& token, const std::string& path, const EntryPtr& entry) override;
  void dropped(const std::string& token, const std::string& path) override;
  void journal_settings() const;
  CommitPtr named_commit(const std::string& name) const;

  const Facts facts_;
  Journal* const journal_;  // None: nothing is kept.
  Staging staging_;

  mutable std::mutex mutex_;  // Guards all below.
  bool read_only_ = false;
  std::map<std::string, Branch> branches_;
  std::map<std::string, std::string> tags_;
  std::map<std::string, CommitPtr> commits_;
  std::vector<std::string> protection_;
  std::map<std::string, std::string> metadata_;
  std::deque<std::pair<std::chrono::steady_clock::time_point, std::string>> to_drop_;
};

bool valid_repository_name(const std::string& name);  // ^[a-z0-9][a-z0-9-]{2,62}$
bool valid_branch_name(const std::string& name);      // ^\w[-\w]*$
std::string new_token(const std::string& branch);

// The first commit of every repository: an empty tree.
CommitPtr first_commit(std::int64_t date);
// Computes the id, and the meta range's, from the rest.
CommitPtr finish_commit(Commit commit);

}  // namespace lakefuse::test::devserver
