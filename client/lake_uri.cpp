#include <algorithm>
#include <string_view>

#include "client/config.h"
#include "client/object_path.h"
#include "client/url.h"

namespace lakefuse {
namespace {

constexpr std::string_view kScheme = "lakefs://";

// lakeFS's rule, ^[a-z0-9][a-z0-9-]{2,62}$.
bool can_be_a_repository(const std::string& name) {
  return name.size() >= 3 && name.size() <= 63 && name.front() != '-' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

bool can_be_a_ref(const std::string& ref) {
  return !ref.empty() && is_utf8(ref) && std::all_of(ref.begin(), ref.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 0x7F;
  });
}

}  // namespace

Result<LakeUri> parse_lake_uri(const std::string& text) {
  const auto refuse = [&](std::string why) {
    return Error{Errc::kInvalid, "\"" + text + "\" is no lakefs://REPO/REF[/PREFIX]: " + std::move(why)};
  };
  if (!text.starts_with(kScheme)) return refuse("it does not start with lakefs://");
  if (text.find_first_of("?#") != std::string::npos) return refuse("write %3F for '?' and %23 for '#'");
  const std::string rest = text.substr(kScheme.size());
  const std::size_t slash = rest.find('/');

  LakeUri uri;
  uri.repository = rest.substr(0, slash);
  if (!can_be_a_repository(uri.repository))
    return refuse("a repository's name has 3 to 63 small letters, digits and '-'");
  if (slash == std::string::npos) return refuse("it names no branch, tag or commit");
  auto path = percent_decode(std::string_view(rest).substr(slash + 1));
  if (!path) return refuse(path.error().message);
  const std::size_t end = path->find('/');
  uri.ref = path->substr(0, end);
  if (!can_be_a_ref(uri.ref)) return refuse("it names no branch, tag or commit (no spaces)");
  if (end == std::string::npos || end + 1 == path->size()) return uri;
  uri.prefix = path->substr(end + 1);
  if (!uri.prefix.ends_with('/')) uri.prefix += '/';
  if (auto legal = ObjectPath::make(uri.prefix); !legal) return legal.error().in("the prefix in " + text);
  return uri;
}

}  // namespace lakefuse
