#include "client/lake_calls.h"

#include <algorithm>

#include "client/answer_error.h"
#include "client/wire.h"

namespace lakefuse {
namespace {

// A copy inside the store or a commit of a large branch takes minutes, and not a byte moves meanwhile.
constexpr int kSlowFactor = 20;
// The pace at which we expect whoever takes a body to pass it on (a proxy in front of lakeFS, lakeFS to its
// store).
constexpr std::uint64_t kPassedOnPerSecond = std::uint64_t{10} << 20;

HttpDeadlines deadlines_of(const LakeAccess& access) {
  return {access.connect_timeout, access.idle_timeout, access.idle_timeout};
}

RetryPolicy retries_of(const LakeAccess& access) {
  RetryPolicy policy = access.retries;
  policy.budget = std::min(policy.budget, access.idle_timeout);
  return policy;
}

std::string heading(const LakeCall& call) {
  std::string text = std::string(call.name) + " of " + call.subject;
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F)
      c = '?';  // A path may hold any character; a log line not.
  }
  return text;
}

bool says(const wire::ErrorAnswer& answer, std::string_view what) {
  return answer.message.find(what) != std::string::npos;
}

// 401 says both "who are you" and, in other words, "you may not".
bool is_denial(const wire::ErrorAnswer& answer) {
  return says(answer, "insufficient permissions");
}
bool is_unknown(const wire::ErrorAnswer& answer) {
  return says(answer, "error authenticating request");
}

bool is_json(const HttpResponse& response) {
  return response.headers.get("Content-Type").starts_with("application/json");
}

}  // namespace

LakeCalls::LakeCalls(LakeAccess access, Url endpoint, std::shared_ptr<const TlsTrust> trust)
    : endpoint_text_(access.endpoint),
      endpoint_(std::move(endpoint)),
      deadlines_(deadlines_of(access)),
      retries_(retries_of(access)),
      credentials_(std::move(access.credentials), std::move(access.renew_credentials)),
      http_(std::move(trust), std::move(access.proxies)) {}

HttpDeadlines LakeCalls::deadlines(std::uint64_t sent_bytes, bool is_slow) const {
  HttpDeadlines deadlines = deadlines_;
  if (is_slow) deadlines.answer *= kSlowFactor;
  deadlines.answer += std::chrono::seconds(sent_bytes / kPassedOnPerSecond);
  return deadlines;
}

Result<CredentialHolder::Pass> LakeCalls::pass() const {
  auto pass = credentials_.current();
  if (pass)
    pass->secrets.insert(pass->secrets.end(), http_.proxy_secrets().begin(), http_.proxy_secrets().end());
  return pass;
}

std::string LakeCalls::told(std::string_view text) const {
  const auto held = pass();
  return held ? shown(text, held->secrets) : std::string();
}

bool LakeCalls::steps_down(const Secret& url) const {
  const auto where = parse_url(url.reveal());
  return endpoint_.origin.tls && where && !where->origin.tls;
}

HttpOutcome LakeCalls::send(const LakeCall& call, const CredentialHolder::Pass& pass) {
  HttpRequest request;
  request.method = call.method;
  request.target = endpoint_.target + call.target;
  request.headers = call.headers;
  for (const auto& [name, value] : pass.headers.all()) request.headers.add(name, value);
  if (!call.json.empty()) request.headers.add("Content-Type", "application/json");
  request.body = call.json;
  request.source = call.source;
  return call_repeatedly(http_, retries_, endpoint_.origin, request, call.sink,
                         deadlines(request.body_bytes(), call.is_slow), call.repeat);
}

Result<HttpResponse> LakeCalls::call(const LakeCall& call) {
  auto pass = this->pass();
  if (!pass) return pass.error().in(heading(call));
  HttpOutcome outcome = send(call, *pass);
  // Authentication comes before all work, so that this repeat is safe for any call. A denial can come after
  // some.
  if (outcome.response && outcome.response->status == 401 &&
      !is_denial(wire::parse_error(outcome.response->body)) && credentials_.renew(pass->generation)) {
    pass = this->pass();
    if (!pass) return pass.error().in(heading(call));
    outcome = send(call, *pass);
  }
  return judge(call, std::move(outcome), *pass);
}

Result<HttpResponse> LakeCalls::judge(const LakeCall& call, HttpOutcome outcome,
                                      const CredentialHolder::Pass& pass) {
  if (!outcome.response) {
    const Error& error = outcome.response.error();
    return Error{error.code, heading(call) + ": " + shown(error.message, pass.secrets)};
  }
  const int status = outcome.response->status;
  if (status >= 200 && status < 300) return std::move(outcome.response);
  return refused(call, *outcome.response, pass);
}

Error LakeCalls::refused(const LakeCall& call, const HttpResponse& response,
                         const CredentialHolder::Pass& pass) {
  const int status = response.status;
  const wire::ErrorAnswer answer = wire::parse_error(response.body);
  Errc code = cause_of(status, answer.message);
  // "Not found" decides what may be created or removed: only lakeFS itself is believed, not a proxy's page.
  if (status == 404 && (!answer.is_json || answer.message == "invalid API endpoint"))
    code = Errc::kUntrustworthy;
  if (status == 401) {
    const bool denied = is_denial(answer) || (!is_unknown(answer) && knows_us(pass));
    code = denied ? Errc::kDenied : Errc::kUnauthenticated;
  } else if (call.cause && code != Errc::kUntrustworthy) {
    code = call.cause(status, answer.message).value_or(code);
  }
  return answer_error(code, heading(call), status, shown(answer.message, pass.secrets));
}

// A harmless call that needs no permission: tells "who are you" from "you may not", which are both 401.
bool LakeCalls::knows_us(const CredentialHolder::Pass& pass) {
  const LakeCall user{.name = "get_current_user", .subject = "us", .target = "/user"};
  const HttpOutcome outcome = send(user, pass);
  return outcome.response && outcome.response->status == 200;
}

Result<HttpResponse> LakeCalls::call_for_json(const LakeCall& call) {
  auto response = this->call(call);
  if (!response || is_json(*response)) return response;
  const std::string type = told(response->headers.get("Content-Type"));
  return Error{Errc::kUntrustworthy, heading(call) + ": the answer is " +
                                         (type.empty() ? "of no type" : type) + " and not JSON; is " +
                                         endpoint_text_ + " a lakeFS API?"};
}

}  // namespace lakefuse
