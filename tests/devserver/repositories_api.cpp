// Repositories, their metadata and their protection rules.
#include "tests/devserver/api.h"
#include "tests/devserver/digest.h"

namespace lakefuse::test::devserver {
namespace {

json::object repository_json(const Repository& repository) {
  const Repository::Facts& facts = repository.facts();
  return {{"id", facts.name},
          {"creation_date", facts.creation_date},
          {"default_branch", facts.default_branch},
          {"storage_id", ""},
          {"storage_namespace", facts.storage_namespace},
          {"read_only", repository.read_only()}};
}

HttpResponse list_repositories(ApiRequest& request) {
  const std::string prefix = request.query.text("prefix");
  const std::string after = request.query.text("after");
  const std::size_t amount = amount_of(request);
  json::array results;
  std::string last;
  for (const auto& repository : request.lake.repositories()) {
    const std::string& name = repository->facts().name;
    if (name.rfind(prefix, 0) != 0 || name <= after) continue;
    if (results.size() == amount) return page_answer(std::move(results), true, last);
    results.emplace_back(repository_json(*repository));
    last = name;
  }
  return page_answer(std::move(results), false, last);
}

HttpResponse create_repository(ApiRequest& request) {
  const auto made = request.lake.create_repository(
      text_or(request.json, "name"), text_or(request.json, "storage_namespace"),
      text_or(request.json, "default_branch", "main"), flag_or(request.json, "read_only"));
  if (flag_or(request.json, "sample_data")) made->set_protection({made->facts().default_branch});
  return json_answer(201, repository_json(*made));
}

HttpResponse get_repository(ApiRequest& request) {
  if (!valid_repository_name(request.repository_name()))
    throw ApiError{400, "argument repository: validation error: invalid value"};
  return json_answer(200, repository_json(*request.lake.repository(request.repository_name())));
}

HttpResponse delete_repository(ApiRequest& request) {
  request.lake.delete_repository(request.repository_name());
  return no_content();
}

HttpResponse get_repository_metadata(ApiRequest& request) {
  return json_answer(200, to_json(request.lake.repository(request.repository_name())->metadata()));
}

HttpResponse set_repository_metadata(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  auto metadata = repository->metadata();
  for (auto& [key, value] : string_map(request.json, "metadata")) metadata[key] = value;
  repository->set_metadata(std::move(metadata));
  return no_content();
}

HttpResponse delete_repository_metadata(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  auto metadata = repository->metadata();
  for (const std::string& key : list_from(request.json, "keys")) metadata.erase(key);
  repository->set_metadata(std::move(metadata));
  return no_content();
}

HttpResponse get_branch_protection_rules(ApiRequest& request) {
  json::array rules;
  for (const std::string& pattern : request.lake.repository(request.repository_name())->protection())
    rules.push_back(json::object{{"pattern", pattern}});
  const std::string etag = rules.empty() ? "" : md5_hex(to_text(rules));
  HttpResponse answer = json_answer(200, std::move(rules));
  answer.set("ETag", etag);  // Empty, yet there, while there are no rules: so does the real server.
  return answer;
}

HttpResponse set_branch_protection_rules(ApiRequest& request) {
  std::vector<std::string> patterns;
  for (const json::value& rule : request.json_value.as_array())
    if (rule.is_object()) patterns.push_back(text_or(rule.get_object(), "pattern"));
  request.lake.repository(request.repository_name())->set_protection(std::move(patterns));
  return no_content();
}

}  // namespace

void add_repository_calls(std::vector<Route>& routes) {
  const std::string one = "/repositories/{repository}";
  routes.push_back({"GET", "/repositories", "list_repositories", list_repositories});
  routes.push_back({"POST",
                    "/repositories",
                    "create_repository",
                    create_repository,
                    {},
                    "name!r storage_namespace!s default_branch?s read_only?b sample_data?b"});
  routes.push_back({"GET", one, "get_repository", get_repository});
  routes.push_back({"DELETE", one, "delete_repository", delete_repository});
  routes.push_back({"GET", one + "/metadata", "get_repository_metadata", get_repository_metadata});
  routes.push_back(
      {"POST", one + "/metadata", "set_repository_metadata", set_repository_metadata, {}, "metadata!m"});
  routes.push_back(
      {"DELETE", one + "/metadata", "delete_repository_metadata", delete_repository_metadata, {}, "keys!a"});
  routes.push_back({"GET", one + "/settings/branch_protection", "get_branch_protection_rules",
                    get_branch_protection_rules});
  routes.push_back({"PUT",
                    one + "/settings/branch_protection",
                    "set_branch_protection_rules",
                    set_branch_protection_rules,
                    {},
                    "["});
}

}  // namespace lakefuse::test::devserver
