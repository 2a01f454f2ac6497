#include "client/presigned_put.h"

#include <algorithm>
#include <utility>

#include "client/answer_error.h"
#include "client/encodings.h"
#include "client/wire.h"

namespace lakefuse {
namespace {

// The largest single PUT: S3's 5 GiB and Azure's 5,000 MiB; Google's 5 TiB.
constexpr std::uint64_t kMaxS3 = std::uint64_t{5} << 30;
constexpr std::uint64_t kMaxAzure = std::uint64_t{5'000} << 20;

std::uint64_t largest(const std::string& blockstore_type) {
  if (blockstore_type == "azure") return kMaxAzure;
  return blockstore_type == "gs" ? std::uint64_t{5} << 40 : kMaxS3;
}

bool is_bad_digest(int status, std::string_view message) {
  return status == 400 && message.starts_with("BadDigest");
}

Errc cause_of_put(int status, std::string_view message) {
  switch (status) {
    case 400:
      if (is_bad_digest(status, message)) return Errc::kUntrustworthy;  // Bytes changed on the way.
      if (message.starts_with("EntityTooLarge")) return Errc::kTooLarge;
      // Google and S3 with temporary credentials say so of a URL that is too old.
      return message.find("Expired") != message.npos ? Errc::kExpired : Errc::kInvalid;
    case 401:
    case 403:
    case 409:  // Somebody else is writing to this address.
    case 412:  // There are bytes at this address already, perhaps ours from a lost answer: it takes bytes
               // once.
      return Errc::kExpired;
    case 404:
      return Errc::kUnavailable;  // No such bucket: nothing that this upload could mend.
    default:
      return cause_of(status, message);
  }
}

}  // namespace

Result<Uploaded> PresignedPut::put(const UploadTarget& target, const ByteSource& body) {
  const std::string call = "store_put to " + target.physical_address;
  if (body.size() > largest(scope_.space.blockstore_type()))
    return Error{Errc::kTooLarge,
                 call + ": " + std::to_string(body.size()) + " bytes are more than one upload can hold"};
  auto stored = store(call, target.presigned_url, body, Place::kObject);
  if (!stored) return stored.error();
  return Uploaded{target.physical_address, std::move(stored->md5_hex), body.size()};
}

Result<std::string> PresignedPut::put_part(const UploadTarget& target, int number, const ByteSource& body) {
  const std::string call = "store_put of part " + std::to_string(number) + " to " + target.physical_address;
  auto stored = store(call, target.presigned_url, body, Place::kPart);
  if (!stored) return stored.error();
  if (stored->etag.empty()) return Error{Errc::kUntrustworthy, call + ": the store says no ETag"};
  return std::move(stored->etag);
}

Result<PresignedPut::Stored> PresignedPut::store(const std::string& call, const Secret& url,
                                                 const ByteSource& body, Place place) {
  auto md5 = md5_of(body);
  if (!md5) return md5.error().in(call);
  auto response = send(url, body, to_base64(*md5), place);
  if (response && response->status == 501 && place == Place::kObject && takes_conditions_.exchange(false))
    response = send(url, body, to_base64(*md5), place);  // 501 did nothing: it knows no condition.
  // Nor did this.
  if (response && body.digested() != nullptr &&
      is_bad_digest(response->status, store_message(response->body))) {
    const auto sent = std::exchange(md5, md5_of_all(body));
    if (!md5) return md5.error().in(call);
    if (*md5 != *sent) response = send(url, body, to_base64(*md5), place);
  }
  if (!response) return response.error().in(call);
  if (response->status < 200 || response->status >= 300) {
    const std::string message = store_message(response->body);
    return answer_error(cause_of_put(response->status, message), call, response->status,
                        scope_.calls->told(message));
  }
  if (auto good = check(*response, to_hex(*md5)); !good) return good.error().in(call);
  return Stored{std::string(response->headers.get("ETag")), to_hex(*md5)};
}

Result<HttpResponse> PresignedPut::send(const Secret& url, const ByteSource& body,
                                        const std::string& md5_base64, Place place) {
  auto where = parse_url(url.reveal());
  if (!where) return Error{Errc::kUntrustworthy, "the presigned URL has " + where.error().message};
  if (scope_.calls->steps_down(url))
    return Error{Errc::kUntrustworthy, "the presigned URL is plain http, though the lake is reached by TLS"};
  HttpRequest request;
  request.method = "PUT";
  request.target = where->target;
  request.source = &body;
  request.headers.add("Content-MD5", md5_base64);
  if (scope_.space.blockstore_type() == "azure") request.headers.add("x-ms-blob-type", "BlockBlob");
  if (scope_.space.blockstore_type() == "s3" && place == Place::kObject && takes_conditions_)
    request.headers.add("If-None-Match", "*");
  HttpOutcome outcome =
      call_repeatedly(scope_.calls->http(), scope_.calls->retries(), where->origin, request,
                      HttpSink{.limit = wire::kMaxAnswerBytes}, scope_.calls->deadlines(body.size()),
                      place == Place::kPart ? Repeat::kSafe : Repeat::kOnce);
  return std::move(outcome.response);
}

// The store has compared the bytes with Content-MD5; what it says of them must not contradict that. With keys
// from a key service an ETag looks like an MD5 and is none.
Result<> PresignedPut::check(const HttpResponse& response, const std::string& md5_hex) const {
  const auto wrong = [](const std::string& what) { return Error{Errc::kUntrustworthy, what}; };
  const std::string_view etag = unquoted(response.headers.get("ETag"));
  const std::string_view stated = response.headers.get("Content-MD5");
  if (etag.empty() && stated.empty()) return wrong("the store says neither ETag nor Content-MD5: is it one?");
  if (const auto md5 = md5_from_base64(stated); md5 && to_hex(*md5) != md5_hex)
    return wrong("the store has taken other bytes than were sent (Content-MD5)");
  const std::string_view encryption = response.headers.get("x-amz-server-side-encryption");
  const bool is_md5 = scope_.space.blockstore_type() == "s3" && looks_like_md5(etag) &&
                      !encryption.starts_with("aws:kms") &&
                      !response.headers.has("x-amz-server-side-encryption-customer-algorithm");
  if (is_md5 && !equals_ignoring_case(etag, md5_hex))
    return wrong("the store has taken other bytes than were sent (ETag " + std::string(etag) + ")");
  return {};
}

}  // namespace lakefuse
