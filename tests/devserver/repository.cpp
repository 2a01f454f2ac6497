#include "tests/devserver/repository.h"

#include <fnmatch.h>

#include <algorithm>
#include <regex>

#include "tests/devserver/digest.h"
#include "tests/devserver/journal.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {
namespace {

json::array to_array(const std::vector<std::string>& list) {
  json::array out;
  for (const std::string& text : list) out.emplace_back(text);
  return out;
}

// Only what differs from the first parent: a commit of one file in a large tree is one short line.
json::object line_of(const Commit& commit, const Tree& parent_tree) {
  json::array put;
  json::array removed;
  auto old = parent_tree.begin();
  for (const EntryPtr& entry : *commit.tree) {
    for (; old != parent_tree.end() && (*old)->path < entry->path; ++old) removed.emplace_back((*old)->path);
    if (old != parent_tree.end() && (*old)->path == entry->path && *old++ == entry) continue;
    put.emplace_back(to_json(*entry));
  }
  for (; old != parent_tree.end(); ++old) removed.emplace_back((*old)->path);
  return {{"do", "commit"},
          {"id", commit.id},
          {"parents", to_array(commit.parents)},
          {"committer", commit.committer},
          {"message", commit.message},
          {"date", commit.creation_date},
          {"metadata", to_json(commit.metadata)},
          {"generation", commit.generation},
          {"meta_range_id", commit.meta_range_id},
          {"put", std::move(put)},
          {"removed", std::move(removed)}};
}

json::object line_of(const Branch& branch) {
  return {{"do", "branch"},
          {"name", branch.name},
          {"commit", branch.commit_id},
          {"staging", branch.staging_token},
          {"sealed", to_array(branch.sealed_tokens)},
          {"hidden", branch.hidden}};
}

bool is_commit_id(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

bool valid_repository_name(const std::string& name) {
  static const std::regex kPattern("^[a-z0-9][a-z0-9-]{2,62}$");
  return std::regex_match(name, kPattern);
}

bool valid_branch_name(const std::string& name) {
  static const std::regex kPattern("^\\w[-\\w]*$");
  return std::regex_match(name, kPattern);
}

std::string new_token(const std::string& branch) {
  return branch + ":" + random_uuid();
}

CommitPtr first_commit(std::int64_t date) {
  Commit commit;
  commit.message = "Repository created";
  commit.creation_date = date;
  commit.tree = std::make_shared<const Tree>();
  commit.id = sha256_hex(random_bytes(32));
  return std::make_shared<const Commit>(std::move(commit));
}

CommitPtr finish_commit(Commit commit) {
  std::string content;
  for (const EntryPtr& entry : *commit.tree)
    content += entry->path + '\0' + entry->checksum + '\0' + entry->address + '\0';
  commit.meta_range_id = sha256_hex(content);
  std::string all =
      commit.meta_range_id + commit.message + std::to_string(commit.creation_date) + random_uuid();
  for (const std::string& parent : commit.parents) all += parent;
  commit.id = sha256_hex(all);
  return std::make_shared<const Commit>(std::move(commit));
}

Repository::Repository(Facts facts, Journal* journal)
    : facts_(std::move(facts)), journal_(journal), staging_(journal == nullptr ? nullptr : this) {}

void Repository::staged(const std::string& token, const std::string& path, const EntryPtr& entry) {
  json::object line{{"do", "stage"}, {"repository", facts_.name}, {"token", token}};
  if (entry == nullptr)
    line["path"] = path;
  else
    line["entry"] = to_json(*entry);
  journal_->append(line);
}

void Repository::dropped(const std::string& token, const std::string& path) {
  journal_->append({{"do", "drop"}, {"repository", facts_.name}, {"token", token}, {"path", path}});
}

bool Repository::read_only() const {
  std::lock_guard lock(mutex_);
  return read_only_;
}

void Repository::set_read_only(bool read_only) {
  std::lock_guard lock(mutex_);
  read_only_ = read_only;
  journal_settings();
}

// REQUIRES: mutex_ held.
void Repository::journal_settings() const {
  if (journal_ == nullptr) return;
  journal_->append({{"do", "settings"},
                    {"repository", facts_.name},
                    {"read_only", read_only_},
                    {"protection", to_array(protection_)},
                    {"metadata", to_json(metadata_)}});
}

Branch Repository::branch(const std::string& name) const {
  auto found = find_branch(name);
  if (!found) throw ApiError{404, "branch not found"};
  return *found;
}

std::optional<Branch> Repository::find_branch(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto found = branches_.find(name);
  return found == branches_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Branch> Repository::branches() const {
  std::lock_guard lock(mutex_);
  std::vector<Branch> out;
  for (const auto& [name, branch] : branches_) out.push_back(branch);
  return out;
}

void Repository::create_branch(const std::string& name, const std::string& source, bool hidden) {
  if (!valid_branch_name(name))
    throw ApiError{400, "argument branch: validation error: invalid value " + name};
  CommitPtr from;
  try {
    from = resolve_commit(source);
  } catch (const ApiError& error) {
    throw ApiError{error.status, "source reference '" + source + "': " + error.message};
  }
  std::lock_guard lock(mutex_);
  if (branches_.count(name) != 0 || tags_.count(name) != 0 || commits_.count(name) != 0)
    throw ApiError{409, "branch already exists: not unique"};
  const Branch branch{name, from->id, new_token(name), {}, hidden};
  branches_[name] = branch;
  if (journal_ == nullptr) return;
  json::object line = line_of(branch);
  line["repository"] = facts_.name;
  journal_->append(line);
}

void Repository::delete_branch(const std::string& name) {
  if (name == facts_.default_branch) throw ApiError{403, "cannot delete repository default branch"};
  Branch gone;
  {
    std::lock_guard lock(mutex_);
    const auto found = branches_.find(name);
    if (found == branches_.end()) throw ApiError{404, "branch not found"};
    gone = found->second;
    branches_.erase(found);
    if (journal_ != nullptr)
      journal_->append({{"do", "delete-branch"}, {"repository", facts_.name}, {"name", name}});
  }
  staging_.drop_token(gone.staging_token);
  for (const std::string& token : gone.sealed_tokens) staging_.drop_token(token);
}

bool Repository::update_branch(const Branch& seen, const Branch& changed) {
  std::lock_guard lock(mutex_);
  const auto found = branches_.find(seen.name);
  if (found == branches_.end()) throw ApiError{404, "branch not found"};
  Branch& now = found->second;
  if (now.commit_id != seen.commit_id || now.staging_token != seen.staging_token ||
      now.sealed_tokens != seen.sealed_tokens)
    return false;
  now = changed;
  if (journal_ != nullptr) {
    json::object line = line_of(changed);
    line["repository"] = facts_.name;
    journal_->append(line);
  }
  return true;
}

void Repository::while_not_sealed(const Branch& seen, const std::function<void()>& write) {
  std::lock_guard lock(mutex_);
  const auto found = branches_.find(seen.name);
  if (found != branches_.end() && found->second.staging_token == seen.staging_token) write();
}

void Repository::drop_later(const std::vector<std::string>& tokens) {
  constexpr std::chrono::seconds kReadersAreDone{5};
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::string> due;
  {
    std::lock_guard lock(mutex_);
    for (const std::string& token : tokens) to_drop_.emplace_back(now + kReadersAreDone, token);
    for (; !to_drop_.empty() && to_drop_.front().first <= now; to_drop_.pop_front())
      due.push_back(to_drop_.front().second);
  }
  for (const std::string& token : due) staging_.drop_token(token);
}

std::vector<std::string> Repository::protection() const {
  std::lock_guard lock(mutex_);
  return protection_;
}

void Repository::set_protection(std::vector<std::string> patterns) {
  std::lock_guard lock(mutex_);
  protection_ = std::move(patterns);
  journal_settings();
}

bool Repository::is_protected(const std::string& branch) const {
  std::lock_guard lock(mutex_);
  return std::any_of(protection_.begin(), protection_.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), branch.c_str(), 0) == 0;
  });
}

