#include "client/object_reader.h"

#include <algorithm>
#include <charconv>

#include "client/answer_error.h"
#include "client/encodings.h"

namespace lakefuse {
namespace {

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
};

// "bytes 2-5/26"; a total of "*" is none.
std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  ContentRange range;
  const auto number = [&](std::uint64_t& into, char end) {
    const auto [at, wrong] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (wrong != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(at - text.data()));
    if (end == '\0') return text.empty();
    if (!text.starts_with(end)) return false;
    text.remove_prefix(1);
    return true;
  };
  if (number(range.first, '-') && number(range.last, '/') && number(range.total, '\0')) return range;
  return std::nullopt;
}

std::string_view without_quotes(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"'))
    return etag.substr(1, etag.size() - 2);
  return etag;
}

// An equal record at another address: a commit may put the older of two equal ones back (lakefs-api.md
// section 6). Its bytes are equal only where the checksum is one of bytes.
bool holds_the_same_bytes(const ObjectInfo& a, const ObjectInfo& b) {
  return same_version(a, b) && (a.physical_address == b.physical_address || looks_like_md5(a.checksum));
}

bool is_expired_url(int status) {
  return status == 400 || status == 401 || status == 403;
}

}  // namespace

std::string ObjectReader::Wanted::range() const {
  return "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + out.size() - 1);
}

std::vector<std::string> ObjectReader::views() const {
  // "main@" is the branch without what is staged; a ref with a modifier of its own has no such view.
  if (scope_.ref.find_first_of("@~^$") != std::string::npos) return {scope_.ref};
  return {scope_.ref, scope_.ref + "@"};
}

Error ObjectReader::stale(const ObjectInfo& object, const std::string& why) const {
  return {Errc::kStale, "read of " + scope_.subject(object.path) + ": " + why};
}

Result<std::size_t> ObjectReader::read(const ObjectInfo& object, std::uint64_t offset,
                                       std::span<std::byte> out) {
  if (offset >= object.size_bytes || out.empty()) return std::size_t{0};  // No range can ask for nothing.
  const auto length =
      static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), object.size_bytes - offset));
  const Wanted wanted{object, offset, out.first(length)};
  auto read = scope_.facts.can_presign ? read_from_store(wanted) : read_through_api(wanted);
  if (!read) return read.error();
  return length;
}

// ---- Straight from the store ----

Result<> ObjectReader::read_from_store(const Wanted& wanted) {
  int status = 0;
  if (const auto url = urls_.find(wanted.object)) {
    auto fetched = fetch(wanted, *url, status);
    if (fetched || !is_expired_url(status)) return fetched;
    urls_.drop(wanted.object);
  }
  auto url = fresh_url(wanted.object);
  if (!url) return url.error();
  if (url->empty()) return read_through_api(wanted);
  return fetch(wanted, *url, status);
}

// A URL made now that leads to this version; empty where the server makes none for us.
Result<Secret> ObjectReader::fresh_url(const ObjectInfo& object) {
  for (const std::string& ref : views()) {
    auto found = lookup_.look_for_reading(ref, object.path);
    if (found && holds_the_same_bytes(found->object, object)) return found->url.value_or(Secret());
    if (found) continue;
    // Not there, or a ref that has no such view (a tag): the next one may have it.
    const Errc code = found.error().code;
    if (code != Errc::kNotFound && code != Errc::kInvalid) return found.error();
  }
  // Whoever of ours replaced it looked at it right before, and may have had the URL since we missed it.
  if (auto url = urls_.find(object)) return *std::move(url);
  return stale(object, "another version is there now, and no commit at the head holds this one");
}

Result<> ObjectReader::fetch(const Wanted& wanted, const Secret& url, int& status) {
  const std::string call = "store_get of " + scope_.subject(wanted.object.path);
  auto where = parse_url(url.reveal());
  if (!where) return Error{Errc::kUntrustworthy, call + ": the presigned URL has " + where.error().message};
  HttpRequest request;
  request.target = where->target;
  request.headers.add("Range", wanted.range());
  if (!scope_.space.is_inside(wanted.object.physical_address))
    request.headers.add("If-Match", "\"" + wanted.object.checksum + "\"");

  Attempts attempts(scope_.calls->retries());
  for (;;) {
    const HttpOutcome outcome =
        call_repeatedly(scope_.calls->http(), scope_.calls->retries(), where->origin, request,
                        HttpSink{.into = wanted.out}, scope_.calls->deadlines(0), Repeat::kSafe);
    status = outcome.response ? outcome.response->status : 0;
    if (!outcome.response) return outcome.response.error().in(call);
    auto judged = judge(wanted, *outcome.response);
    // A wrong length may be one answer's fault and not the object's.
    if (judged || status >= 300 || judged.error().code != Errc::kUntrustworthy) return judged;
    auto again = attempts.again();
    if (!again) return again.error().in(call);
    if (!*again) return judged;
  }
}

