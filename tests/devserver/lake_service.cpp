#include "tests/devserver/lake_service.h"

#include "tests/devserver/admin_api.h"
#include "tests/devserver/digest.h"

namespace lakefuse::test::devserver {
namespace {

constexpr std::string_view kApi = "/api/v1";

HttpResponse web_page() {
  HttpResponse answer;
  answer.set("Content-Type", "text/html; charset=utf-8");
  answer.body = "<!doctype html><title>lakefuse-devserver</title><p>The API is at /api/v1.\n";
  return answer;
}

HttpResponse without_body(HttpResponse answer) {
  answer.body.clear();
  std::erase_if(answer.headers, [](const auto& header) { return header.first == "Content-Type"; });
  answer.no_length = true;
  return answer;
}

}  // namespace

std::unique_ptr<Exchange> LakeService::open(RequestHead head) {
  if (head.path.rfind("/_dev/", 0) == 0)
    return std::make_unique<CallExchange>(conditions_, std::move(head),
                                          CallExchange::Description{"dev_call", "", false},
                                          [this](const RequestHead& request, Body body, const Fault*) {
                                            return admin_.answer(request, body.bytes());
                                          });
  if (head.path == "/_health")
    return std::make_unique<CallExchange>(
        conditions_, std::move(head), CallExchange::Description{"health", "", false},
        [](const RequestHead&, Body, const Fault*) { return text_answer(200, "alive! dev"); });
  if (head.path.rfind(std::string(kApi) + "/", 0) != 0)
    return std::make_unique<CallExchange>(conditions_, std::move(head),
                                          CallExchange::Description{"web_page", "", false},
                                          [](const RequestHead&, Body, const Fault*) { return web_page(); });

  Router::Match match = router_.find(head.method, std::string_view(head.path).substr(kApi.size()));
  const Query query(head.query);
  CallExchange::Description description;
  description.operation = match.route == nullptr ? "unknown" : match.route->operation;
  description.path = query.get("path").value_or(query.get("dest_path").value_or(query.text("prefix")));
  // Forms are taken apart in memory.
  const bool is_form = lower(head.header("content-type").value_or("")).rfind("multipart/form-data", 0) == 0;
  description.is_data = description.operation == "upload_object" && !is_form;
  return std::make_unique<CallExchange>(
      conditions_, std::move(head), std::move(description),
      [this, match = std::move(match)](const RequestHead& request, Body body, const Fault* fault) {
        return call(match, request, std::move(body), fault);
      });
}

HttpResponse LakeService::call(const Router::Match& match, const RequestHead& head, Body body,
                               const Fault* fault) {
  if (match.route == nullptr) return error_answer(404, "invalid API endpoint");
  ApiRequest request{lake_, head, Query(head.query), match.params, {}, {}, std::move(body), fault, {}};
  request.later = [this](auto delay, auto work) { later_.run_after(delay, std::move(work)); };
  const bool is_head = head.method == "HEAD";
  if (const auto wrong = validate(*match.route, request)) {
    const HttpResponse answer = error_answer(400, *wrong);
    return is_head ? without_body(answer) : answer;
  }
  HttpResponse answer;
  try {
    if (match.route->needs_credentials && !authenticated(head))
      throw ApiError{401, "error authenticating request"};
    const auto repeated = find_repeated(request);
    answer = repeated ? text_answer(400, *repeated + "\n") : match.route->handler(request);
  } catch (const ApiError& error) {
    answer = error_answer(error.status, error.message);
    if (is_head) answer = without_body(answer);
  } catch (const std::exception& problem) {
    answer = error_answer(500, problem.what());
  }
  answer.set("X-Request-Id", random_uuid());
  return answer;
}

// In the real server's order; the first kind of credentials that is there decides.
bool LakeService::authenticated(const RequestHead& head) const {
  const std::string authorization = head.header("authorization").value_or("");
  if (authorization.rfind("Bearer ", 0) == 0) return lake_.signer().good_token(authorization.substr(7));
  if (authorization.rfind("Basic ", 0) == 0) {
    const Lake::Options& options = lake_.options();
    return same_secret(base64_decode(authorization.substr(6)).value_or(""),
                       options.access_key_id + ":" + options.secret_access_key);
  }
  if (!authorization.empty()) return false;
  std::map<std::string, std::string> cookies;
  const auto [first, last] = head.headers.equal_range("cookie");
  for (auto header = first; header != last; ++header)
    for (const std::string& pair : split(header->second, ';')) {
      const std::string cookie = trim(pair);
      const auto equals = cookie.find('=');
      if (equals != std::string::npos)
        cookies[cookie.substr(0, equals)] = trim(cookie.substr(equals + 1), "\"");
    }
  for (const char* name : {"internal_auth_session", "oidc_auth_session", "saml_auth_session"}) {
    const auto cookie = cookies.find(name);
    if (cookie != cookies.end()) return lake_.signer().good_token(cookie->second);
  }
  return false;
}

}  // namespace lakefuse::test::devserver
