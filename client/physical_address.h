#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "client/error.h"

namespace lakefuse {

// The addresses of one repository: which lie in its storage namespace, where lakeFS never changes an object
// in place, and which presigned URL stands for which of them. A value type.
class AddressSpace {
 public:
  AddressSpace(std::string_view storage_namespace, std::string blockstore_type);

  // True for "<namespace>/data/...": written once, never changed. Anything else was imported or linked from
  // outside and may change in place (design rule 8).
  [[nodiscard]] bool is_inside(std::string_view address) const;

  // The address behind a presigned URL, "s3://bucket/ns/data/..." as a plain stat says it; path style and the
  // bucket in the host name. Nothing when it cannot be told for sure, as for objects outside the namespace.
  [[nodiscard]] std::optional<std::string> address_of(std::string_view presigned_url) const;

  // True when what stat(presign=true) said is a URL that can be fetched. On Azure addresses are URLs
  // themselves; only a signature makes the difference.
  [[nodiscard]] bool is_presigned(std::string_view address) const;

  // On the block stores that are a directory or memory of the server every address is outside and unsigned.
  [[nodiscard]] bool is_local() const {
    return blockstore_type_ == "local" || blockstore_type_ == "mem" || blockstore_type_ == "transient";
  }
  [[nodiscard]] const std::string& blockstore_type() const { return blockstore_type_; }

 private:
  std::string namespace_;  // Without trailing slashes, as lakeFS writes addresses from it.
  std::string bucket_;     // Azure: the account's host.
  std::string prefix_;     // Of keys in the bucket: "" or "ns".
  std::string blockstore_type_;
};

// How long a presigned URL lives from the moment it was made, by what it says itself (X-Amz-Expires,
// X-Goog-Expires).
[[nodiscard]] std::optional<std::chrono::seconds> lifetime_in(std::string_view presigned_url);
// When it was made, in Unix seconds of the clock that will judge it (X-Amz-Date, X-Goog-Date).
[[nodiscard]] std::optional<std::int64_t> issue_time_in(std::string_view presigned_url);

// kInvalid: not an address that may be linked: empty, no "scheme://", another scheme than the block store's,
// or characters that make the server's listings fail for everybody (lakefs-api.md section 3).
Result<> check_address(const AddressSpace& space, std::string_view address);

}  // namespace lakefuse
