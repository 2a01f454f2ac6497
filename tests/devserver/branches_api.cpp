// Branches and tags.
#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {
namespace {

json::object ref_json(const std::string& id, const std::string& commit_id) {
  return {{"id", id}, {"commit_id", commit_id}};
}

void check_branch_name(const std::string& name) {
  if (!valid_branch_name(name)) throw ApiError{400, "argument branch: validation error: invalid value"};
}

HttpResponse list_refs(const ApiRequest& request, const std::map<std::string, std::string>& refs) {
  const std::string prefix = request.query.text("prefix");
  const std::string after = request.query.text("after");
  const std::size_t amount = amount_of(request);
  json::array results;
  std::string last;
  for (const auto& [name, commit_id] : refs) {
    if (name.rfind(prefix, 0) != 0 || name <= after) continue;
    if (results.size() == amount) return page_answer(std::move(results), true, last);
    results.emplace_back(ref_json(name, commit_id));
    last = name;
  }
  return page_answer(std::move(results), false, last);
}

HttpResponse list_branches(ApiRequest& request) {
  std::map<std::string, std::string> refs;
  for (const Branch& branch : request.lake.repository(request.repository_name())->branches())
    if (!branch.hidden || request.query.flag("show_hidden", false)) refs[branch.name] = branch.commit_id;
  return list_refs(request, refs);
}

HttpResponse create_branch(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  if (repository->read_only() && !flag_or(request.json, "force")) throw ApiError{403, "read-only repository"};
  const std::string name = text_or(request.json, "name");
  repository->create_branch(name, text_or(request.json, "source"), flag_or(request.json, "hidden"));
  return text_answer(201, repository->branch(name).commit_id);
}

HttpResponse get_branch(ApiRequest& request) {
  check_branch_name(request.branch());
  const Branch branch = request.lake.repository(request.repository_name())->branch(request.branch());
  return json_answer(200, ref_json(branch.name, branch.commit_id));
}

HttpResponse delete_branch(ApiRequest& request) {
  check_branch_name(request.branch());
  request.lake.repository(request.repository_name())->delete_branch(request.branch());
  return no_content();
}

HttpResponse reset_branch(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  check_writable(request, *repository);
  BranchWriter writer = request.lake.writer(*repository);
  const std::string type = text_or(request.json, "type");
  const std::string path = text_or(request.json, "path");
  if (type == "object")
    writer.reset_object(request.branch(), path);
  else if (type == "common_prefix")
    writer.reset_prefix(request.branch(), path);
  else
    writer.reset(request.branch());
  return no_content();
}

HttpResponse hard_reset_branch(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  check_writable(request, *repository);
  const CommitPtr target = repository->resolve_commit(request.query.text("ref"));
  if (!uncommitted(*repository, request.branch()).empty())
    throw ApiError{400, "uncommitted changes (dirty branch)"};
  const Branch seen = repository->branch(request.branch());
  Branch moved = seen;
  moved.commit_id = target->id;
  if (!repository->update_branch(seen, moved)) throw ApiError{500, "predicate failed"};
  return no_content();
}

HttpResponse diff_branch(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  check_branch_name(request.branch());
  repository->branch(request.branch());
  const ChangePage page =
      page_of(uncommitted(*repository, request.branch()), request.query.text("prefix"),
              request.query.text("delimiter"), request.query.text("after"), amount_of(request));
  return changes_answer(page);
}

HttpResponse list_tags(ApiRequest& request) {
  return list_refs(request, request.lake.repository(request.repository_name())->tags());
}

HttpResponse create_tag(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const std::string tag = text_or(request.json, "id");
  repository->create_tag(tag, text_or(request.json, "ref"));
  return json_answer(201, ref_json(tag, repository->tags().at(tag)));
}

HttpResponse get_tag(ApiRequest& request) {
  const auto tags = request.lake.repository(request.repository_name())->tags();
  const auto found = tags.find(request.params.at("tag"));
  if (found == tags.end()) throw ApiError{404, "tag not found"};
  return json_answer(200, ref_json(found->first, found->second));
}

HttpResponse delete_tag(ApiRequest& request) {
  request.lake.repository(request.repository_name())->delete_tag(request.params.at("tag"));
  return no_content();
}

}  // namespace

void add_branch_calls(std::vector<Route>& routes) {
  const std::string all = "/repositories/{repository}/branches";
  const std::string one = all + "/{branch}";
  const std::string tags = "/repositories/{repository}/tags";
  routes.push_back({"GET", all, "list_branches", list_branches});
  routes.push_back({"POST", all, "create_branch", create_branch, {}, "name!s source!s force?b hidden?b"});
  routes.push_back({"GET", one, "get_branch", get_branch});
  routes.push_back({"DELETE", one, "delete_branch", delete_branch});
  routes.push_back(
      {"PUT", one, "reset_branch", reset_branch, {}, "type!s=object|common_prefix|reset path?s force?b"});
  routes.push_back({"PUT", one + "/hard_reset", "hard_reset_branch", hard_reset_branch, {"ref"}});
  routes.push_back({"GET", one + "/diff", "diff_branch", diff_branch});
  routes.push_back({"GET", tags, "list_tags", list_tags});
  routes.push_back({"POST", tags, "create_tag", create_tag, {}, "id!s ref!s force?b"});
  routes.push_back({"GET", tags + "/{tag}", "get_tag", get_tag});
  routes.push_back({"DELETE", tags + "/{tag}", "delete_tag", delete_tag});
}

}  // namespace lakefuse::test::devserver
