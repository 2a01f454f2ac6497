#include "tests/devserver/committer.h"

#include <algorithm>
#include <optional>
#include <set>

#include "tests/devserver/listing.h"

namespace lakefuse::test::devserver {
namespace {

bool same(const EntryPtr& a, const EntryPtr& b) {
  return a == b || (a != nullptr && b != nullptr && same_identity(*a, *b));
}

// Three-way, path by path; none where both sides changed a path differently and no strategy decides.
std::shared_ptr<const Tree> merge_trees(const Tree& base, const Tree& source, const Tree& destination,
                                        MergeRequest::Strategy strategy) {
  std::set<std::string> paths;
  for (const Tree* tree : {&source, &destination})
    for (const EntryPtr& entry : *tree) paths.insert(entry->path);
  auto merged = std::make_shared<Tree>();
  for (const std::string& path : paths) {
    const EntryPtr old = find_in(base, path);
    const EntryPtr theirs = find_in(source, path);
    const EntryPtr ours = find_in(destination, path);
    EntryPtr result = ours;
    if (!same(theirs, old)) {
      const bool conflict = !same(ours, old) && !same(ours, theirs);
      if (conflict && strategy == MergeRequest::Strategy::kNone) return nullptr;
      if (!conflict || strategy == MergeRequest::Strategy::kSourceWins)
        result = same(ours, theirs) ? ours : theirs;
    }
    if (result != nullptr) merged->push_back(result);
  }
  return merged;
}

}  // namespace

Branch Committer::seal(const std::string& name) {
  const Branch seen = repository_.branch(name);
  Branch changed = seen;
  changed.sealed_tokens.insert(changed.sealed_tokens.begin(), seen.staging_token);
  changed.staging_token = new_token(name);
  if (!repository_.update_branch(seen, changed)) throw ApiError{500, "commit: predicate failed"};
  return changed;
}

std::shared_ptr<const Tree> Committer::walk(const Branch& sealed, bool& changed) {
  const CommitPtr parent = repository_.commit(sealed.commit_id);
  // A walk over the sealed tokens alone, tombstones included, merged with the parent's tree: the old record
  // stays where the new one is the same entry.
  std::vector<std::pair<std::string, EntryPtr>> changes;
  std::string from;
  std::size_t records = 0;
  for (const std::string& token : sealed.sealed_tokens)
    records += repository_.staging().slice(token, "", static_cast<std::size_t>(-1)).size();
  const auto pause = windows_.walking / static_cast<std::int64_t>(std::max<std::size_t>(records, 1));
  for (;;) {  // One record at a time, read when the walk gets there: later writes behind it are not seen.
    std::optional<std::pair<std::string, Staged>> first;
    for (const std::string& token : sealed.sealed_tokens)
      for (auto& record : repository_.staging().slice(token, from, 1))
        if (!first || record.first < first->first) first = std::move(record);
    if (!first) break;
    from = first->first + '\0';
    changes.emplace_back(first->first, first->second.entry);
    sleeper_.sleep_for(pause);
  }
  if (records == 0) sleeper_.sleep_for(windows_.walking);

  changed = false;
  auto tree = std::make_shared<Tree>();
  tree->reserve(parent->tree->size() + changes.size());
  auto old = parent->tree->begin();
  for (auto& [path, entry] : changes) {
    while (old != parent->tree->end() && (*old)->path < path) tree->push_back(*old++);
    const bool existed = old != parent->tree->end() && (*old)->path == path;
    if (existed && entry != nullptr && same_identity(**old, *entry)) {
      tree->push_back(*old++);
      continue;
    }
    changed = changed || existed || entry != nullptr;
    if (existed) ++old;
    if (entry != nullptr) tree->push_back(std::move(entry));
  }
  tree->insert(tree->end(), old, parent->tree->end());
  return tree;
}

CommitPtr Committer::commit(const std::string& name, CommitRequest request,
                            const std::function<void()>& behind_walk) {
  const Branch sealed = seal(name);
  sleeper_.sleep_for(windows_.sealing);
  bool changed = false;
  auto tree = walk(sealed, changed);
  if (behind_walk) behind_walk();
  if (!changed && !request.allow_empty) {
    // The real server leaves the sealed tokens where they are: reads are the same, and the next commit walks
    // them again.
    prune_empty(name);
    throw ApiError{400, "commit: no changes"};
  }
  sleeper_.sleep_for(windows_.ending);
  const CommitPtr parent = repository_.commit(sealed.commit_id);
  Commit made;
  made.parents = {parent->id};
  made.committer = std::move(request.committer);
  made.message = std::move(request.message);
  made.metadata = std::move(request.metadata);
  made.creation_date = request.date;
  made.generation = parent->generation + 1;
  made.tree = std::move(tree);
  CommitPtr commit = finish_commit(std::move(made));
  repository_.add_commit(commit);
  for (;;) {
    const Branch seen = repository_.branch(name);
    if (seen.commit_id != sealed.commit_id) throw ApiError{500, "commit: predicate failed"};
    Branch moved = seen;
    moved.commit_id = commit->id;
    for (const std::string& token : sealed.sealed_tokens) std::erase(moved.sealed_tokens, token);
    if (repository_.update_branch(seen, moved)) break;
  }
  repository_.drop_later(sealed.sealed_tokens);
  return commit;
}

// Keeps commits in a loop over an idle branch from piling up tokens for ever. A writer that is just writing
// into one of them looks at the branch afterwards and writes again.
void Committer::prune_empty(const std::string& name) {
  constexpr std::size_t kMany = 16;
  const Branch seen = repository_.branch(name);
  if (seen.sealed_tokens.size() < kMany) return;
  Branch pruned = seen;
  std::erase_if(pruned.sealed_tokens,
                [&](const std::string& token) { return repository_.staging().empty(token); });
  repository_.update_branch(seen, pruned);  // Where another change came first, the next commit will do it.
}

CommitPtr Committer::merge(const std::string& source, const std::string& destination, MergeRequest request) {
  const CommitPtr from = repository_.resolve_commit(source);
  const Branch seen = repository_.branch(destination);
  if (!uncommitted(repository_, destination).empty())
    throw ApiError{400, "uncommitted changes (dirty branch)"};
  const CommitPtr into = repository_.commit(seen.commit_id);
  const CommitPtr base = common_ancestor(from, into);
  if (base == from && !request.commit.allow_empty)
    throw ApiError{400, "update branch " + destination + ": no changes"};
  auto tree = merge_trees(*base->tree, *from->tree, *into->tree, request.strategy);
  if (tree == nullptr) return nullptr;
  Commit made;
  made.parents = {into->id};
  if (!request.squash) made.parents.push_back(from->id);
  made.committer = request.commit.committer;
  made.message = request.commit.message.empty() ? "Merge '" + source + "' into '" + destination + "'"
                                                : request.commit.message;
  made.metadata = request.commit.metadata;
  made.metadata[".lakefs.merge.strategy"] = "default";
  made.creation_date = request.commit.date;
  made.generation = std::max(into->generation, from->generation) + 1;
  made.tree = std::move(tree);
  CommitPtr commit = finish_commit(std::move(made));
  repository_.add_commit(commit);
  Branch moved = seen;
  moved.commit_id = commit->id;
  if (!repository_.update_branch(seen, moved)) throw ApiError{500, "merge: predicate failed"};
  return commit;
}

// Of the commits that both have below them, the youngest.
CommitPtr Committer::common_ancestor(const CommitPtr& a, const CommitPtr& b) const {
  const auto ancestors = [&](const CommitPtr& from) {
    std::set<std::string> seen;
    std::vector<CommitPtr> todo{from};
    while (!todo.empty()) {
      const CommitPtr one = todo.back();
      todo.pop_back();
      if (!seen.insert(one->id).second) continue;
      for (const std::string& parent : one->parents) todo.push_back(repository_.commit(parent));
    }
    return seen;
  };
  const std::set<std::string> of_b = ancestors(b);
  CommitPtr best;
  for (const std::string& id : ancestors(a)) {
    if (of_b.count(id) == 0) continue;
    const CommitPtr one = repository_.commit(id);
    if (best == nullptr || one->generation > best->generation) best = one;
  }
  return best;
}

}  // namespace lakefuse::test::devserver
