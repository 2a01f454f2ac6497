#include "client/publisher.h"

#include <string>
#include <utility>

#include "client/batch_removal.h"
#include "client/publish_attempt.h"

namespace lakefuse {
namespace {

using Kind = Expectation::Kind;

Error conflict(const ObjectPath& path, std::string_view what) {
  return {Errc::kConflict, "\"" + path.str() + "\": " + std::string(what)};
}

constexpr std::string_view kIsAnother = "another client put another version there";
constexpr std::string_view kIsGone = "the object was removed";

Error gone(const ObjectPath& path) {
  return {Errc::kNotFound, "\"" + path.str() + "\": " + std::string(kIsGone)};
}

// The nonce says who wrote the bytes, and new metadata does not change that.
Metadata keep_nonce(Metadata metadata, const ObjectInfo& of) {
  metadata.erase(std::string(kNonceKey));
  if (const auto nonce = nonce_of(of.metadata); !nonce.empty()) metadata[std::string(kNonceKey)] = nonce;
  return metadata;
}

}  // namespace

bool is_copy(const ObjectInfo& copy, const ObjectInfo& of) {
  return copy.size_bytes == of.size_bytes && copy.checksum == of.checksum &&
         nonce_of(copy.metadata) == nonce_of(of.metadata);
}

Result<ObjectInfo> Publisher::publish(const PublishJob& job, const ByteSource& body) {
  return PublishAttempt(lake_, job, body, sleep_, removed_).run();
}

Result<ObjectInfo> Publisher::set_metadata(const ObjectPath& path, const ObjectInfo& current,
                                           Metadata metadata) {
  ObjectInfo changed = current;
  changed.metadata = keep_nonce(std::move(metadata), current);
  for (int lost_answers = 0;;) {
    auto written = lake_.set_metadata(path, changed.metadata);
    if (written) return changed;
    const Error& error = written.error();
    if (!may_be_done(error.code)) return error;
    // Setting the same again harms nobody, if only it is still our version that it is set on.
    auto found = look_after(error, kUntilSecondLook, lake_, path, sleep_);
    if (!found) return found.error();
    if (!*found) return gone(path);
    if (!same_version(**found, current) && !same_version(**found, changed)) return conflict(path, kIsAnother);
    if (++lost_answers >= kMaxLostAnswers) return error;
  }
}

Result<> Publisher::remove(const ObjectPath& path, const std::optional<ObjectInfo>& expected, Sight sight) {
  const auto is_another = [&](const ObjectInfo& found) {
    return expected && sight != Sight::kNone && !same_version(found, *expected);
  };
  if (expected && sight == Sight::kLook) {
    auto found = look_at(lake_, path);
    if (!found) return found.error();
    if (!*found) return {};
    if (is_another(**found)) return conflict(path, kIsAnother);
  }
  for (int lost_answers = 0;;) {
    auto removed = lake_.remove(path);
    if (removed && expected) removed_.add(path.str(), *expected);
    if (removed || !may_be_done(removed.error().code)) return removed;
    auto found = look_after(removed.error(), kUntilSecondLook, lake_, path, sleep_);
    if (!found) return found.error();
    if (!*found) return {};
    if (is_another(**found)) return conflict(path, kIsAnother);
    if (++lost_answers >= kMaxLostAnswers) return removed;
  }
}

Result<std::vector<std::string>> Publisher::remove_all(std::span<const Removal> removals, Sight sight) {
  auto others = BatchRemoval(lake_, removals, sleep_).run(sight);
  if (!others) return others;
  for (const Removal& removal : removals)
    if (removal.version) removed_.add(removal.path.str(), *removal.version);
  return others;
}

Result<> Publisher::check_before_copy(const ObjectPath& from_path, const ObjectInfo& from,
                                      const ObjectPath& to, const Expectation& expected) {
  if (expected.kind != Kind::kAbsent) {
    auto source = look_at(lake_, from_path);
    if (!source) return source.error();
    if (!*source) return gone(from_path);
    if (!same_version(**source, from)) return conflict(from_path, kIsAnother);
  }
  if (expected.kind == Kind::kAnything) return {};
  // With the URL: who opens the old version just now, and reads it when it is replaced, has no other way to
  // it.
  auto target = look_at(lake_, to, ObjectStore::Look::kForReading);
  if (!target) return target.error();
  if (expected.kind == Kind::kAbsent) {
    if (!*target) return {};
    const auto is_nobodys = is_undone_removal(lake_, removed_, to, **target);
    if (!is_nobodys) return is_nobodys.error();
    if (*is_nobodys) return remove(to, **target, Sight::kJustNow);
    return Error{Errc::kExists, "\"" + to.str() + "\": an object is there already"};
  }
  if (!*target) return conflict(to, kIsGone);
  if (!same_version(**target, expected.version) && !is_copy(**target, from)) return conflict(to, kIsAnother);
  return {};
}

Result<std::optional<ObjectInfo>> Publisher::assert_copy(const ObjectPath& to, const ObjectInfo& ours) {
  auto written = lake_.set_metadata(to, ours.metadata);
  if (!written) {
    const Error& error = written.error();
    if (error.code != Errc::kNotFound && !may_be_done(error.code)) return error;
    return std::optional<ObjectInfo>();
  }
  auto found = look_at(lake_, to);
  if (!found) return found.error();
  if (!*found) return std::optional<ObjectInfo>();
  if ((*found)->physical_address != ours.physical_address) return conflict(to, kIsAnother);
  return found;
}

Result<ObjectInfo> Publisher::copy_bytes(const ObjectPath& from_path, const ObjectInfo& from,
                                         const ObjectPath& to, const Expectation& expected) {
  const auto is_as_before = [&](const std::optional<ObjectInfo>& found) {
    if (expected.kind == Kind::kAbsent) return !found;
    if (expected.kind == Kind::kVersion) return found && same_version(*found, expected.version);
    return true;
  };
  for (int lost_answers = 0;;) {
    auto copied = lake_.copy(from_path, to);
    if (copied || !may_be_done(copied.error().code)) return copied;
    auto found = look_after(copied.error(), kUntilSecondLook, lake_, to, sleep_);
    if (!found) return found.error();
    const bool was_there = *found && expected.kind == Kind::kVersion &&
                           (*found)->physical_address == expected.version.physical_address;
    if (*found && !was_there && is_copy(**found, from)) {
      auto asserted = assert_copy(to, **found);
      if (!asserted) return asserted.error();
      if (*asserted) return **std::move(asserted);
    } else if (!is_as_before(*found)) {
      return conflict(to, *found ? kIsAnother : kIsGone);
    }
    if (++lost_answers >= kMaxLostAnswers) return copied;
  }
}

Result<ObjectInfo> Publisher::copy(const ObjectInfo& from, const ObjectPath& to, const Expectation& expected,
                                   const Metadata& metadata) {
  auto from_path = ObjectPath::make(from.path);
  if (!from_path) return from_path.error();
  if (auto checked = check_before_copy(*from_path, from, to, expected); !checked) return checked.error();
  auto copied = copy_bytes(*from_path, from, to, expected);
  if (!copied) return copied;
  if (!is_copy(*copied, from)) {
    if (expected.kind != Kind::kAbsent)
      return conflict(*from_path, "another client put another version there, which was copied");
    if (auto undone = remove(to, *copied); !undone)
      return undone.error().in("a wrong copy could not be removed");
    return conflict(*from_path, kIsAnother);
  }
  if (keep_nonce(metadata, *copied) == copied->metadata) return copied;
  return set_metadata(to, *copied, metadata);
}

}  // namespace lakefuse
