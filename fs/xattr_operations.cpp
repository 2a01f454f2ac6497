// Extended attributes: `user.*` is the object's own metadata, `user.lakefs.*` what the lake knows of the
// file. These facts are answered by name and never listed: a program that copies all that is listed would be
// refused where it sets them.

#include "fs/filesystem_core.h"
#include "fs/xattrs.h"

namespace lakefuse {
namespace {

constexpr std::string_view kUser = "user.";
constexpr std::string_view kFactNames = "user.lakefs.";

Error no_attribute() {
  return {Errc::kNoAttribute, "no such attribute"};
}

struct Facts {
  std::optional<ObjectInfo> version;
  Metadata own;
  std::string state;
  std::string failure;
};

Facts facts_of(FilesystemCore& core, const InodePtr& inode) {
  Facts facts;
  if (const auto untold = core.publishing.peek_untold(core.tree.last_path(inode)))
    facts.failure = untold->message;
  facts.state = core.publishing.describe(inode).state;
  const std::lock_guard lock(inode->mutex);
  facts.version = inode->version;
  facts.own = inode->attributes.own;
  if (facts.state == "clean" || facts.state.empty()) facts.state = "published";
  if (inode->staging.failure) facts.failure = inode->staging.failure->message;
  return facts;
}

// `change` of the user's own metadata, by the rest of the name.
Result<> change_xattrs(FilesystemCore& core, NodeId node, std::string_view name,
                       const std::function<Result<>(Metadata&, const std::string&)>& change) {
  auto inode = core.tree.find(node);
  if (!inode) return inode.error();
  if (core.options.read_only) return core.read_only_error();
  if (!name.starts_with(kUser)) return Error{Errc::kUnsupported, "only user.* attributes can be kept"};
  const std::string key(name.substr(kUser.size()));
  if (key.empty()) return Error{Errc::kInvalid, "an extended attribute without a name"};
  return core.change_attributes(*inode, [&](Attributes& attributes) -> Result<bool> {
    if (auto changed = change(attributes.own, key); !changed) return changed.error();
    attributes.ctime = now_on_the_clock();
    return true;
  });
}

}  // namespace

Result<std::string> Filesystem::getxattr(NodeId node, std::string_view name) {
  // Asked at every write for a capability, and by ls for each name, until it hears that there are none here.
  if (!name.starts_with(kUser)) return Error{Errc::kUnsupported, "there are only user.* attributes"};
  auto inode = core_->tree.find(node);
  if (!inode) return inode.error();
  const Facts facts = facts_of(*core_, *inode);
  if (name.starts_with(kFactNames)) {
    const auto fact = name.substr(kFactNames.size());
    if (fact == "state" && (*inode)->kind != Kind::kDirectory) return facts.state;
    if (fact == "error" && !facts.failure.empty()) return facts.failure;
    if (fact == "physical_address" && facts.version) return facts.version->physical_address;
    if (fact == "checksum" && facts.version) return facts.version->checksum;
    return no_attribute();
  }
  const auto found = get_xattr(facts.own, std::string(name.substr(kUser.size())));
  return found ? Result<std::string>(*found) : no_attribute();
}

Result<std::vector<std::string>> Filesystem::listxattr(NodeId node) {
  auto inode = core_->tree.find(node);
  if (!inode) return inode.error();
  std::vector<std::string> names;
  // Of what else there is, Linux asks for no user.* attribute.
  if ((*inode)->kind != Kind::kFile && (*inode)->kind != Kind::kDirectory) return names;
  const std::lock_guard lock((*inode)->mutex);
  for (const auto& key : xattr_names((*inode)->attributes.own)) names.push_back(std::string(kUser) + key);
  return names;
}

Result<> Filesystem::setxattr(NodeId node, std::string_view name, std::string_view value, int flags) {
  return change_xattrs(*core_, node, name, [&](Metadata& own, const std::string& key) {
    return set_xattr(own, key, value, flags);
  });
}

Result<> Filesystem::removexattr(NodeId node, std::string_view name) {
  return change_xattrs(*core_, node, name, remove_xattr);
}

}  // namespace lakefuse
