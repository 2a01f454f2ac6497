#include "tests/devserver/branch_writer.h"

#include <algorithm>
#include <set>

#include "tests/devserver/listing.h"

namespace lakefuse::test::devserver {
namespace {

constexpr int kTries = 3;  // As the real server's BranchWriteMaxTries.

}  // namespace

void BranchWriter::retry_on_new_token(const std::string& name,
                                      const std::function<void(const Branch&)>& write) {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const Branch seen = repository_.branch(name);
    write(seen);
    sleeper_.sleep_for(windows_.after_write);
    if (repository_.branch(name).staging_token == seen.staging_token) return;
  }
  throw ApiError{429, "Too many attempts, try again later"};
}

std::optional<Staged> BranchWriter::find_sealed(const Branch& branch, const std::string& path) const {
  for (const std::string& token : branch.sealed_tokens)
    if (auto sealed = repository_.staging().get(token, path)) return sealed;
  return std::nullopt;
}

EntryPtr BranchWriter::find_committed(const Branch& branch, const std::string& path) const {
  return find_in(*repository_.commit(branch.commit_id)->tree, path);
}

EntryPtr BranchWriter::find_below_staging(const Branch& branch, const std::string& path) const {
  const auto sealed = find_sealed(branch, path);
  return sealed ? sealed->entry : find_committed(branch, path);
}

void BranchWriter::set(const std::string& name, EntryPtr entry, bool if_absent) {
  Staging& staging = repository_.staging();
  retry_on_new_token(name, [&](const Branch& branch) {
    const std::string& token = branch.staging_token;
    if (!if_absent) {
      sleeper_.sleep_for(windows_.before_write);
      staging.set(token, entry->path, entry);
      return;
    }
    const auto seen = staging.get(token, entry->path);
    const EntryPtr held = seen ? seen->entry : find_below_staging(branch, entry->path);
    sleeper_.sleep_for(windows_.before_write);
    const auto now = staging.get(token, entry->path);
    const bool exists = now ? now->entry != nullptr : held != nullptr;
    if (exists || !staging.compare_and_set(token, entry->path, now, entry))
      throw ApiError{412, "Precondition failed"};
  });
}

void BranchWriter::remove(const std::string& name, const std::string& path, bool no_tombstone) {
  Staging& staging = repository_.staging();
  retry_on_new_token(name, [&](const Branch& branch) {
    const auto bury = [&] { staging.set(branch.staging_token, path, nullptr); };
    // What is staged is buried at once: a gap in which chance never puts a commit. Tests do
    // (Committer::commit, Fault::Kind::kLateRemoval).
    const bool is_staged = staging.get(branch.staging_token, path).has_value();
    if (is_staged && !no_tombstone) {
      repository_.while_not_sealed(branch, bury);
      return;
    }
    // What the commit has is buried whatever is staged over it: so a removal that landed behind a commit's
    // walk is done again in the new token. Of what no commit has, the tombstone in the sealed token is enough
    // for the real server, and is lost with it.
    const bool is_committed = find_committed(branch, path) != nullptr;
    sleeper_.sleep_for(windows_.before_write);
    const auto sealed = find_sealed(branch, path);
    if (is_committed || (sealed && sealed->entry != nullptr))
      bury();
    else if (no_tombstone && !sealed)
      staging.drop(branch.staging_token, path);
  });
}

void BranchWriter::set_metadata(const std::string& name, const std::string& path,
                                std::map<std::string, std::string> metadata) {
  Staging& staging = repository_.staging();
  retry_on_new_token(name, [&](const Branch& branch) {
    const auto staged = staging.get(branch.staging_token, path);
    const EntryPtr held = staged ? staged->entry : find_below_staging(branch, path);
    if (held == nullptr) throw ApiError{404, "not found"};
    sleeper_.sleep_for(windows_.before_write);
    Entry changed = *held;
    changed.metadata = metadata;
    if (!staging.compare_and_set(branch.staging_token, path, staged,
                                 std::make_shared<const Entry>(std::move(changed))))
      throw ApiError{500, "predicate failed"};
  });
}

void BranchWriter::reset(const std::string& name) {
  const Branch seen = repository_.branch(name);
  Branch changed = seen;
  changed.staging_token = new_token(name);
  changed.sealed_tokens.clear();
  if (!repository_.update_branch(seen, changed)) throw ApiError{500, "predicate failed"};
  repository_.staging().drop_token(seen.staging_token);
  for (const std::string& token : seen.sealed_tokens) repository_.staging().drop_token(token);
}

void BranchWriter::reset_object(const std::string& name, const std::string& path) {
  Staging& staging = repository_.staging();
  retry_on_new_token(name, [&](const Branch& branch) {
    const bool sealed =
        std::any_of(branch.sealed_tokens.begin(), branch.sealed_tokens.end(),
                    [&](const std::string& token) { return staging.get(token, path).has_value(); });
    if (sealed)  // A sealed token cannot be changed: the committed state is written over it.
      staging.set(branch.staging_token, path, find_in(*repository_.commit(branch.commit_id)->tree, path));
    else
      staging.drop(branch.staging_token, path);
  });
}

void BranchWriter::reset_prefix(const std::string& name, const std::string& prefix) {
  const Branch branch = repository_.branch(name);
  std::vector<std::string> tokens = branch.sealed_tokens;
  tokens.push_back(branch.staging_token);
  std::set<std::string> paths;
  for (const std::string& token : tokens)
    for (const auto& [path, record] :
         repository_.staging().slice(token, prefix, static_cast<std::size_t>(-1))) {
      if (path.compare(0, prefix.size(), prefix) != 0) break;
      paths.insert(path);
    }
  for (const std::string& path : paths) reset_object(name, path);
}

std::string BranchWriter::seal_with(const std::string& name, EntryPtr entry) {
  const std::string token = new_token(name);
  repository_.staging().set(token, entry->path, entry);
  for (;;) {
    const Branch seen = repository_.branch(name);
    Branch changed = seen;
    changed.sealed_tokens.insert(changed.sealed_tokens.begin(), token);
    if (repository_.update_branch(seen, changed)) return token;
  }
}

void BranchWriter::drop_sealed(const std::string& name, const std::string& token) {
  for (;;) {
    const auto seen = repository_.find_branch(name);
    if (!seen) return;
    Branch changed = *seen;
    std::erase(changed.sealed_tokens, token);
    if (repository_.update_branch(*seen, changed)) break;
  }
  repository_.staging().drop_token(token);
}

}  // namespace lakefuse::test::devserver
