#include "client/answer_error.h"

#include <algorithm>

#include "client/object_path.h"
#include "client/url.h"

namespace lakefuse {
namespace {

constexpr std::size_t kMaxShown = 300;
constexpr std::size_t kMaxLookedAt = 8 * kMaxShown;

bool ends_a_url(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>';
}

void replace_all(std::string& text, const std::string& what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
    text.replace(at, what.size(), with);
}

// "http://host/path?signature" -> "http://host/path?..."; the same for "?X-Amz-..." without a scheme, and for
// a part of such a query.
void cut_queries(std::string& text) {
  for (const std::string_view beginning : {"?", "&", "X-Amz-", "X-Goog-"}) {
    const std::size_t kept = beginning.size() == 1 ? 1 : 0;
    for (std::size_t at = 0; (at = text.find(beginning, at)) != std::string::npos; ++at) {
      const auto end = std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), ends_a_url);
      const std::string_view query(text.data() + at, static_cast<std::size_t>(end - text.begin()) - at);
      if (query.find('=') == query.npos) continue;  // A question, not a query.
      text.replace(at + kept, query.size() - kept, "...");
    }
  }
}

// The beginning of a secret whose rest was cut off.
void cut_beginning(std::string& text, std::string_view secret) {
  for (std::size_t length = std::min(text.size(), secret.size() - 1); length > 0; --length) {
    if (!text.ends_with(secret.substr(0, length))) continue;
    text.resize(text.size() - length);
    return;
  }
}

std::string element(std::string_view xml, std::string_view name) {
  const std::string open = "<" + std::string(name) + ">";
  const std::size_t start = xml.find(open);
  if (start == xml.npos) return {};
  const std::size_t end = xml.find("</", start);
  return end == xml.npos ? std::string()
                         : std::string(xml.substr(start + open.size(), end - start - open.size()));
}

bool speaks_of(std::string_view message, std::string_view what) {
  return message.find(what) != message.npos;
}

}  // namespace

std::string_view status_in_words(int status) {
  switch (status) {
    case 400:
      return "bad request";
    case 401:
      return "not authorized";
    case 403:
      return "forbidden";
    case 404:
      return "not found";
    case 407:
      return "the proxy wants other credentials";
    case 405:
      return "method not allowed";
    case 408:
      return "the server gave up waiting";
    case 409:
      return "conflict";
    case 410:
      return "gone";
    case 411:
      return "length required";
    case 412:
      return "precondition failed";
    case 413:
      return "too large";
    case 416:
      return "no such range";
    case 420:
    case 423:
    case 429:
      return "too many requests";
    case 500:
      return "server error";
    case 501:
      return "not implemented";
    case 502:
      return "bad gateway";
    case 503:
      return "not available now";
    case 504:
      return "gateway timeout";
    case 507:
      return "the store is full";
    default:
      break;
  }
  if (status >= 300 && status < 400) return "a redirect, which is not followed";
  if (status >= 500) return "server error";
  return status >= 400 ? "refused" : "unexpected";
}

Errc cause_of(int status, std::string_view message) {
  switch (status) {
    case 401:
      return Errc::kUnauthenticated;
    case 403:
      return speaks_of(message, "protected branch") || speaks_of(message, "read-only") ? Errc::kReadOnly
                                                                                       : Errc::kDenied;
    case 404:
      return Errc::kNotFound;
    case 405:
    case 501:
      return Errc::kUnsupported;
    case 409:
    case 412:
      return Errc::kConflict;
    case 410:
      return Errc::kDataMissing;
    case 413:
      return Errc::kTooLarge;
    case 416:
      return Errc::kUntrustworthy;
    case 420:
    case 423:
    case 429:
      return Errc::kTooManyRequests;
    case 407:  // Not the lake's answer.
    case 408:
      return Errc::kUnavailable;
    default:
      break;
  }
  if (status >= 500) return Errc::kUnavailable;
  return status >= 400 ? Errc::kInvalid : Errc::kUntrustworthy;
}

std::string shown(std::string_view text, std::span<const Secret> secrets) {
  std::string out(text.substr(0, kMaxLookedAt));
  for (const Secret& secret : secrets) {
    if (secret.empty()) continue;
    for (const std::string& form : {secret.reveal(), percent_encode(secret.reveal())}) {
      replace_all(out, form, "***");
      if (text.size() > kMaxLookedAt) cut_beginning(out, form);
    }
  }
  cut_queries(out);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) c = ' ';
  }
  const bool cut = out.size() > kMaxShown;
  if (cut) out.resize(kMaxShown);
  // A character cut in half at the end, or bytes that never were UTF-8.
  for (int i = 0; i < 4 && !out.empty() && !is_utf8(out); ++i) out.pop_back();
  if (!is_utf8(out)) {
    for (char& c : out) {
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
  }
  const std::size_t first = out.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  out = out.substr(first, out.find_last_not_of(' ') - first + 1);
  return cut ? out + "..." : out;
}

std::string store_message(std::string_view body) {
  const std::string code = element(body, "Code");
  const std::string message = element(body, "Message");
  return message.empty() ? code : code + ": " + message;
}

Error answer_error(Errc code, std::string_view call, int status, std::string_view message) {
  std::string text(call);
  text += ": " + std::to_string(status) + " " + std::string(status_in_words(status));
  if (!message.empty()) text += ": " + std::string(message);
  return {code, std::move(text)};
}

}  // namespace lakefuse
