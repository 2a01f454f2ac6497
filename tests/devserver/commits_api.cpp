// Commits, their log, differences between refs, merges.
#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {
namespace {

json::object commit_json(const Commit& commit) {
  json::array parents;
  for (const std::string& parent : commit.parents) parents.emplace_back(parent);
  return {{"id", commit.id},
          {"parents", std::move(parents)},
          {"committer", commit.committer},
          {"message", commit.message},
          {"creation_date", commit.creation_date},
          {"meta_range_id", commit.meta_range_id},
          {"metadata", to_json(commit.metadata)},
          {"generation", commit.generation},
          {"version", 1}};
}

CommitRequest request_of(const ApiRequest& request) {
  return {text_or(request.json, "message"), string_map(request.json, "metadata"), "admin",
          number_or(request.json, "date", request.lake.clock().unix_seconds()),
          flag_or(request.json, "allow_empty")};
}

HttpResponse commit(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  if (!valid_branch_name(request.branch()))
    throw ApiError{400, "argument branch: validation error: invalid value"};
  if (repository->is_protected(request.branch())) throw ApiError{403, "cannot commit to protected branch"};
  if (repository->read_only() && !flag_or(request.json, "force")) throw ApiError{403, "read-only repository"};
  if (!repository->find_branch(request.branch()))  // Odd words, and the real server's.
    throw ApiError{404, "prepare-commit hook aborted, run id '" +
                            new_xid(request.lake.clock().unix_seconds()) +
                            "': list actions from commit: listing actions: not found"};
  return json_answer(
      201, commit_json(*request.lake.committer(*repository).commit(request.branch(), request_of(request))));
}

HttpResponse get_commit(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  try {
    return json_answer(200, commit_json(*repository->resolve_commit(request.params.at("commit"))));
  } catch (const ApiError& error) {
    if (error.status == 404) throw ApiError{404, "commit not found"};
    throw ApiError{500, error.message};
  }
}

HttpResponse log_commits(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const std::size_t amount = amount_of(request);
  const std::string after = request.query.text("after");
  // By generation, the younger first: enough of an order for a log with merges.
  std::map<std::pair<std::int64_t, std::string>, CommitPtr, std::greater<>> ahead;
  const CommitPtr from = repository->resolve_commit(after.empty() ? request.ref() : after);
  ahead[{from->generation, from->id}] = from;
  json::array results;
  std::string last;
  while (!ahead.empty()) {
    if (results.size() == amount) return page_answer(std::move(results), true, last);
    const CommitPtr one = ahead.begin()->second;
    ahead.erase(ahead.begin());
    for (const std::string& parent : one->parents) {
      const CommitPtr next = repository->commit(parent);
      ahead[{next->generation, next->id}] = next;
      if (request.query.flag("first_parent", false)) break;
    }
    if (one->id == after) continue;
    results.emplace_back(commit_json(*one));
    last = one->id;
  }
  return page_answer(std::move(results), false, last);
}

HttpResponse diff_refs(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  // A branch here means its commit; its staging only when asked for with '$'.
  const auto side = [&](const std::string& ref) {
    const bool staged = !ref.empty() && ref.back() == '$';
    return staged ? tree_of(*repository, repository->view(ref)) : *repository->resolve_commit(ref)->tree;
  };
  const ChangePage page = page_of(diff(side(request.params.at("left")), side(request.params.at("right"))),
                                  request.query.text("prefix"), request.query.text("delimiter"),
                                  request.query.text("after"), amount_of(request));
  return changes_answer(page);
}

HttpResponse merge_into_branch(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  if (repository->read_only() && !flag_or(request.json, "force")) throw ApiError{403, "read-only repository"};
  MergeRequest merge{request_of(request), MergeRequest::Strategy::kNone,
                     flag_or(request.json, "squash_merge")};
  const std::string strategy = text_or(request.json, "strategy");
  if (strategy == "source-wins") merge.strategy = MergeRequest::Strategy::kSourceWins;
  if (strategy == "dest-wins") merge.strategy = MergeRequest::Strategy::kDestWins;
  const CommitPtr made =
      request.lake.committer(*repository)
          .merge(request.params.at("source"), request.params.at("destination"), std::move(merge));
  return json_answer(made == nullptr ? 409 : 200,
                     json::object{{"reference", made == nullptr ? "" : made->id}});
}

}  // namespace

void add_commit_calls(std::vector<Route>& routes) {
  const std::string refs = "/repositories/{repository}/refs";
  routes.push_back({"POST",
                    "/repositories/{repository}/branches/{branch}/commits",
                    "commit",
                    commit,
                    {},
                    "message!s metadata?m date?i allow_empty?b force?b"});
  routes.push_back({"GET", "/repositories/{repository}/commits/{commit}", "get_commit", get_commit});
  routes.push_back({"GET", refs + "/{ref}/commits", "log_commits", log_commits});
  routes.push_back({"GET", refs + "/{left}/diff/{right}", "diff_refs", diff_refs});
  routes.push_back({"POST",
                    refs + "/{source}/merge/{destination}",
                    "merge_into_branch",
                    merge_into_branch,
                    {},
                    "message?s metadata?m strategy?s force?b allow_empty?b squash_merge?b"});
}

}  // namespace lakefuse::test::devserver