std::map<std::string, std::string> Repository::metadata() const {
  std::lock_guard lock(mutex_);
  return metadata_;
}

void Repository::set_metadata(std::map<std::string, std::string> metadata) {
  std::lock_guard lock(mutex_);
  metadata_ = std::move(metadata);
  journal_settings();
}

CommitPtr Repository::commit(const std::string& id) const {
  std::lock_guard lock(mutex_);
  return commits_.at(id);
}

void Repository::add_commit(CommitPtr commit) {
  std::lock_guard lock(mutex_);
  if (journal_ != nullptr) {
    static const Tree kNothing;
    const Tree& parent = commit->parents.empty() ? kNothing : *commits_.at(commit->parents.front())->tree;
    json::object line = line_of(*commit, parent);
    line["repository"] = facts_.name;
    journal_->append(line);
  }
  commits_[commit->id] = std::move(commit);
}

std::map<std::string, std::string> Repository::tags() const {
  std::lock_guard lock(mutex_);
  return tags_;
}

void Repository::create_tag(const std::string& tag, const std::string& ref) {
  const CommitPtr commit = resolve_commit(ref);
  std::lock_guard lock(mutex_);
  if (tags_.count(tag) != 0 || branches_.count(tag) != 0)
    throw ApiError{409, "tag already exists: not unique"};
  tags_[tag] = commit->id;
  if (journal_ != nullptr)
    journal_->append({{"do", "tag"}, {"repository", facts_.name}, {"name", tag}, {"commit", commit->id}});
}

