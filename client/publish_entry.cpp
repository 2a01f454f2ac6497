#include "client/publish_entry.h"

#include <utility>

namespace lakefuse {
namespace {

EntryMeta with_nonce(EntryMeta meta, std::string nonce) {
  meta.metadata[std::string(kNonceKey)] = std::move(nonce);
  return meta;
}

Error wrong_size(const ObjectPath& path, std::uint64_t told, std::uint64_t sent) {
  return {Errc::kUntrustworthy, "\"" + path.str() + "\": the other side took " + std::to_string(told) +
                                    " bytes of " + std::to_string(sent)};
}

// Another target helps at once when this one was too old, and after a pause when the store stumbled. A
// deadline is waited for once only.
bool is_worth_another_target(Errc code) {
  return code == Errc::kExpired || code == Errc::kUnavailable || code == Errc::kTooManyRequests;
}

}  // namespace

PublishEntry::PublishEntry(ObjectStore& lake, const PublishJob& job, const ByteSource& body,
                           const Sleep& sleep)
    : lake_(lake),
      job_(job),
      body_(body),
      sleep_(sleep),
      nonce_(job.nonce.empty() ? draw_nonce() : job.nonce),
      goes_in_parts_(lake.facts().can_presign_multipart && body.size() >= job.multipart_from) {}

Result<UploadTarget> PublishEntry::next_target() {
  if (job_.target && !std::exchange(target_is_used_, true)) return *job_.target;
  return lake_.upload_target(job_.path);
}

Result<Uploaded> PublishEntry::send_bytes() {
  if (goes_in_parts_)
    return lake_.upload_parts(job_.path, body_,
                              std::exchange(ahead_is_used_, true) ? nullptr : job_.ahead.get());
  auto target = next_target();
  if (!target) return target.error();
  return lake_.upload(*target, body_);
}

Result<> PublishEntry::upload() {
  if (!lake_.facts().can_presign) return {};
  for (;;) {
    auto uploaded = send_bytes();
    ++uploads_;
    if (uploaded) {
      if (uploaded->size_bytes != body_.size())
        return wrong_size(job_.path, uploaded->size_bytes, body_.size());
      uploaded_ = *std::move(uploaded);
      addresses_.insert(uploaded_.physical_address);
      return {};
    }
    const Error& error = uploaded.error();
    if (!is_worth_another_target(error.code) || uploads_ >= kMaxUploads) return error;
    if (error.code == Errc::kExpired) continue;
    if (auto slept = sleep_(kUntilSecondLook); !slept) return slept.error().in(error.message);
  }
}

Result<> PublishEntry::upload_again(const Error& why) {
  if (!lake_.facts().can_presign || uploads_ >= kMaxUploads) return why;
  return upload();
}

Result<ObjectInfo> PublishEntry::put(Condition condition) {
  auto entry = goes_in_parts_              ? complete()
               : lake_.facts().can_presign ? link(condition)
                                           : upload_object(condition);
  if (entry && entry->size_bytes != body_.size())
    return wrong_size(job_.path, entry->size_bytes, body_.size());
  return entry;
}

Result<ObjectInfo> PublishEntry::link(Condition condition) {
  const std::string& address = uploaded_.physical_address;
  auto entry =
      lake_.link(job_.path, uploaded_, with_nonce(job_.meta, bound_nonce(nonce_, address)), condition);
  if (entry && entry->physical_address != address)
    return Error{Errc::kUntrustworthy,
                 "\"" + job_.path.str() + "\": the server linked another address than it was told"};
  return entry;
}

Result<ObjectInfo> PublishEntry::complete() {
  const std::string& address = uploaded_.physical_address;
  auto entry = lake_.complete(job_.path, uploaded_, with_nonce(job_.meta, bound_nonce(nonce_, address)));
  if (entry && entry->physical_address != address)
    return Error{Errc::kUntrustworthy, "\"" + job_.path.str() + "\": the server completed another upload"};
  if (entry) uploaded_.open.reset();
  return entry;
}

void PublishEntry::abandon() {
  if (uploaded_.open) (void)lake_.abandon(job_.path, uploaded_);
  uploaded_.open.reset();
}

Result<ObjectInfo> PublishEntry::upload_object(Condition condition) {
  // A mark of its own for each try, so that one whose metadata strayed to another's entry proves nothing for
  // the next.
  const std::string mark = nonce_ + '-' + draw_nonce().substr(0, 16);
  marks_.insert(mark);
  auto entry = lake_.upload_object(job_.path, body_, with_nonce(job_.meta, mark), condition);
  if (entry) {
    marks_.erase(mark);
    addresses_.insert(entry->physical_address);
  }
  return entry;
}

PublishEntry::Origin PublishEntry::origin(const ObjectInfo& found) const {
  if (addresses_.contains(found.physical_address)) return Origin::kThis;
  const std::string mark = nonce_of(found.metadata);
  if (lake_.facts().can_presign)
    return mark == bound_nonce(nonce_, found.physical_address) ? Origin::kEarlier : Origin::kForeign;
  if (marks_.contains(mark)) return Origin::kThis;
  return mark.starts_with(nonce_ + '-') && !spent_marks_.contains(mark) ? Origin::kEarlier : Origin::kForeign;
}

Metadata PublishEntry::metadata_of(const ObjectInfo& found) {
  addresses_.insert(found.physical_address);
  const std::string mark =
      lake_.facts().can_presign ? bound_nonce(nonce_, found.physical_address) : nonce_of(found.metadata);
  marks_.erase(mark);
  spent_marks_.insert(mark);
  return with_nonce(job_.meta, mark).metadata;
}

}  // namespace lakefuse
