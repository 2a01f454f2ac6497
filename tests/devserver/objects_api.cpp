// Objects that are there: stat, list, read, delete, copy, change metadata.
#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {
namespace {

constexpr std::size_t kLargestBatch = 1000;  // Paths in one delete_objects.

EntryPtr find_entry(const ApiRequest& request, const Repository& repository) {
  check_path(request.path());
  EntryPtr entry = repository.find(repository.view(request.ref()), request.path());
  if (entry == nullptr) throw ApiError{404, "not found"};
  return entry;
}

bool wants_presign(const ApiRequest& request) {
  const bool presign = request.query.flag("presign", false);
  if (presign && !request.lake.options().presign) throw ApiError{400, presign_unsupported()};
  return presign;
}

HttpResponse stat_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const EntryPtr entry = find_entry(request, *repository);
  const bool metadata = request.query.flag("user_metadata", true);
  return json_answer(
      200, stats_of(request, *repository, *entry, metadata ? StatsMetadata::kAlways : StatsMetadata::kEmptied,
                    wants_presign(request)));
}

HttpResponse list_objects(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const View view = repository->view(request.ref());
  const bool presign = wants_presign(request);
  const auto metadata =
      request.query.flag("user_metadata", true) ? StatsMetadata::kIfAny : StatsMetadata::kNever;
  const Page page = list(*repository, view, request.query.text("prefix"), request.query.text("delimiter"),
                         request.query.text("after"), amount_of(request));
  json::array results;
  for (const Listed& item : page.items) {
    if (item.entry != nullptr) {
      results.emplace_back(stats_of(request, *repository, *item.entry, metadata, presign));
      continue;
    }
    results.push_back(json::object{{"path", item.path},
                                   {"path_type", "common_prefix"},
                                   {"physical_address", ""},
                                   {"checksum", ""},
                                   {"mtime", 0}});
  }
  return page_answer(std::move(results), page.has_more, page.items.empty() ? "" : page.items.back().path);
}

// --- Reading ---

void describe(HttpResponse& answer, const Entry& entry) {
  answer.set("ETag", "\"" + entry.checksum + "\"");
  answer.set("Last-Modified", http_date(entry.mtime));
  answer.set("Cache-Control", "no-store, must-revalidate");
}

HttpResponse unsatisfiable(const Entry& entry, const ByteRange& range) {
  HttpResponse answer = error_answer(416, "Requested Range Not Satisfiable");
  if (range.kind == ByteRange::Kind::kUnsatisfiable)
    answer.set("Content-Range", "bytes */" + std::to_string(entry.size));
  return answer;
}

std::string content_range(const ByteRange& range, std::uint64_t size) {
  return "bytes " + std::to_string(range.offset) + "-" + std::to_string(range.offset + range.length - 1) +
         "/" + std::to_string(size);
}

// Only the record is looked at: 200 does not prove that there is data.
HttpResponse head_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const EntryPtr entry = find_entry(request, *repository);
  const ByteRange range = range_of(request.head.header("range"), entry->size);
  HttpResponse answer;
  if (range.kind == ByteRange::Kind::kNone) {
    answer.declared_length = entry->size;
  } else if (range.kind == ByteRange::Kind::kPart) {
    answer.status = 206;
    answer.set("Content-Range", content_range(range, entry->size));
    answer.declared_length = range.length;
  } else {
    answer = unsatisfiable(*entry, range);
    answer.body.clear();
  }
  answer.set("Accept-Ranges", "bytes");
  if (answer.status != 416) answer.set("Content-Type", entry->content_type);
  describe(answer, *entry);
  return answer;
}

// Sends `range` of what is stored, under the length that the record claims. Where the two differ the
// connection is cut, as a Go server does which was promised another number of bytes.
HttpResponse send_data(const OpenObject& stored, const Entry& entry, const ByteRange& range) {
  HttpResponse answer;
  const bool whole = range.kind == ByteRange::Kind::kNone;
  const std::uint64_t offset = whole ? 0 : range.offset;
  const std::uint64_t promised = whole ? entry.size : range.length;
  const std::uint64_t available = stored.object.size > offset ? stored.object.size - offset : 0;
  const std::uint64_t sent = whole ? available : std::min(promised, available);
  answer.set("Content-Type", entry.content_type);
  if (!whole) {
    answer.status = 206;
    answer.set("Content-Range", content_range(range, entry.size));
  }
  answer.declared_length = promised;
  answer.file = FileSlice{stored.descriptor, offset, std::min(sent, promised)};
  if (sent > promised) answer.wire.cut_after = 0;
  if (sent < promised) answer.wire.cut_after = sent;
  return answer;
}

HttpResponse get_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  const EntryPtr entry = find_entry(request, *repository);
  if (request.head.header("if-none-match") == "\"" + entry->checksum + "\"") {
    HttpResponse unchanged;
    unchanged.status = 304;
    return unchanged;
  }
  if (wants_presign(request)) {
    HttpResponse elsewhere;
    elsewhere.status = 302;
    elsewhere.set("Location", std::string(stats_of(request, *repository, *entry, StatsMetadata::kNever, true)
                                              .at("physical_address")
                                              .as_string()));
    return elsewhere;
  }
  const ByteRange range = range_of(request.head.header("range"), entry->size);
  HttpResponse answer;
  if (range.kind == ByteRange::Kind::kMalformed || range.kind == ByteRange::Kind::kUnsatisfiable) {
    answer = unsatisfiable(*entry, range);
  } else {
    const auto key = request.lake.store_key(request.lake.full_address(*repository, *entry));
    const auto stored = request.lake.store().open(*key);
    answer = stored ? send_data(*stored, *entry, range) : error_answer(410, "No data");
  }
  describe(answer, *entry);
  answer.set("Content-Disposition", "attachment");
  return answer;
}

