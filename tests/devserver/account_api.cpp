// Health, log-in, who am I, and what the server can do.
#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {
namespace {

HttpResponse healthcheck(ApiRequest&) {
  return no_content();
}

HttpResponse login(ApiRequest& request) {
  const Lake::Options& options = request.lake.options();
  if (text_or(request.json, "access_key_id") != options.access_key_id ||
      text_or(request.json, "secret_access_key") != options.secret_access_key)
    return error_answer(401, "error authenticating request");
  constexpr std::chrono::hours kLifetime{7 * 24};
  const std::string token = request.lake.signer().issue_token(kLifetime);
  HttpResponse answer =
      json_answer(200, json::object{{"token", token},
                                    {"token_expiration", request.lake.clock().unix_seconds() +
                                                             std::chrono::seconds(kLifetime).count()}});
  answer.set("Set-Cookie",
             "internal_auth_session=" + token + "; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
  return answer;
}

HttpResponse get_current_user(ApiRequest& request) {
  return json_answer(
      200, json::object{{"user", {{"id", "admin"}, {"creation_date", request.lake.clock().unix_seconds()}}}});
}

HttpResponse get_config(ApiRequest& request) {
  const Lake::Options& options = request.lake.options();
  const std::string type = options.presign ? "s3" : "local";
  const json::object storage{{"blockstore_type", type},
                             {"blockstore_namespace_example", type + "://example-bucket/"},
                             {"blockstore_namespace_ValidityRegex", "^" + type + "://"},
                             {"default_namespace_prefix", options.presign ? "" : "local://"},
                             {"pre_sign_support", options.presign},
                             {"pre_sign_support_ui", false},
                             {"pre_sign_multipart_upload", request.lake.can_multipart()},
                             {"import_support", options.presign},
                             {"import_validity_regex", "^" + type + "://"},
                             {"blockstore_id", ""},
                             {"blockstore_description", ""}};
  return json_answer(
      200, json::object{{"version_config", {{"version", options.version}, {"version_context", "lakeFS"}}},
                        {"storage_config", storage},
                        {"storage_config_list", json::array()},
                        {"ui_config", json::object()},
                        {"capabilities_config", json::object()}});
}

HttpResponse get_garbage_collection_config(ApiRequest&) {
  return json_answer(200, json::object{{"grace_period", 86400}});
}

}  // namespace

void add_account_calls(std::vector<Route>& routes) {
  routes.push_back({"GET", "/healthcheck", "healthcheck", healthcheck, {}, "", false});
  routes.push_back({"POST", "/auth/login", "login", login, {}, "access_key_id!s secret_access_key!s", false});
  routes.push_back({"GET", "/user", "get_current_user", get_current_user});
  routes.push_back({"GET", "/config", "get_config", get_config});
  routes.push_back(
      {"GET", "/config/garbage-collection", "get_garbage_collection_config", get_garbage_collection_config});
}

}  // namespace lakefuse::test::devserver
