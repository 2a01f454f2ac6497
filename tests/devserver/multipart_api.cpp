// Presigned multipart uploads, as the real server offers them over an S3 store.
#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {
namespace {

constexpr std::int64_t kMostParts = 10000;

void check_supported(const ApiRequest& request) {
  if (!request.lake.can_multipart()) throw ApiError{501, "presign multipart upload API is not supported"};
}

std::string part_url(const ApiRequest& request, const std::string& key, const std::string& upload,
                     std::int64_t number) {
  return request.lake.signer()
      .presign("PUT", key, request.lake.options().presign_expiry,
               {{"partNumber", std::to_string(number)}, {"uploadId", upload}, {"x-id", "UploadPart"}})
      .url;
}

// The address of the body, believed only for this repository, branch and path. Sets the entry's address.
std::string checked_address(const ApiRequest& request, const Repository& repository, Entry& entry) {
  const std::string address = text_or(request.json, "physical_address");
  request.lake.set_address(repository, address, entry);
  if (!entry.relative) throw ApiError{400, "physical address must be relative to the storage namespace"};
  request.lake.signer().verify(request.repository_name(), request.branch(), request.path(), address);
  return address;
}

HttpResponse create_presign_multipart_upload(ApiRequest& request) {
  check_supported(request);
  const auto repository = request.lake.repository(request.repository_name());
  if (!repository->find_branch(request.branch()))
    throw ApiError{404, "branch '" + request.branch() + "' not found"};
  check_path(request.path());
  const std::int64_t parts = parse_integer(request.query.text("parts")).value_or(0);
  if (parts < 0 || parts > kMostParts) throw ApiError{400, "parameter parts is out of range"};
  std::string address = request.lake.full_address(*repository, request.lake.signer().new_address());
  address +=
      "," + request.lake.signer().sign(request.repository_name(), request.branch(), request.path(), address);
  const std::string key = *request.lake.store_key(address);
  const std::string upload = request.lake.store().create_upload(key);
  json::object answer{{"upload_id", upload}, {"physical_address", address}};
  json::array urls;
  for (std::int64_t number = 1; number <= parts; ++number)
    urls.emplace_back(part_url(request, key, upload, number));
  if (!urls.empty()) answer["presigned_urls"] = std::move(urls);
  return json_answer(201, answer);
}

std::int64_t part_number(const ApiRequest& request) {
  const auto number = parse_integer(request.params.at("part"));
  if (!number || *number < 1 || *number > kMostParts)
    throw ApiError{400, "parameter partNumber is out of range"};
  return *number;
}

HttpResponse upload_part(ApiRequest& request) {
  check_supported(request);
  const auto repository = request.lake.repository(request.repository_name());
  Entry entry;
  const std::string key = *request.lake.store_key(checked_address(request, *repository, entry));
  return json_answer(200, json::object{{"presigned_url", part_url(request, key, request.params.at("upload"),
                                                                  part_number(request))}});
}

HttpResponse upload_part_copy(ApiRequest& request) {
  check_supported(request);
  const auto repository = request.lake.repository(request.repository_name());
  Entry entry;
  const std::string key = *request.lake.store_key(checked_address(request, *repository, entry));
  const json::object& source = request.json.at("copy_source").as_object();
  const auto from = request.lake.repository(text_or(source, "repository"));
  const EntryPtr copied = from->find(from->view(text_or(source, "ref")), text_or(source, "path"));
  if (copied == nullptr) throw ApiError{404, "not found"};
  const auto held =
      request.lake.store().open(*request.lake.store_key(request.lake.full_address(*from, *copied)));
  if (!held) throw ApiError{500, "upload part copy: NoSuchKey"};
  const std::string range = text_or(source, "range");
  const ByteRange piece = range_of(range.empty() ? std::nullopt : std::optional(range), held->object.size);
  if (piece.kind == ByteRange::Kind::kMalformed || piece.kind == ByteRange::Kind::kUnsatisfiable)
    throw ApiError{400, "upload part copy: InvalidRange"};
  const bool whole = piece.kind == ByteRange::Kind::kNone;
  const auto etag = request.lake.store().put_part(
      request.params.at("upload"), key, static_cast<int>(part_number(request)),
      Body(whole ? held->read(0, held->object.size) : held->read(piece.offset, piece.length)));
  if (!etag) throw ApiError{500, "upload part copy: NoSuchUpload"};
  HttpResponse answer = no_content();
  answer.set("ETag", "\"" + *etag + "\"");
  return answer;
}

HttpResponse complete_presign_multipart_upload(ApiRequest& request) {
  check_supported(request);
  const auto repository = request.lake.repository(request.repository_name());
  auto entry = std::make_shared<Entry>();
  entry->path = request.path();
  const std::string key = *request.lake.store_key(checked_address(request, *repository, *entry));
  std::vector<std::pair<int, std::string>> parts;
  for (const json::value& part : request.json.at("parts").as_array())
    if (part.is_object())
      parts.emplace_back(static_cast<int>(number_or(part.get_object(), "part_number")),
                         text_or(part.get_object(), "etag"));
  entry->content_type = text_or(request.json, "content_type");
  if (entry->content_type.empty()) entry->content_type = "application/octet-stream";
  const auto stored =
      request.lake.store().complete_upload(request.params.at("upload"), key, parts, entry->content_type);
  if (!stored)
    throw ApiError{500,
                   "complete multipart upload: NoSuchUpload: The specified multipart upload does not exist."};
  // The upload is used up from here on, whatever the branch says.
  check_path(entry->path);
  check_writable(request, *repository);
  entry->size = stored->size;
  entry->checksum = stored->etag;
  entry->mtime = stored->modified;
  entry->metadata = string_map(request.json, "user_metadata");
  request.lake.writer(*repository).set(request.branch(), entry, false);
  return json_answer(200,
                     stats_json(*entry, entry->address, StatsMetadata::kAlways));  // Relative, here only.
}

HttpResponse abort_presign_multipart_upload(ApiRequest& request) {
  check_supported(request);
  const auto repository = request.lake.repository(request.repository_name());
  Entry entry;
  const std::string key = *request.lake.store_key(checked_address(request, *repository, entry));
  request.lake.store().abort_upload(request.params.at("upload"), key);  // Twice is as good as once.
  return no_content();
}

}  // namespace

void add_multipart_calls(std::vector<Route>& routes) {
  const std::string all = "/repositories/{repository}/branches/{branch}/staging/pmpu";
  const std::string one = all + "/{upload}";
  routes.push_back(
      {"POST", all, "create_presign_multipart_upload", create_presign_multipart_upload, {"path"}});
  routes.push_back({"PUT",
                    one,
                    "complete_presign_multipart_upload",
                    complete_presign_multipart_upload,
                    {"path"},
                    "physical_address!s parts!a user_metadata?m content_type?s"});
  routes.push_back({"DELETE",
                    one,
                    "abort_presign_multipart_upload",
                    abort_presign_multipart_upload,
                    {"path"},
                    "physical_address!s"});
  routes.push_back(
      {"PUT", one + "/parts/{part}", "upload_part", upload_part, {"path"}, "physical_address!s"});
  routes.push_back({"PUT",
                    one + "/parts/{part}/copy",
                    "upload_part_copy",
                    upload_part_copy,
                    {"path"},
                    "physical_address!s copy_source!o"});
}

}  // namespace lakefuse::test::devserver
