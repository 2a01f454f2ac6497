#include "client/entry_lookup.h"

#include <algorithm>

#include "client/wire.h"

namespace lakefuse {
namespace {

using std::chrono::seconds;

// Where neither the answer nor the URL says how long it lives: less than any store's default.
constexpr seconds kUnknownLifetime{300};
constexpr seconds kLongestLifetime{7 * 24 * 3600};  // S3's own limit; a server that says more is mistaken.

seconds lifetime_of(const std::string& url, std::optional<std::int64_t> expiry) {
  seconds lifetime = lifetime_in(url).value_or(kLongestLifetime);
  if (!expiry && lifetime == kLongestLifetime) return kUnknownLifetime;
  if (expiry) {
    // By the clock that set the expiry, where the URL tells its time: ours may be wrong.
    const std::int64_t now = issue_time_in(url).value_or(
        std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch()).count());
    if (*expiry <= now) return seconds(0);
    if (*expiry - now < lifetime.count()) lifetime = seconds(*expiry - now);
  }
  return lifetime;
}

// The same in everything but the address, which one of them says as a URL.
bool is_one_record(const ObjectInfo& a, const ObjectInfo& b) {
  return a.checksum == b.checksum && a.size_bytes == b.size_bytes && a.mtime_seconds == b.mtime_seconds &&
         a.metadata == b.metadata;
}

}  // namespace

struct EntryLookup::Answer {
  ObjectInfo object;
  std::optional<std::int64_t> address_expiry;
};

Result<EntryLookup::Answer> EntryLookup::ask(const std::string& ref, const std::string& path, bool presign) {
  LakeCall call{.name = "stat_object", .subject = scope_.subject(path)};
  call.target =
      scope_.ref_target(ref) + "/objects/stat?" + query("path", path) + (presign ? "&presign=true" : "");
  call.sink.limit = wire::kMaxAnswerBytes;
  auto response = scope_.calls->call_for_json(call);
  if (!response) return response.error();
  auto answer = wire::parse_object(response->body);
  if (!answer) return answer.error().in("stat_object of " + call.subject);
  if (answer->object.path != path)
    return Error{Errc::kUntrustworthy,
                 "stat_object of " + call.subject + ": the answer is about another path"};
  return Answer{std::move(answer->object), answer->address_expiry};
}

Result<EntryLookup::Found> EntryLookup::look(const std::string& ref, const std::string& path) {
  auto answer = ask(ref, path, false);
  if (!answer) return answer.error();
  return Found{std::move(answer->object), std::nullopt};
}

Result<EntryLookup::Found> EntryLookup::look_for_reading(const std::string& ref, const std::string& path) {
  if (!scope_.facts.can_presign) return look(ref, path);
  auto answer = ask(ref, path, true);
  if (!answer) return answer.error();
  // Whoever may stat but not read gets the plain address instead of a URL.
  if (!scope_.space.is_presigned(answer->object.physical_address))
    return Found{std::move(answer->object), std::nullopt};

  Found found;
  Secret url(std::move(answer->object.physical_address));
  if (auto address = scope_.space.address_of(url.reveal())) {
    found.object = std::move(answer->object);
    found.object.physical_address = std::move(*address);
  } else {
    auto plain = ask(ref, path, false);
    if (!plain) return plain.error();
    found.object = std::move(plain->object);
    if (!is_one_record(found.object, answer->object))
      return found;  // It changed in between: no URL for this one.
  }
  if (scope_.calls->steps_down(url)) return found;  // It is read through the API.
  urls_.put(found.object, url, UrlCache::Clock::now() + lifetime_of(url.reveal(), answer->address_expiry));
  found.url = std::move(url);
  return found;
}

}  // namespace lakefuse
