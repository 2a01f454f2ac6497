#include "client/multipart_upload.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>

#include "client/encodings.h"
#include "client/patience.h"
#include "client/publish_look.h"

namespace lakefuse {
namespace {

constexpr std::chrono::milliseconds kLastCall{500};

// A source may be read by one at a time; what is read is digested and sent by all at once.
class SharedSource {
 public:
  explicit SharedSource(const ByteSource& whole) : whole_(whole) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) {
    const std::lock_guard lock(mutex_);
    return whole_.read(offset, out);
  }

 private:
  const ByteSource& whole_;  // Guarded by mutex_.
  std::mutex mutex_;         // Held while local bytes are read.
};

class Part : public ByteSource {
 public:
  Part(SharedSource& whole, std::uint64_t offset, std::uint64_t size)
      : whole_(whole), offset_(offset), size_(size) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size_) return std::size_t{0};
    return whole_.read(offset_ + offset, out.first(std::min<std::uint64_t>(out.size(), size_ - offset)));
  }

 private:
  SharedSource& whole_;
  const std::uint64_t offset_;
  const std::uint64_t size_;
};

}  // namespace

std::string MultipartUpload::target(const std::string& id, const ObjectPath& path) const {
  return scope_.branch_target() + "/staging/pmpu" + (id.empty() ? "" : "/" + percent_encode(id)) + "?" +
         query("path", path.str());
}

Result<PartsTarget> MultipartUpload::begin(const ObjectPath& path, std::size_t parts) {
  LakeCall call{.name = "create_presign_multipart_upload",
                .subject = scope_.subject(path.str()),
                .method = "POST",
                .target = target({}, path) + "&parts=" + std::to_string(parts)};
  call.sink.limit = wire::kMaxPageBytes;
  auto response = scope_.calls->call_for_json(call);
  if (!response) return response.error();
  const auto wrong = [&](std::string_view what) {
    return Error{Errc::kUntrustworthy,
                 std::string(call.name) + " of " + call.subject + ": " + std::string(what)};
  };
  auto answer = wire::parse_multipart(response->body);
  if (!answer) return wrong(answer.error().message);
  if (answer->part_urls.size() != parts) return wrong("the answer has another number of presigned URLs");
  if (!scope_.space.is_inside(answer->physical_address))
    return wrong("the address lies outside the repository's storage namespace");
  return answer;
}

LakeCall MultipartUpload::call_of_part(const char* name, const ObjectPath& path, const PartsTarget& target,
                                       std::size_t index, const char* what) const {
  LakeCall call{.name = name,
                .subject = scope_.subject(path.str()),
                .method = "PUT",
                .target = scope_.branch_target() + "/staging/pmpu/" + percent_encode(target.upload_id) +
                          "/parts/" + std::to_string(index + 1) + what + "?" + query("path", path.str())};
  call.sink.limit = wire::kMaxAnswerBytes;
  return call;
}

Result<Secret> MultipartUpload::fresh_url(const ObjectPath& path, const PartsTarget& target,
                                          std::size_t index) {
  LakeCall call = call_of_part("upload_part", path, target, index);
  call.json = wire::address_body(target.physical_address);
  auto response = scope_.calls->call_for_json(call);
  if (!response) return response.error();
  auto url = wire::parse_part_url(response->body);
  if (!url) return url.error().in(std::string(call.name) + " of " + call.subject);
  return url;
}

// URLs live for minutes; an upload may take hours.
Result<std::string> MultipartUpload::put_part(const ObjectPath& path, const PartsTarget& target,
                                              std::size_t index, const ByteSource& part) {
  UploadTarget where{target.physical_address, {}};
  bool has_url = index < target.part_urls.size();
  if (has_url) where.presigned_url = target.part_urls[index];
  for (int tries = 1;; ++tries) {
    if (!has_url) {
      auto url = fresh_url(path, target, index);
      if (!url) return url.error();
      where.presigned_url = *std::move(url);
    }
    auto etag = put_.put_part(where, static_cast<int>(index) + 1, part);
    if (etag || etag.error().code != Errc::kExpired || tries >= kMaxUploads) return etag;
    has_url = false;
  }
}

Result<std::string> MultipartUpload::copy_part(const ObjectPath& path, const PartsTarget& target,
                                               std::size_t index, const std::string& from,
                                               std::uint64_t end) {
  LakeCall call = call_of_part("upload_part_copy", path, target, index, "/copy");
  call.json = wire::part_copy_body(target.physical_address, scope_.repository, scope_.ref, from,
                                   PartPlan::begin(index), end);
  call.repeat = Repeat::kOnce;  // The part can be put as well.
  auto response = scope_.calls->call(call);
  if (!response) return response.error();
  return std::string(response->headers.get("ETag"));
}

