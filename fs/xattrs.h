#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/error.h"
#include "client/object_store.h"

namespace lakefuse {

// Extended attributes of the user are an object's own metadata: `user.NAME` is the key NAME, and its value is
// the text there. A name or value that metadata cannot hold is kept in hex under a key of ours. Here names
// are without their "user.".

// What of an object's metadata is neither lakeFS's nor ours: the attributes, as they are kept.
[[nodiscard]] Metadata own_metadata(const Metadata& metadata);

[[nodiscard]] std::optional<std::string> get_xattr(const Metadata& own, const std::string& name);
// Those that xattr(7) can name.
[[nodiscard]] std::vector<std::string> xattr_names(const Metadata& own);
// setxattr(2): `flags` are XATTR_CREATE and XATTR_REPLACE. Fails with kExists, kNoAttribute, kNotPermitted
// for names that are lakeFS's or ours, and kNoSpace beyond what one file may carry.
Result<> set_xattr(Metadata& own, const std::string& name, std::string_view value, int flags);
// removexattr(2): kNoAttribute, kNotPermitted.
Result<> remove_xattr(Metadata& own, const std::string& name);

}  // namespace lakefuse
