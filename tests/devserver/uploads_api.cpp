// How bytes get onto a branch: get_physical_address and link_physical_address, upload_object, stage_object.
#include <regex>

#include "tests/devserver/api.h"
#include "tests/devserver/digest.h"

namespace lakefuse::test::devserver {
namespace {

using Kind = Fault::Kind;

// --- Addresses ---

// A StagingLocation, as get_physical_address answers it and the 409 of old servers carries it.
json::object staging_location(const ApiRequest& request, const Repository& repository, bool presign) {
  const bool expired = request.has_fault(Kind::kExpired);
  const std::string path = request.path();
  std::string address = request.lake.full_address(
      repository,
      request.lake.signer().new_address(expired ? std::chrono::hours(25) : std::chrono::hours(0)));
  address += "," + request.lake.signer().sign(request.repository_name(), request.branch(), path, address);
  json::object location{{"physical_address", address}, {"presigned_url", nullptr}};
  if (presign) {
    const auto lifetime = expired ? std::chrono::seconds(-1) : request.lake.options().presign_expiry;
    const auto url = request.lake.signer().presign("PUT", *request.lake.store_key(address), lifetime,
                                                   {{"x-id", "PutObject"}});
    location["presigned_url"] = url.url;
    location["presigned_url_expiry"] = url.expiry;
  }
  return location;
}

// Looks at no branch and reserves nothing: all that fails at the link only.
HttpResponse get_physical_address(ApiRequest& request) {
  if (!valid_repository_name(request.repository_name()))
    throw ApiError{500, "argument repository: validation error: invalid value"};  // 500 here, 400 elsewhere.
  const auto repository = request.lake.repository(request.repository_name());
  const bool presign = request.query.flag("presign", false);
  if (presign && !request.lake.options().presign) throw ApiError{500, presign_unsupported()};
  return json_answer(200, staging_location(request, *repository, presign));
}

// --- Link ---

bool wants_absent(const ApiRequest& request) {
  const auto none_match = request.head.header("if-none-match");
  if (request.head.header("if-match") || (none_match && *none_match != "*"))
    throw ApiError{501, "Not Implemented"};
  return none_match.has_value();
}

// The false 412 on demand. Both forms write our value; in the second it sits in a sealed token that goes
// away.
[[noreturn]] void false_412(ApiRequest& request, const std::shared_ptr<Repository>& repository,
                            EntryPtr entry) {
  BranchWriter writer = request.lake.writer(*repository);
  if (request.has_fault(Kind::kFalse412Kept)) {
    writer.set(request.branch(), std::move(entry), true);
  } else {
    if (repository->find(repository->view(request.branch()), entry->path) == nullptr) {
      const std::string token = writer.seal_with(request.branch(), std::move(entry));
      request.later(request.fault->delay, [&lake = request.lake, repository, branch = request.branch(),
                                           token] { lake.writer(*repository).drop_sealed(branch, token); });
    }
  }
  throw ApiError{412, "Precondition failed"};
}

HttpResponse link_physical_address(ApiRequest& request) {
  if (!valid_repository_name(request.repository_name()))
    throw ApiError{500, "argument repository: validation error: invalid value"};
  const auto repository = request.lake.repository(request.repository_name());
  const std::string address = text_or(request.json.at("staging").as_object(), "physical_address");
  auto entry = std::make_shared<Entry>();
  entry->path = request.path();
  request.lake.set_address(*repository, address, *entry);
  if (entry->relative)
    request.lake.signer().verify(request.repository_name(), request.branch(), entry->path, address);
  if (request.has_fault(Kind::kExpired)) throw ApiError{400, "link address expired"};
  entry->checksum = trim(text_or(request.json, "checksum"), "\" ");
  if (entry->checksum.empty()) throw ApiError{400, "checksum is required"};
  const bool if_absent = wants_absent(request);
  check_path(entry->path);
  check_writable(request, *repository);
  if (request.has_fault(Kind::kConflict409))
    return json_answer(409, staging_location(request, *repository, request.lake.options().presign));
  entry->size = static_cast<std::uint64_t>(number_or(request.json, "size_bytes"));
  entry->mtime = number_or(request.json, "mtime", request.lake.clock().unix_seconds());
  entry->content_type = text_or(request.json, "content_type");
  if (entry->content_type.empty()) entry->content_type = "application/octet-stream";
  entry->metadata = string_map(request.json, "user_metadata");
  const bool false_fault =
      request.has_fault(Kind::kFalse412Kept) || request.has_fault(Kind::kFalse412Dropped);
  if (false_fault && if_absent) false_412(request, repository, entry);
  request.lake.writer(*repository).set(request.branch(), entry, if_absent);
  return json_answer(200, stats_json(*entry, address, StatsMetadata::kAlways));
}

// --- Upload ---

struct Upload {
  Body content;
  std::string content_type;
};

// The one part named "content" of a form.
Upload content_of_form(ApiRequest& request, const std::string& type) {
  const auto mark = type.find("boundary=");
  if (mark == std::string::npos) throw ApiError{500, "no multipart boundary param in Content-Type"};
  const std::string boundary = "--" + trim(type.substr(mark + 9), "\" ");
  const std::string& all = request.body.bytes();
  const auto head = all.find(boundary + "\r\n");
  const auto blank = all.find("\r\n\r\n", head);
  const auto end = all.find("\r\n" + boundary, blank);
  if (head == std::string::npos || blank == std::string::npos || end == std::string::npos)
    throw ApiError{500, "multipart: NextPart: EOF"};
  const std::string fields = all.substr(head, blank - head);
  if (fields.find("name=\"content\"") == std::string::npos) throw ApiError{500, "http: no such file"};
  static const std::regex kType("content-type:[ ]*([^\r\n]+)", std::regex::icase);
  std::smatch found;
  const std::string part_type =
      std::regex_search(fields, found, kType) ? found[1].str() : "application/octet-stream";
  return {Body(all.substr(blank + 4, end - blank - 4)), part_type};
}

std::map<std::string, std::string> metadata_of_headers(const RequestHead& head) {
  static const std::string kMeta = "x-lakefs-meta-";
  static const std::string kInternal = "x-lakefs-internal-";
  std::map<std::string, std::string> metadata;
  for (const auto& [name, value] : head.headers) {
    if (name.rfind(kMeta, 0) == 0) metadata.emplace(name.substr(kMeta.size()), value);
    if (name.rfind(kInternal, 0) == 0) metadata.emplace("::lakefs::" + name.substr(kInternal.size()), value);
  }
  return metadata;
}

HttpResponse upload_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  if (!valid_branch_name(request.branch()))
    throw ApiError{400, "argument branch: validation error: invalid value"};
  if (!repository->find_branch(request.branch()))
    throw ApiError{404, "branch '" + request.branch() + "' not found"};
  const std::string path = request.path();
  const bool if_absent = wants_absent(request);
  if (if_absent && repository->find(repository->view(request.branch()), path) != nullptr)
    throw ApiError{412, "path already exists"};
  const std::string type = request.head.header("content-type").value_or("application/octet-stream");
  const bool is_form = lower(type).rfind("multipart/form-data", 0) == 0;
  Upload upload = is_form ? content_of_form(request, type) : Upload{std::move(request.body), type};

