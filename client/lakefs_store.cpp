#include "client/lakefs_store.h"

#include <algorithm>

#include "client/answer_error.h"
#include "client/encodings.h"
#include "client/wire.h"

namespace lakefuse {
namespace {

constexpr std::size_t kMaxBatch = 1000;  // lakeFS's limit for a listing and for a batch delete.
constexpr std::string_view kInternal = "::lakefs::";

std::string named(const LakeCall& call) {
  return std::string(call.name) + " of " + call.subject;
}

std::optional<Errc> cause_of_link(int status, std::string_view message) {
  const bool about_address = message.find("expired") != message.npos || message.find("sign") != message.npos;
  if (status == 400) return about_address ? Errc::kExpired : Errc::kInvalid;
  if (status == 412) return Errc::kExists;
  return std::nullopt;
}

// A completed upload is none any more, and so is one that the store's owner cleared away.
std::optional<Errc> cause_of_completion(int status, std::string_view message) {
  const bool is_gone = message.find("NoSuchUpload") != message.npos;
  return is_gone ? std::optional(Errc::kExpired) : cause_of_link(status, message);
}

std::optional<Errc> cause_of_upload(int status, std::string_view) {
  return status == 412 ? std::optional(Errc::kExists) : std::nullopt;
}

Result<> check_metadata(const EntryMeta& meta) {
  const auto good = [](const auto& pair) { return is_utf8(pair.first) && is_utf8(pair.second); };
  if (!is_utf8(meta.content_type) || !std::all_of(meta.metadata.begin(), meta.metadata.end(), good))
    return Error{Errc::kInvalid, "metadata that is not UTF-8, which lakeFS cannot hold"};
  return {};
}

Error untrustworthy(const LakeCall& call, std::string_view what) {
  return {Errc::kUntrustworthy, named(call) + ": " + std::string(what)};
}

}  // namespace

void LakefsStore::notice(const ObjectInfo& object) {
  if (!scope_.space.is_local() && !scope_.space.is_inside(object.physical_address))
    outside_.add(object.physical_address);
}

Result<ObjectInfo> LakefsStore::stat(const ObjectPath& path, Look look) {
  auto found = look == Look::kForReading  ? lookup_.look_for_reading(scope_.ref, path.str())
               : look == Look::kCommitted ? lookup_.look(scope_.ref + "@", path.str())
                                          : lookup_.look(scope_.ref, path.str());
  if (!found) return found.error();
  notice(found->object);
  return std::move(found->object);
}

Result<ListPage> LakefsStore::list(const ListRequest& request) {
  ListRequest bounded = request;
  bounded.amount = std::clamp<std::size_t>(request.amount, 1, kMaxBatch);
  LakeCall call{.name = "list_objects", .subject = scope_.subject("\"" + request.prefix + "\"")};
  call.target = scope_.ref_target(scope_.ref) + "/objects/ls?" + query("prefix", bounded.prefix) + "&" +
                query("after", bounded.after) + "&amount=" + std::to_string(bounded.amount);
  if (bounded.delimited) call.target += "&delimiter=%2F";
  call.sink.limit = wire::kMaxPageBytes;
  auto response = scope_.calls->call_for_json(call);
  if (!response) return response.error();
  if (request.guessed_next)
    if (const auto next = wire::guess_next(response->body)) request.guessed_next(*next);
  auto page = wire::parse_list(response->body, bounded);
  if (!page) return page.error().in(named(call));
  for (const ListEntry& entry : page->entries) {
    if (!entry.is_prefix) notice(entry.object);
  }
  return page;
}

Result<std::size_t> LakefsStore::read(const ObjectInfo& object, std::uint64_t offset,
                                      std::span<std::byte> out) {
  return reader_.read(object, offset, out);
}

Result<UploadTarget> LakefsStore::upload_target(const ObjectPath& path) {
  LakeCall call{.name = "get_physical_address", .subject = scope_.subject(path.str())};
  if (!scope_.facts.can_presign)
    return Error{Errc::kUnsupported, named(call) + ": the server's block store cannot presign"};
  call.target = scope_.branch_target() + "/staging/backing?" + query("path", path.str()) + "&presign=true";
  call.sink.limit = wire::kMaxAnswerBytes;
  auto response = scope_.calls->call_for_json(call);
  if (!response) return response.error();
  auto target = wire::parse_upload_target(response->body);
  if (!target) return target.error().in(named(call));
  if (target->presigned_url.empty()) return untrustworthy(call, "the answer has no presigned URL");
  if (scope_.calls->steps_down(target->presigned_url))
    return Error{Errc::kUnsupported,
                 named(call) + ": the store's URLs are plain http, though the lake is reached by TLS"};
  if (auto good = check_address(scope_.space, target->physical_address); !good)
    return untrustworthy(call, good.error().message);
  if (!scope_.space.is_inside(target->physical_address)) outside_.add(target->physical_address);
  return target;
}

Result<Uploaded> LakefsStore::upload(const UploadTarget& target, const ByteSource& body) {
  return put_.put(target, body);
}

// The server takes any text as an address outside its namespace, and a wrong one breaks listings for
// everybody.
Result<> LakefsStore::may_link(const ObjectPath& path, const std::string& address) {
  if (auto good = check_address(scope_.space, address); !good) return good;
  if (scope_.space.is_inside(address) || scope_.space.is_local() || outside_.has(address)) return {};
  auto there = lookup_.look(scope_.ref, path.str());
  if (there && there->object.physical_address == address) return {};
  if (!there && there.error().code != Errc::kNotFound) return there.error();
  return Error{Errc::kInvalid,
               "the address to link lies outside " + scope_.repository + " and is no entry's of it"};
}

Result<ObjectInfo> LakefsStore::change(const LakeCall& call, const ObjectPath& path) {
  auto response = scope_.calls->call_for_json(call);
  if (!response) return response.error();
  auto answer = wire::parse_object(response->body);
  if (!answer) return answer.error().in(named(call));
  if (answer->object.path != path.str()) return untrustworthy(call, "the answer is about another path");
  return std::move(answer->object);
}

Result<ObjectInfo> LakefsStore::link(const ObjectPath& path, const Uploaded& uploaded, const EntryMeta& meta,
                                     Condition condition) {
  LakeCall call{.name = "link_physical_address", .subject = scope_.subject(path.str()), .method = "PUT"};
  if (uploaded.checksum.empty()) return Error{Errc::kInvalid, named(call) + ": without a checksum"};
  if (auto good = check_metadata(meta); !good) return good.error().in(named(call));
  if (auto allowed = may_link(path, uploaded.physical_address); !allowed)
    return allowed.error().in(named(call));
  call.target = scope_.branch_target() + "/staging/backing?" + query("path", path.str());
  call.json = wire::link_body(uploaded, meta);
  call.sink.limit = wire::kMaxAnswerBytes;
  call.repeat = Repeat::kOnce;
  call.cause = cause_of_link;
  if (condition == Condition::kIfAbsent) call.headers.add("If-None-Match", "*");
  auto linked = change(call, path);
  if (!linked) return linked;
  if (linked->physical_address != uploaded.physical_address || linked->size_bytes != uploaded.size_bytes)
    return untrustworthy(call, "the answer is about other bytes than were linked");
  return linked;
}

Result<> LakefsStore::may_go_in_parts(const ObjectPath& path) const {
  if (scope_.facts.can_presign_multipart) return {};
  return Error{Errc::kUnsupported,
               "upload of " + scope_.subject(path.str()) + ": the server offers no multipart upload"};
}

Result<Uploaded> LakefsStore::upload_parts(const ObjectPath& path, const ByteSource& body,
                                           PartsAhead* ahead) {
  if (auto may = may_go_in_parts(path); !may) return may.error();
  return multipart_.upload(path, body, ahead);
}

Result<PartsTarget> LakefsStore::begin_parts(const ObjectPath& path) {
  if (auto may = may_go_in_parts(path); !may) return may.error();
  return multipart_.begin(path);
}

Result<std::string> LakefsStore::upload_part(const ObjectPath& path, const PartsTarget& target,
                                             std::size_t index, const ByteSource& part) {
  if (auto may = may_go_in_parts(path); !may) return may.error();
  return multipart_.put_part(path, target, index, part);
}

Result<ObjectInfo> LakefsStore::complete(const ObjectPath& path, const Uploaded& uploaded,
                                         const EntryMeta& meta) {
  LakeCall call = multipart_.completion(path, uploaded, meta);
  if (auto good = check_metadata(meta); !good) return good.error().in(named(call));
  call.cause = cause_of_completion;
  auto completed = change(call, path);
  if (!completed) return completed;
  // This answer tells addresses within the namespace.
  if (completed->size_bytes != uploaded.size_bytes ||
      !uploaded.physical_address.ends_with("/" + completed->physical_address))
    return untrustworthy(call, "the answer is about other bytes than were uploaded");
  completed->physical_address = uploaded.physical_address;
  return completed;
}

Result<> LakefsStore::abandon(const ObjectPath& path, const Uploaded& uploaded) {
  return multipart_.abandon(path, uploaded);
}

Result<ObjectInfo> LakefsStore::upload_object(const ObjectPath& path, const ByteSource& body,
                                              const EntryMeta& meta, Condition condition) {
  LakeCall call{.name = "upload_object", .subject = scope_.subject(path.str()), .method = "POST"};
  if (auto good = check_metadata(meta); !good) return good.error().in(named(call));
  if (meta.content_type.starts_with("multipart/form-data"))
    return Error{Errc::kInvalid,
                 named(call) + ": lakeFS would take a body of this content type apart as a form"};
  call.headers.add("Content-Type",
                   meta.content_type.empty() ? "application/octet-stream" : meta.content_type);
  for (const auto& [key, value] : meta.metadata) {
    const bool internal = key.starts_with(kInternal);
    std::string name =
        internal ? "x-lakefs-internal-" + key.substr(kInternal.size()) : "x-lakefs-meta-" + key;
    if (auto good = check_header(name, value); !good) return good.error().in(named(call) + ": metadata");
    call.headers.add(std::move(name), value);
  }
  const auto md5 = md5_of(body);
  if (!md5) return md5.error().in(named(call));
  call.target = scope_.branch_target() + "/objects?" + query("path", path.str());
  call.source = &body;
  call.sink.limit = wire::kMaxAnswerBytes;
  call.repeat = Repeat::kOnce;
  call.cause = cause_of_upload;
  if (condition == Condition::kIfAbsent) call.headers.add("If-None-Match", "*");
  auto object = change(call, path);
  if (!object) return object;
  auto is_of = [&](const Md5& digest) { return equals_ignoring_case(object->checksum, to_hex(digest)); };
  bool other_bytes = looks_like_md5(object->checksum) && !is_of(*md5);
  if (other_bytes && body.digested() != nullptr) {
    const auto anew = md5_of_all(body);
    other_bytes = !anew || !is_of(*anew);
  }
  if (object->size_bytes != body.size() || other_bytes)
    return untrustworthy(call, "the server has stored other bytes than were sent");
  return object;
}

Result<ObjectInfo> LakefsStore::copy(const ObjectPath& from, const ObjectPath& to) {
  LakeCall call{
      .name = "copy_object", .subject = from.str() + " to " + scope_.subject(to.str()), .method = "POST"};
  call.target = scope_.branch_target() + "/objects/copy?" + query("dest_path", to.str());
  call.json = wire::copy_body(from);
  call.sink.limit = wire::kMaxAnswerBytes;
  call.repeat = Repeat::kOnce;
  call.is_slow = true;
  auto copied = change(call, to);
  if (copied) notice(*copied);
  return copied;
}

Result<> LakefsStore::remove(const ObjectPath& path) {
  LakeCall call{.name = "delete_object", .subject = scope_.subject(path.str()), .method = "DELETE"};
  call.target = scope_.branch_target() + "/objects?" + query("path", path.str());
  call.repeat = Repeat::kOnce;
  auto response = scope_.calls->call(call);
  if (!response) return response.error();
  return {};
}

Result<> LakefsStore::remove_all(std::span<const ObjectPath> paths) {
  while (!paths.empty()) {
    const auto batch = paths.first(std::min(paths.size(), kMaxBatch));
    paths = paths.subspan(batch.size());
    const std::string others = batch.size() > 1 ? " and " + std::to_string(batch.size() - 1) + " more" : "";
    LakeCall call{
        .name = "delete_objects", .subject = scope_.subject(batch.front().str() + others), .method = "POST"};
    call.target = scope_.branch_target() + "/objects/delete";
    call.json = wire::delete_body(batch);
    call.sink.limit = wire::kMaxAnswerBytes;
    call.repeat = Repeat::kOnce;
    auto response = scope_.calls->call_for_json(call);
    if (!response) return response.error();
    auto failure = wire::parse_delete_failure(response->body);
    if (!failure) return failure.error().in(named(call));
    if (!*failure) continue;
    const auto& [path, status, message] = **failure;
    return answer_error(cause_of(status, message),
                        "delete_objects of " + scope_.subject(scope_.calls->told(path)), status,
                        scope_.calls->told(message));
  }
  return {};
}

Result<> LakefsStore::set_metadata(const ObjectPath& path, const Metadata& metadata) {
  LakeCall call{
      .name = "update_object_user_metadata", .subject = scope_.subject(path.str()), .method = "PUT"};
  if (auto good = check_metadata({0, {}, metadata}); !good) return good.error().in(named(call));
  call.target = scope_.branch_target() + "/objects/stat/user_metadata?" + query("path", path.str());
  call.json = wire::metadata_body(metadata);
  auto response = scope_.calls->call(call);
  if (!response) return response.error();
  return {};
}

}  // namespace lakefuse
