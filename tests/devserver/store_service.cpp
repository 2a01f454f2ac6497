#include "tests/devserver/store_service.h"

#include "tests/devserver/api.h"
#include "tests/devserver/digest.h"

namespace lakefuse::test::devserver {
namespace {

using Kind = Fault::Kind;

HttpResponse xml_error(int status, const std::string& code, const std::string& message) {
  HttpResponse answer;
  answer.status = status;
  answer.set("Content-Type", "application/xml");
  answer.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code + "</Code><Message>" +
                message + "</Message></Error>";
  return answer;
}

std::optional<HttpResponse> refuse(Signer::Verdict verdict) {
  switch (verdict) {
    case Signer::Verdict::kGood:
      return std::nullopt;
    case Signer::Verdict::kMissing:
      return xml_error(403, "AccessDenied", "Access Denied.");
    case Signer::Verdict::kWrong:
      return xml_error(403, "SignatureDoesNotMatch",
                       "The request signature we calculated does not match the signature you provided.");
    case Signer::Verdict::kExpired:
      return xml_error(403, "AccessDenied", "Request has expired");
  }
  return std::nullopt;
}

std::string operation_of(const std::string& method, const Query& query) {
  if (method == "PUT") return query.count("partNumber") != 0 ? "store_put_part" : "store_put";
  if (method == "GET") return "store_get";
  if (method == "HEAD") return "store_head";
  return "store_other";
}

// As `keeps-other-bytes`: the same number of bytes, one of them another one.
Body other_bytes(const Body& body) {
  std::string bytes = body.in_memory() ? body.bytes() : std::string(body.size(), 'x');
  if (bytes.empty()) return Body(std::string("x"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  return Body(std::move(bytes));
}

}  // namespace

std::unique_ptr<Exchange> StoreService::open(RequestHead head) {
  const Query query(head.query);
  std::string path = head.path;
  for (std::size_t at = 0; (at = path.find('+', at)) != std::string::npos; at += 3)
    path.replace(at, 1, "%2B");
  const std::string key = query_unescape(path).value_or(head.path).substr(1);
  const std::string operation = operation_of(head.method, query);
  const bool is_data = head.method == "PUT";
  return std::make_unique<CallExchange>(
      conditions_, std::move(head), CallExchange::Description{operation, key, is_data},
      [this, key, query](const RequestHead& request, Body body, const Fault* fault) {
        const bool expired = fault != nullptr && fault->kind == Kind::kExpired;
        const auto verdict =
            expired ? Signer::Verdict::kExpired : lake_.signer().verify_url(request.method, key, query);
        if (auto refused = refuse(verdict)) return *refused;
        if (request.method == "PUT") return put(request, key, query, std::move(body), fault);
        if (request.method == "GET" || request.method == "HEAD") return get(request, key, query);
        return xml_error(405, "MethodNotAllowed",
                         "The specified method is not allowed against this resource.");
      });
}

HttpResponse StoreService::put(const RequestHead& head, const std::string& key, const Query& query, Body body,
                               const Fault* fault) {
  if (head.chunked || !head.content_length)
    return xml_error(501, "NotImplemented",
                     "A header you provided implies functionality that is not implemented.");
  if (const auto claimed = head.header("content-md5")) {
    const auto raw = base64_decode(*claimed);
    if (!raw || raw->size() != 16)
      return xml_error(400, "InvalidDigest", "The Content-Md5 you specified is not valid.");
    if (*raw != body.md5())
      return xml_error(400, "BadDigest", "The Content-Md5 you specified did not match what we received.");
  }
  const std::string sent_etag = hex(body.md5());
  const Kind kind = fault == nullptr ? Kind::kStall : fault->kind;
  HttpResponse answer;
  std::string etag;
  if (const auto part = query.get("partNumber")) {
    const auto number = parse_integer(*part).value_or(0);
    const auto kept =
        lake_.store().put_part(query.text("uploadId"), key, static_cast<int>(number), std::move(body));
    if (!kept) return xml_error(404, "NoSuchUpload", "The specified multipart upload does not exist.");
    etag = *kept;
  } else if (kind == Kind::kKeepsNothing) {
    etag = sent_etag;
  } else {
    if (kind == Kind::kKeepsOtherBytes || kind == Kind::kKeepsOtherBytesSecret) body = other_bytes(body);
    const bool if_absent = head.header("if-none-match") == "*";
    const auto kept =
        lake_.store().put(key, std::move(body), head.header("content-type").value_or(""), if_absent);
    if (!kept)
      return xml_error(412, "PreconditionFailed",
                       "At least one of the pre-conditions you specified did not hold");
    etag = kind == Kind::kKeepsOtherBytesSecret ? sent_etag : kept->etag;
  }
  answer.set("ETag", "\"" + etag + "\"");
  answer.set("Accept-Ranges", "bytes");
  return answer;
}

HttpResponse StoreService::get(const RequestHead& head, const std::string& key, const Query& query) {
  const auto stored = lake_.store().open(key);
  if (!stored) return xml_error(404, "NoSuchKey", "The specified key does not exist.");
  const StoredObject& object = stored->object;
  const std::string etag = "\"" + object.etag + "\"";
  const auto same = [&](const std::string& wanted) {
    return wanted == etag || wanted == object.etag || wanted == "*";
  };
  if (const auto wanted = head.header("if-match"); wanted && !same(*wanted))
    return xml_error(412, "PreconditionFailed",
                     "At least one of the pre-conditions you specified did not hold");
  HttpResponse answer;
  answer.set("ETag", etag);
  answer.set("Last-Modified", http_date(object.modified));
  answer.set("Accept-Ranges", "bytes");
  if (const auto known = head.header("if-none-match"); known && same(*known)) {
    answer.status = 304;
    return answer;
  }
  answer.set("Content-Type", object.content_type.empty() ? "application/octet-stream" : object.content_type);
  if (const auto disposition = query.get("response-content-disposition"))
    answer.set("Content-Disposition", *disposition);
  const ByteRange range = range_of(head.header("range"), object.size);
  if (range.kind == ByteRange::Kind::kUnsatisfiable) {
    HttpResponse refused = xml_error(416, "InvalidRange", "The requested range is not satisfiable");
    refused.set("Content-Range", "bytes */" + std::to_string(object.size));
    return refused;
  }
  const bool part = range.kind == ByteRange::Kind::kPart;  // A range that S3 does not understand is ignored.
  answer.file = FileSlice{stored->descriptor, part ? range.offset : 0, part ? range.length : object.size};
  if (part) {
    answer.status = 206;
    answer.set("Content-Range", "bytes " + std::to_string(range.offset) + "-" +
                                    std::to_string(range.offset + range.length - 1) + "/" +
                                    std::to_string(object.size));
  }
  return answer;
}

}  // namespace lakefuse::test::devserver
