#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/credential_holder.h"
#include "client/http_client.h"
#include "client/lake.h"
#include "client/retry.h"
#include "client/url.h"

namespace lakefuse {

// One call of the lakeFS API.
struct LakeCall {
  std::string_view name;     // As the API calls it: "link_physical_address".
  std::string subject = {};  // "data/a.csv on lakefs://repo/main"
  std::string method = "GET";
  std::string target = {};  // Below /api/v1, percent-encoded.
  HttpHeaders headers = {};
  std::string json = {};  // Body, when not empty.
  const ByteSource* source = nullptr;
  HttpSink sink = {};
  Repeat repeat = Repeat::kSafe;
  bool is_slow = false;  // The server works long before it answers: copy, commit.
  // What a status means for this call where that differs from cause_of().
  std::optional<Errc> (*cause)(int status, std::string_view message) = nullptr;
};

// Calls to one lakeFS server: adds the credentials, and only here; renews them once after a 401; repeats what
// may be repeated; turns every answer that is no success into an Error with one sentence. Safe to use from
// many threads.
class LakeCalls {
 public:
  LakeCalls(LakeAccess access, Url endpoint, std::shared_ptr<const TlsTrust> trust);

  // A 2xx answer.
  Result<HttpResponse> call(const LakeCall& call);
  // A 2xx answer in JSON: kUntrustworthy when it says that it is something else.
  Result<HttpResponse> call_for_json(const LakeCall& call);

  // For the calls to the object store, which have their own addresses and no credentials of ours.
  [[nodiscard]] HttpClient& http() { return http_; }
  [[nodiscard]] const RetryPolicy& retries() const { return retries_; }
  // Of a call that sends so many bytes: whoever stores them answers only when it has passed them on.
  [[nodiscard]] HttpDeadlines deadlines(std::uint64_t sent_bytes, bool is_slow = false) const;
  [[nodiscard]] const std::string& endpoint() const { return endpoint_text_; }
  // Another side's words as they may be shown: without any form of our credentials, or of a proxy's.
  [[nodiscard]] std::string told(std::string_view text) const;
  // Whether a presigned URL would send bytes, and itself, in the clear, though the lake is reached by TLS.
  [[nodiscard]] bool steps_down(const Secret& url) const;

 private:
  [[nodiscard]] Result<CredentialHolder::Pass> pass() const;
  HttpOutcome send(const LakeCall& call, const CredentialHolder::Pass& pass);
  Result<HttpResponse> judge(const LakeCall& call, HttpOutcome outcome, const CredentialHolder::Pass& pass);
  Error refused(const LakeCall& call, const HttpResponse& response, const CredentialHolder::Pass& pass);
  bool knows_us(const CredentialHolder::Pass& pass);

  const std::string endpoint_text_;
  const Url endpoint_;
  const HttpDeadlines deadlines_;
  const RetryPolicy retries_;
  CredentialHolder credentials_;
  HttpClient http_;
};

}  // namespace lakefuse