void Repository::delete_tag(const std::string& tag) {
  std::lock_guard lock(mutex_);
  if (tags_.erase(tag) == 0) throw ApiError{404, "not found"};
  if (journal_ != nullptr)
    journal_->append({{"do", "tag"}, {"repository", facts_.name}, {"name", tag}, {"commit", ""}});
}

// REQUIRES: mutex_ held. In the real server's order: commit id, branch, tag, unique beginning of a commit id.
CommitPtr Repository::named_commit(const std::string& name) const {
  if (const auto found = commits_.find(name); is_commit_id(name) && found != commits_.end())
    return found->second;
  if (const auto found = branches_.find(name); found != branches_.end())
    return commits_.at(found->second.commit_id);
  if (const auto found = tags_.find(name); found != tags_.end()) return commits_.at(found->second);
  const auto found = commits_.lower_bound(name);
  const bool begins = found != commits_.end() && !name.empty() && found->first.rfind(name, 0) == 0;
  const bool unique =
      begins && (std::next(found) == commits_.end() || std::next(found)->first.rfind(name, 0) != 0);
  if (!unique) throw ApiError{404, "not found"};
  return found->second;
}

CommitPtr Repository::resolve_commit(const std::string& ref) const {
  if (ref.empty() || ref.find_first_of(" \t\r\n") != std::string::npos)
    throw ApiError{400, "argument ref: validation error: invalid value"};
  const auto name_end = ref.find_first_of("~^@$");
  const std::string name = ref.substr(0, name_end);
  std::lock_guard lock(mutex_);
  CommitPtr at = named_commit(name);
  for (std::size_t i = name_end; i < ref.size();) {
    const char modifier = ref[i++];
    const auto digits_end = std::min(ref.find_first_not_of("0123456789", i), ref.size());
    const std::int64_t n = parse_integer(ref.substr(i, digits_end - i)).value_or(1);
    i = digits_end;
    if (modifier == '@' || modifier == '$') {
      if (branches_.count(name) == 0) throw ApiError{400, "reference is not a branch: invalid reference"};
      continue;
    }
    if (modifier == '^') {
      if (n == 0) continue;
      if (static_cast<std::size_t>(n) > at->parents.size()) throw ApiError{404, "not found"};
      at = commits_.at(at->parents[static_cast<std::size_t>(n) - 1]);
      continue;
    }
    if (modifier != '~') throw ApiError{400, "reference: validation error: invalid value"};
    for (std::int64_t step = 0; step < n; ++step) {
      if (at->parents.empty()) throw ApiError{404, "not found"};
      at = commits_.at(at->parents.front());
    }
  }
  return at;
}

View Repository::view(const std::string& ref) const {
  const std::string name = !ref.empty() && ref.back() == '$' ? ref.substr(0, ref.size() - 1) : ref;
  {
    std::lock_guard lock(mutex_);
    const auto found = branches_.find(name);
    if (found != branches_.end()) {
      const Branch& branch = found->second;
      View view{commits_.at(branch.commit_id)->tree, {branch.staging_token}, branch.commit_id};
      view.tokens.insert(view.tokens.end(), branch.sealed_tokens.begin(), branch.sealed_tokens.end());
      return view;
    }
  }
  const CommitPtr commit = resolve_commit(ref);
  return {commit->tree, {}, commit->id};
}

EntryPtr Repository::find(const View& view, std::string_view path) const {
  for (const std::string& token : view.tokens)
    if (const auto staged = staging_.get(token, path)) return staged->entry;
  return find_in(*view.tree, path);
}

void Repository::restore_branch(Branch branch) {
  std::lock_guard lock(mutex_);
  branches_[branch.name] = std::move(branch);
}

void Repository::forget_branch(const std::string& name) {
  std::lock_guard lock(mutex_);
  branches_.erase(name);
}

void Repository::restore_commit(CommitPtr commit) {
  std::lock_guard lock(mutex_);
  commits_[commit->id] = std::move(commit);
}

void Repository::restore_tag(const std::string& tag, const std::string& commit_id) {
  std::lock_guard lock(mutex_);
  if (commit_id.empty())
    tags_.erase(tag);
  else
    tags_[tag] = commit_id;
}

void Repository::restore_settings(bool read_only, std::vector<std::string> protection,
                                  std::map<std::string, std::string> metadata) {
  std::lock_guard lock(mutex_);
  read_only_ = read_only;
  protection_ = std::move(protection);
  metadata_ = std::move(metadata);
}

}  // namespace lakefuse::test::devserver