Result<Uploaded> MultipartUpload::upload(const ObjectPath& path, const ByteSource& body, PartsAhead* ahead) {
  const std::size_t parts = PartPlan::count(body.size());
  std::optional<PartsTarget> target;
  if (ahead != nullptr) target = ahead->take();
  if (!target) {
    ahead = nullptr;
    auto begun = begin(path, parts);
    if (!begun) return begun.error();
    target = *std::move(begun);
  }
  Uploaded uploaded{target->physical_address, {}, body.size(), OpenUpload{target->upload_id, {}}};
  std::vector<std::string>& etags = uploaded.open->etags;
  etags.resize(parts);
  // What is under way already is waited for when all else has been sent.
  std::vector<std::size_t> order(parts);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (ahead != nullptr)
    std::stable_partition(order.begin(), order.end(),
                          [&](auto index) { return !ahead->is_under_way(index); });

  SharedSource source(body);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::optional<Error> failure;  // The first; guarded by mutex.
  std::stop_source stop;         // By the caller, or by the first failure.
  {
    const std::stop_callback by_caller(Patience::current(), [&] { stop.request_stop(); });
    // The lake may hold another version there by now, or its store have no MD5 for an ETag: then it is put.
    const BeginsAs* const known = scope_.facts.can_presign_parts_later ? body.begins_as() : nullptr;
    std::atomic<bool> may_copy = known != nullptr;
    const auto copy = [&](std::size_t index, const Part& part) -> std::optional<std::string> {
      const std::uint64_t end = PartPlan::end(index);
      if (!may_copy || end > known->bytes) return {};
      if (auto etag = copy_part(path, *target, index, known->path, end))
        if (const auto md5 = md5_of(part); md5 && unquoted(*etag) == to_hex(*md5)) return *std::move(etag);
      may_copy = false;  // What it is for one part it is for the others.
      return {};
    };
    const auto send = [&](std::size_t index) -> Result<std::string> {
      if (ahead != nullptr)
        if (auto etag = ahead->etag(index)) return *std::move(etag);
      const std::uint64_t begin = PartPlan::begin(index), end = std::min(PartPlan::end(index), body.size());
      const Part part(source, begin, end - begin);
      if (auto etag = copy(index, part)) return *std::move(etag);
      return put_part(path, *target, index, part);
    };
    const auto work = [&] {
      const Patience patience(stop.get_token());
      for (std::size_t n; !stop.stop_requested() && (n = next++) < parts;) {
        auto etag = [&]() -> Result<std::string> {
          try {
            return send(order[n]);
          } catch (const std::bad_alloc&) {
            return Error{Errc::kUnavailable, "no memory"};
          }
        }();
        if (etag) {
          etags[order[n]] = *std::move(etag);
          continue;
        }
        const std::lock_guard lock(mutex);
        if (!failure) failure = etag.error();
        stop.request_stop();
      }
    };
    std::vector<std::jthread> others;
    try {
      for (std::size_t count = 1; count < std::min<std::size_t>(kSideBySide, parts); ++count)
        others.emplace_back(work);
    } catch (const std::system_error&) {
      // No thread can be had: those that are there send all of it.
    }
    work();
  }
  if (ahead != nullptr) ahead->end();  // What is put after an abort stays for ever.
  if (!failure && !Patience::current().stop_requested()) return uploaded;
  std::optional<PatienceFor> patience;  // Whoever has lost his is answered within a second (F1).
  if (Patience::current().stop_requested()) patience.emplace(kLastCall);
  if (auto abandoned = abandon(path, uploaded); !abandoned && failure)
    return failure->in("its parts stay in the store (" + abandoned.error().message + ")");
  return failure ? *failure : Error{Errc::kInterrupted, "\"" + path.str() + "\": nobody waits for it"};
}

Result<> MultipartUpload::abandon(const ObjectPath& path, const Uploaded& uploaded) {
  LakeCall call{.name = "abort_presign_multipart_upload",
                .subject = scope_.subject(path.str()),
                .method = "DELETE",
                .target = target(uploaded.open->id, path),
                .json = wire::address_body(uploaded.physical_address)};
  auto response = scope_.calls->call(call);
  if (!response) return response.error();
  return {};
}

LakeCall MultipartUpload::completion(const ObjectPath& path, const Uploaded& uploaded,
                                     const EntryMeta& meta) const {
  LakeCall call{.name = "complete_presign_multipart_upload",
                .subject = scope_.subject(path.str()),
                .method = "PUT",
                .target = target(uploaded.open->id, path),
                .json = wire::complete_body(uploaded, meta)};
  call.sink.limit = wire::kMaxAnswerBytes;
  call.repeat = Repeat::kOnce;
  call.is_slow = true;
  return call;
}

}  // namespace lakefuse
