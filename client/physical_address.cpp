#include "client/physical_address.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "client/object_path.h"
#include "client/url.h"

namespace lakefuse {
namespace {

constexpr std::string_view kData = "/data/";

std::string_view without_trailing_slashes(std::string_view text) {
  while (text.ends_with('/')) text.remove_suffix(1);
  return text;
}

// What lakeFS makes: two xids, a slash, a comma and a base64url signature. Dots would allow "..".
bool is_data_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == ',' || c == '-' || c == '_' || c == '=';
  });
}

std::string_view parameter(std::string_view url, std::string_view name) {
  std::size_t at = url.find('?');
  while (at != url.npos) {
    const std::string_view pair = url.substr(at + 1, url.find('&', at + 1) - at - 1);
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('='))
      return pair.substr(name.size() + 1);
    at = url.find('&', at + 1);
  }
  return {};
}

std::string_view scheme_of(std::string_view blockstore_type) {
  return blockstore_type == "azure" ? "https" : blockstore_type;
}

}  // namespace

AddressSpace::AddressSpace(std::string_view storage_namespace, std::string blockstore_type)
    : namespace_(without_trailing_slashes(storage_namespace)), blockstore_type_(std::move(blockstore_type)) {
  const std::size_t scheme = namespace_.find("://");
  const std::string_view rest =
      std::string_view(namespace_).substr(scheme == std::string::npos ? 0 : scheme + 3);
  const std::size_t slash = rest.find('/');
  bucket_ = rest.substr(0, slash);
  if (slash != rest.npos) prefix_ = rest.substr(slash + 1);
}

bool AddressSpace::is_inside(std::string_view address) const {
  return address.starts_with(namespace_) && address.substr(namespace_.size()).starts_with(kData);
}

bool AddressSpace::is_presigned(std::string_view address) const {
  if (!address.starts_with("http://") && !address.starts_with("https://")) return false;
  return blockstore_type_ != "azure" || !parameter(address, "sig").empty();
}

std::optional<std::string> AddressSpace::address_of(std::string_view presigned_url) const {
  const auto url = parse_url(presigned_url);
  if (!url) return std::nullopt;
  const auto path = percent_decode(std::string_view(url->target).substr(0, url->target.find('?')));
  if (!path) return std::nullopt;

  const std::string& host = url->origin.host;
  std::string start = "/" + bucket_;
  // With the bucket in the host name the path is the key alone. Such a host rules path style out: a key that
  // begins with the bucket's name would be taken for it.
  if (blockstore_type_ == "azure" ? host == bucket_ : host.starts_with(bucket_ + ".")) start.clear();
  if (!prefix_.empty()) start += "/" + prefix_;
  start += kData;
  if (!path->starts_with(start)) return std::nullopt;
  const std::string_view key = std::string_view(*path).substr(start.size());
  if (!is_data_key(key)) return std::nullopt;
  return namespace_ + std::string(kData) + std::string(key);
}

std::optional<std::chrono::seconds> lifetime_in(std::string_view presigned_url) {
  for (const std::string_view name : {"X-Amz-Expires", "X-Goog-Expires"}) {
    const std::string_view text = parameter(presigned_url, name);
    int seconds = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), seconds).ec == std::errc() && seconds > 0)
      return std::chrono::seconds(seconds);
  }
  return std::nullopt;
}

std::optional<std::int64_t> issue_time_in(std::string_view presigned_url) {
  for (const std::string_view name : {"X-Amz-Date", "X-Goog-Date"}) {
    const std::string text(parameter(presigned_url, name));
    std::tm time{};  // 20130524T000000Z
    if (text.size() != 16 || std::sscanf(text.c_str(), "%4d%2d%2dT%2d%2d%2dZ", &time.tm_year, &time.tm_mon,
                                         &time.tm_mday, &time.tm_hour, &time.tm_min, &time.tm_sec) != 6)
      continue;
    time.tm_year -= 1900;
    time.tm_mon -= 1;
    return timegm(&time);
  }
  return std::nullopt;
}

Result<> check_address(const AddressSpace& space, std::string_view address) {
  const auto refuse = [](std::string_view why) {
    return Error{Errc::kInvalid,
                 "the address to link " + std::string(why) + "; lakeFS would take it unchecked"};
  };
  const std::size_t scheme = address.find("://");
  if (scheme == address.npos || address.size() == scheme + 3) return refuse("is no URI");
  if (!space.is_local() && address.substr(0, scheme) != scheme_of(space.blockstore_type()))
    return refuse("is of another kind of store");
  if (!is_utf8(address)) return refuse("is not UTF-8");
  if (std::any_of(address.begin(), address.end(),
                  [](char c) { return (static_cast<unsigned char>(c) < ' ') || c == 0x7F; }))
    return refuse("has control characters");
  return {};
}

}  // namespace lakefuse