  auto entry = std::make_shared<Entry>();
  entry->path = path;
  entry->address = request.lake.signer().new_address();
  entry->size = upload.content.size();
  entry->content_type = upload.content_type;
  entry->mtime = request.lake.clock().unix_seconds();
  entry->metadata = metadata_of_headers(request.head);
  const std::string key = *request.lake.store_key(request.lake.full_address(*repository, *entry));
  entry->checksum = request.lake.store().put(key, std::move(upload.content), entry->content_type)->etag;
  check_path(path);  // All these after the bytes are stored, as the real server does.
  check_writable(request, *repository);
  const bool false_fault =
      request.has_fault(Kind::kFalse412Kept) || request.has_fault(Kind::kFalse412Dropped);
  try {
    if (false_fault && if_absent) false_412(request, repository, entry);
    request.lake.writer(*repository).set(request.branch(), entry, if_absent);
  } catch (const ApiError& error) {
    if (error.status == 412) throw ApiError{412, "path already exists"};
    throw;
  }
  return json_answer(201, stats_of(request, *repository, *entry, StatsMetadata::kAlways));
}

// No signature and no condition: an existing object's address under a new path is a rename for free.
HttpResponse stage_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const std::string address = text_or(request.json, "physical_address");
  const std::string scheme = request.lake.options().presign ? "s3://" : "local://";
  if (address.rfind(scheme, 0) != 0)
    throw ApiError{400, "physical address is not valid for block adapter: " + scheme};
  check_path(request.path());
  check_writable(request, *repository);
  auto entry = std::make_shared<Entry>();
  entry->path = request.path();
  request.lake.set_address(*repository, address, *entry);
  entry->checksum = text_or(request.json, "checksum");
  entry->size = static_cast<std::uint64_t>(number_or(request.json, "size_bytes"));
  entry->mtime = number_or(request.json, "mtime", request.lake.clock().unix_seconds());
  entry->content_type = text_or(request.json, "content_type");
  if (entry->content_type.empty()) entry->content_type = "application/octet-stream";
  entry->metadata = string_map(request.json, "metadata");
  request.lake.writer(*repository).set(request.branch(), entry, false);
  return json_answer(201, stats_of(request, *repository, *entry, StatsMetadata::kNever));
}

HttpResponse stage_allowed(ApiRequest&) {
  return no_content();
}

}  // namespace

void add_upload_calls(std::vector<Route>& routes) {
  const std::string branch = "/repositories/{repository}/branches/{branch}";
  routes.push_back(
      {"GET", branch + "/staging/backing", "get_physical_address", get_physical_address, {"path"}});
  routes.push_back({"PUT",
                    branch + "/staging/backing",
                    "link_physical_address",
                    link_physical_address,
                    {"path"},
                    "staging!o checksum!s size_bytes!i user_metadata?m content_type?s mtime?i force?b"});
  routes.push_back({"POST", branch + "/objects", "upload_object", upload_object, {"path"}});
  routes.push_back({"PUT",
                    branch + "/objects",
                    "stage_object",
                    stage_object,
                    {"path"},
                    "physical_address!s checksum!s size_bytes!i mtime?i metadata?m content_type?s force?b"});
  routes.push_back({"GET", branch + "/objects/stage_allowed", "stage_allowed", stage_allowed, {"path"}});
}

}  // namespace lakefuse::test::devserver