HttpResponse get_underlying_properties(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  find_entry(request, *repository);
  return json_answer(200, json::object{{"storage_class", nullptr}});
}

// --- Changing ---

HttpResponse delete_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  check_path(request.path());
  check_writable(request, *repository);
  const auto remove = [&] {
    request.lake.writer(*repository)
        .remove(request.branch(), request.path(), request.query.flag("no_tombstone", false));
  };
  if (request.has_fault(Fault::Kind::kLateRemoval)) {
    const std::string token = repository->branch(request.branch()).staging_token;
    request.lake.committer(*repository)
        .commit(request.branch(), {"meanwhile", {}, "admin", request.lake.clock().unix_seconds(), true}, [&] {
          repository->staging().set(token, request.path(), nullptr);  // Before it looks at the branch again.
          remove();
        });
  } else {
    remove();
  }
  return no_content();
}

HttpResponse delete_objects(ApiRequest& request) {
  const auto paths = list_from(request.json, "paths");
  if (paths.size() > kLargestBatch) throw ApiError{400, "request size exceeded, max paths is set to 1000"};
  json::array errors;
  const auto blame_all = [&](int status, const std::string& message) {
    for (const std::string& path : paths)
      errors.push_back(json::object{{"path", path}, {"status_code", status}, {"message", message}});
  };
  try {
    const auto repository = request.lake.repository(request.repository_name());
    check_writable(request, *repository);
    for (const std::string& path : paths) {
      if (path.empty())
        return json_answer(200, json::object{{"errors", json::array()}});  // And nothing is deleted.
      if (path.size() > 1024) throw ApiError{500, "argument path: validation error: invalid value"};
    }
    BranchWriter writer = request.lake.writer(*repository);
    for (const std::string& path : paths)
      writer.remove(request.branch(), path, request.query.flag("no_tombstone", false));
  } catch (const ApiError& error) {
    if (error.status != 404) blame_all(error.status, error.message);  // A missing branch is not told.
  }
  return json_answer(200, json::object{{"errors", std::move(errors)}});
}

// Always a full copy of the data to a new address; protection is looked at afterwards.
HttpResponse copy_object(ApiRequest& request) {
  const auto repository = request.lake.repository(request.repository_name());
  if (flag_or(request.json, "shallow")) throw ApiError{501, "Not Implemented"};
  const std::string source_ref = text_or(request.json, "src_ref", request.branch());
  const std::string source_path = text_or(request.json, "src_path");
  check_path(source_path);
  const std::string destination = request.query.text("dest_path");
  check_path(destination);
  repository->branch(request.branch());
  const EntryPtr source = repository->find(repository->view(source_ref), source_path);
  if (source == nullptr) throw ApiError{404, "not found"};
  auto copy = std::make_shared<Entry>(*source);
  copy->path = destination;
  copy->address = request.lake.signer().new_address();
  copy->relative = true;
  copy->mtime = request.lake.clock().unix_seconds();
  const auto from = request.lake.store_key(request.lake.full_address(*repository, *source));
  const auto to = request.lake.store_key(request.lake.full_address(*repository, *copy));
  if (!request.lake.store().copy(*from, *to))
    throw ApiError{500, "copy: NoSuchKey: The specified key does not exist."};
  check_writable(request, *repository);
  request.lake.writer(*repository).set(request.branch(), copy, false);
  return json_answer(201, stats_of(request, *repository, *copy, StatsMetadata::kAlways));
}

HttpResponse update_object_user_metadata(ApiRequest& request) {
  std::shared_ptr<Repository> repository;
  try {
    repository = request.lake.repository(request.repository_name());
  } catch (const ApiError&) {
    return no_content();  // So does the real server.
  }
  check_path(request.path());
  check_writable(request, *repository);
  try {
    request.lake.writer(*repository)
        .set_metadata(request.branch(), request.path(), string_map(request.json, "set"));
  } catch (const ApiError& error) {
    if (error.status != 404 || error.message != "not found") throw;
    throw ApiError{404, "update user metadata on " + request.repository_name() + "/" + request.branch() +
                            "/" + request.path() + ": not found"};
  }
  return no_content();
}

}  // namespace

void add_object_calls(std::vector<Route>& routes) {
  const std::string ref = "/repositories/{repository}/refs/{ref}/objects";
  const std::string branch = "/repositories/{repository}/branches/{branch}/objects";
  routes.push_back({"GET", ref + "/stat", "stat_object", stat_object, {"path"}});
  routes.push_back({"GET", ref + "/ls", "list_objects", list_objects});
  routes.push_back({"GET", ref, "get_object", get_object, {"path"}});
  routes.push_back({"HEAD", ref, "head_object", head_object, {"path"}});
  routes.push_back({"GET",
                    ref + "/underlyingProperties",
                    "get_underlying_properties",
                    get_underlying_properties,
                    {"path"}});
  routes.push_back({"DELETE", branch, "delete_object", delete_object, {"path"}});
  routes.push_back({"POST", branch + "/delete", "delete_objects", delete_objects, {}, "paths!a"});
  routes.push_back({"POST",
                    branch + "/copy",
                    "copy_object",
                    copy_object,
                    {"dest_path"},
                    "src_path!s src_ref?s force?b shallow?b"});
  routes.push_back({"PUT",
                    branch + "/stat/user_metadata",
                    "update_object_user_metadata",
                    update_object_user_metadata,
                    {"path"},
                    "set!m"});
}

}  // namespace lakefuse::test::devserver
