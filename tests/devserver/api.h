// What every call of the API is given and may answer.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/devserver/faults.h"
#include "tests/devserver/http_message.h"
#include "tests/devserver/json.h"
#include "tests/devserver/lake.h"
#include "tests/devserver/listing.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {

struct ApiRequest {
  Lake& lake;
  const RequestHead& head;
  Query query;
  std::map<std::string, std::string> params;  // Of the path: repository, branch, ref, ...
  json::object json;                          // The body, where the call takes JSON.
  json::value json_value;                     // The same, where it need not be an object.
  Body body;
  const Fault* fault =
      nullptr;  // Those faults that are in the meaning of the call: false 412s, expired addresses.
  std::function<void(std::chrono::milliseconds, std::function<void()>)>
      later;  // Runs something after the answer.

  const std::string& repository_name() const { return params.at("repository"); }
  const std::string& branch() const { return params.at("branch"); }
  const std::string& ref() const { return params.at("ref"); }
  std::string path() const { return query.text("path"); }
  bool has_fault(Fault::Kind kind) const { return fault != nullptr && fault->kind == kind; }
};

using Handler = HttpResponse (*)(ApiRequest&);

// What the validator checks before anything else, credentials included; a failure is a 400 without
// X-Request-ID.
struct Route {
  std::string method;
  std::string pattern;  // "/repositories/{repository}/branches/{branch}"
  std::string operation;
  Handler handler;
  std::vector<std::string> required = {};  // Query parameters that must be there and not empty.
  // Fields of the JSON body: name, '!' required or '?' optional, and a type: s string, i integer, b boolean,
  // o object, a array, m map of strings, r repository name; "=a|b" lists what a string may be. "[" alone: the
  // body is an array. Empty: no JSON body.
  std::string body = {};
  bool needs_credentials = true;
};

// Each room adds its calls.
void add_repository_calls(std::vector<Route>& routes);
void add_branch_calls(std::vector<Route>& routes);
void add_commit_calls(std::vector<Route>& routes);
void add_upload_calls(std::vector<Route>& routes);
void add_object_calls(std::vector<Route>& routes);
void add_multipart_calls(std::vector<Route>& routes);
void add_account_calls(std::vector<Route>& routes);

// --- Answers ---
HttpResponse json_answer(int status, const json::value& value);
HttpResponse text_answer(int status, std::string text);
HttpResponse error_answer(int status, const std::string& message);
HttpResponse no_content();
// {"pagination": ..., "results": ...}
HttpResponse page_answer(json::array results, bool has_more, const std::string& last);
HttpResponse changes_answer(const ChangePage& page);

// --- What calls have in common ---
std::size_t amount_of(const ApiRequest& request);  // 100 where it is absent or not positive.
enum class StatsMetadata { kAlways, kEmptied, kIfAny, kNever };
json::object stats_json(const Entry& entry, const std::string& address, StatsMetadata metadata);
// With the entry's full address, or a presigned URL in its place.
json::object stats_of(const ApiRequest& request, const Repository& repository, const Entry& entry,
                      StatsMetadata metadata, bool presign = false);
// Throws where the branch may not be written: bad name, protected, read-only; in the real server's order.
void check_writable(const ApiRequest& request, const Repository& repository);
void check_path(const std::string& path);  // 400 where it is longer than a key may be.
std::string presign_unsupported();         // The message of the block store that cannot.
std::map<std::string, std::string> string_map(const json::object& object, std::string_view name);

// What a Range header asks of `size` bytes.
struct ByteRange {
  enum class Kind { kNone, kPart, kUnsatisfiable, kMalformed } kind = Kind::kNone;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
ByteRange range_of(const std::optional<std::string>& header, std::uint64_t size);

}  // namespace lakefuse::test::devserver
