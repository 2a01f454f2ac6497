#include "client/lakefs_versions.h"

#include <algorithm>

#include "client/retry.h"
#include "client/url.h"

namespace lakefuse {
namespace {

constexpr int kMaxSealings = 3;          // Of a commit that another one kept from starting.
constexpr int kMaxCommitsLookedAt = 25;  // Made by others while ours was under way.
// When to look for a commit whose answer was lost: it may still be under way for a moment.
constexpr std::chrono::milliseconds kLooks[] = {std::chrono::milliseconds(0), std::chrono::milliseconds(300),
                                                std::chrono::milliseconds(1'000),
                                                std::chrono::milliseconds(2'000)};

// lakeFS's rule for branch names, ^\w[-\w]*$.
bool can_be_a_branch(const std::string& name) {
  return !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_one_ref(const std::string& ref) {
  return !ref.empty() && is_utf8(ref) && std::all_of(ref.begin(), ref.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 0x7F && c != '/';
  });
}

std::optional<Errc> cause_of_commit(int status, std::string_view) {
  return status == 412 ? std::optional(Errc::kDenied) : std::nullopt;  // A hook said no.
}

std::optional<Errc> cause_of_repository(int status, std::string_view) {
  return status == 410 ? std::optional(Errc::kUnavailable) : std::nullopt;  // It is being deleted.
}

bool lost_to_another_commit(const Error& error) {
  return error.message.find("predicate failed") != std::string::npos;
}

bool may_be_done(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kTimeout || code == Errc::kTooManyRequests ||
         code == Errc::kUntrustworthy;
}

}  // namespace

Result<std::string> LakefsVersions::ask(LakeCall call) const {
  call.target = "/repositories/" + percent_encode(repository_) + call.target;
  if (call.subject.empty()) call.subject = "lakefs://" + repository_;
  auto response = calls_->call_for_json(call);
  if (!response) return response.error();
  return std::move(response->body);
}

Result<ServerConfig> LakefsVersions::config() {
  LakeCall call{.name = "get_config", .subject = calls_->endpoint(), .target = "/config"};
  call.sink.limit = wire::kMaxAnswerBytes;
  auto response = calls_->call_for_json(call);
  if (!response) return response.error();
  auto answer = wire::parse_config(response->body);
  if (!answer) return answer.error().in("get_config of " + call.subject);

  ServerConfig config{answer->version, answer->storage.facts};
  config.facts.installation = calls_->endpoint();
  if (answer->list.empty()) return config;
  auto repository = this->repository();  // Several stores: the repository says which one is its.
  if (!repository) return repository.error();
  const auto its =
      std::find_if(answer->list.begin(), answer->list.end(),
                   [&](const wire::StorageFacts& store) { return store.id == repository->storage_id; });
  if (its == answer->list.end() && !repository->storage_id.empty())
    return Error{Errc::kUntrustworthy, "get_config of " + call.subject + ": no store is called \"" +
                                           repository->storage_id + "\", which is the one of " + repository_};
  if (its != answer->list.end()) config.facts = its->facts;
  config.facts.installation = calls_->endpoint();
  return config;
}

Result<RepositoryInfo> LakefsVersions::repository() {
  auto body = ask({.name = "get_repository", .cause = cause_of_repository});
  if (!body) return body.error();
  auto repository = wire::parse_repository(*body);
  if (!repository) return repository.error().in("get_repository of lakefs://" + repository_);
  return repository;
}

Result<std::string> LakefsVersions::branch_head(const std::string& branch) {
  const std::string subject = "lakefs://" + repository_ + "/" + branch;
  if (!can_be_a_branch(branch))
    return Error{Errc::kInvalid,
                 "get_branch of " + subject + ": no branch can be called so (letters, digits, _ and -)"};
  auto body =
      ask({.name = "get_branch", .subject = subject, .target = "/branches/" + percent_encode(branch)});
  if (!body) return body.error();
  auto head = wire::parse_branch_head(*body);
  if (!head) return head.error().in("get_branch of " + subject);
  return head;
}

Result<CommitInfo> LakefsVersions::resolve(const std::string& ref) {
  const std::string subject = "lakefs://" + repository_ + "/" + ref;
  if (!is_one_ref(ref))
    return Error{Errc::kInvalid, "get_commit of " + subject + ": a ref has no spaces and no '/'"};
  auto body = ask({.name = "get_commit", .subject = subject, .target = "/commits/" + percent_encode(ref)});
  if (!body) return body.error();
  auto commit = wire::parse_commit(*body);
  if (!commit) return commit.error().in("get_commit of " + subject);
  return std::move(commit->commit);
}

Result<std::vector<std::string>> LakefsVersions::protection_rules() {
  auto body = ask({.name = "get_branch_protection_rules", .target = "/settings/branch_protection"});
  if (!body) return body.error();
  auto rules = wire::parse_protection_rules(*body);
  if (!rules) return rules.error().in("get_branch_protection_rules of lakefs://" + repository_);
  return rules;
}

Result<DiffPage> LakefsVersions::uncommitted(const std::string& branch, const std::string& prefix,
                                             const std::string& after) {
  LakeCall call{.name = "diff_branch", .subject = "lakefs://" + repository_ + "/" + branch};
  call.target = "/branches/" + percent_encode(branch) + "/diff?prefix=" + percent_encode(prefix) +
                "&after=" + percent_encode(after) + "&amount=1000";
  call.sink.limit = wire::kMaxPageBytes;
  auto body = ask(call);
  if (!body) return body.error();
  auto page = wire::parse_diff(*body, after);
  if (!page) return page.error().in("diff_branch of " + call.subject);
  return page;
}

Result<CommitInfo> LakefsVersions::commit_once(const std::string& branch, const std::string& message,
                                               const Metadata& metadata) const {
  LakeCall call{.name = "commit", .subject = "lakefs://" + repository_ + "/" + branch, .method = "POST"};
  call.target = "/branches/" + percent_encode(branch) + "/commits";
  call.json = wire::commit_body(message, metadata);
  call.repeat = Repeat::kOnce;
  call.is_slow = true;
  call.cause = cause_of_commit;
  auto body = ask(call);
  if (!body) return body.error();
  auto commit = wire::parse_commit(*body);
  if (!commit) return commit.error().in("commit of " + call.subject);
  return std::move(commit->commit);
}

// The commit with our message and metadata among those made since `old_head`.
Result<std::optional<CommitInfo>> LakefsVersions::find_since(const std::string& branch,
                                                             const std::string& old_head,
                                                             const std::string& message,
                                                             const Metadata& metadata) const {
  LakeCall call{.name = "log_commits", .subject = "lakefs://" + repository_ + "/" + branch};
  call.target = "/refs/" + percent_encode(branch) + "/commits?amount=" + std::to_string(kMaxCommitsLookedAt);
  auto body = ask(call);
  if (!body) return body.error();
  auto log = wire::parse_commit_log(*body);
  if (!log) return log.error().in("log_commits of " + call.subject);
  for (const wire::CommitAnswer& each : *log) {
    if (each.commit.id == old_head) break;
    if (each.commit.message == message && each.metadata == metadata) return std::optional(each.commit);
  }
  return std::optional<CommitInfo>();
}

Result<CommitInfo> LakefsVersions::commit(const std::string& branch, const std::string& message,
                                          const Metadata& metadata) {
  auto old_head = branch_head(branch);
  if (!old_head) return old_head.error();
  for (int sealing = 1;; ++sealing) {
    auto committed = commit_once(branch, message, metadata);
    if (committed || !may_be_done(committed.error().code)) return committed;
    const bool did_nothing = lost_to_another_commit(committed.error());  // In the server's own words.
    const auto given_up = did_nothing
                              ? committed.error()
                              : committed.error().in("whether it was made is not sure, `lakectl log` tells");
    for (const auto wait : kLooks) {
      if (auto paused = pause_for(wait); !paused) return paused.error();
      auto found = find_since(branch, *old_head, message, metadata);
      if (!found) return given_up;  // The first failure tells more than that nobody can be asked.
      if (*found) return **found;
      if (did_nothing) break;
    }
    if (!did_nothing || sealing == kMaxSealings) return given_up;
  }
}

}  // namespace lakefuse