Result<> ObjectReader::judge(const Wanted& wanted, const HttpResponse& response) const {
  const std::string call = "store_get of " + scope_.subject(wanted.object.path);
  const bool may_change = !scope_.space.is_inside(wanted.object.physical_address);
  const auto no_match = [&](const std::string& what) {
    return Error{may_change ? Errc::kStale : Errc::kUntrustworthy, call + ": " + what};
  };
  switch (response.status) {
    case 206: {
      const auto range = parse_content_range(response.headers.get("Content-Range"));
      if (!range || range->first != wanted.offset)
        return Error{Errc::kUntrustworthy, call + ": the answer holds another range than was asked for"};
      if (range->total != wanted.object.size_bytes)
        return no_match("the store holds " + std::to_string(range->total) + " bytes where the entry says " +
                        std::to_string(wanted.object.size_bytes));
      break;
    }
    case 200:
      if (wanted.out.size() != wanted.object.size_bytes)
        return Error{Errc::kUntrustworthy, call + ": the store takes no notice of Range"};
      break;
    case 404:
      return answer_error(Errc::kDataMissing, call, 404, scope_.calls->told(store_message(response.body)));
    case 412:
      return answer_error(Errc::kStale, call, 412, "the bytes changed in place");
    case 416:
      return no_match("416: the store holds fewer bytes than the entry says");
    default:
      return answer_error(cause_of(response.status, {}), call, response.status,
                          scope_.calls->told(store_message(response.body)));
  }
  if (!response.went_into_sink)
    return Error{Errc::kUntrustworthy, call + ": the answer has not as many bytes as were asked for"};
  return {};
}

// ---- Through the API ----

Result<> ObjectReader::read_through_api(const Wanted& wanted) {
  for (const std::string& ref : views()) {
    auto read = read_at(wanted, ref);
    if (read) return read;
    const Errc code = read.error().code;
    if (code != Errc::kNotFound && code != Errc::kInvalid && code != Errc::kStale) return read;
  }
  return stale(wanted.object, "another version is there now, and no commit at the head holds this one");
}

Result<> ObjectReader::read_at(const Wanted& wanted, const std::string& ref) {
  LakeCall call{.name = "get_object", .subject = scope_.subject(wanted.object.path)};
  call.target = scope_.ref_target(ref) + "/objects?" + query("path", wanted.object.path);
  call.headers.add("Range", wanted.range());
  const auto is_this_version = [&](const HttpHeaders& headers) {
    return without_quotes(headers.get("ETag")) == wanted.object.checksum;
  };
  call.sink.into = wanted.out;
  call.sink.accepts = is_this_version;
  // An object that has become shorter is another version.
  call.cause = [](int status, std::string_view) {
    return status == 416 ? std::optional(Errc::kStale) : std::nullopt;
  };

  Attempts attempts(scope_.calls->retries());
  for (;;) {
    auto response = scope_.calls->call(call);
    if (!response) return response.error();
    if (!is_this_version(response->headers)) return stale(wanted.object, "another version is there now");
    const auto range = parse_content_range(response->headers.get("Content-Range"));
    const bool whole = response->status == 200 && wanted.out.size() == wanted.object.size_bytes;
    if (range && range->total != wanted.object.size_bytes)
      return stale(wanted.object, "another version is there now");
    if (response->went_into_sink &&
        (whole || (response->status == 206 && range && range->first == wanted.offset)))
      return {};
    auto again = attempts.again();
    if (!again) return again.error().in("get_object of " + call.subject);
    if (!*again)
      return Error{Errc::kUntrustworthy,
                   "get_object of " + call.subject + ": the answer holds another range than was asked for"};
  }
}

}  // namespace lakefuse
