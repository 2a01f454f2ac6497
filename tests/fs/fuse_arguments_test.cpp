#include "fs/fuse_arguments.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace lakefuse::test {
namespace {

SessionOptions mount_with(std::vector<std::string> options) {
  return {.mountpoint = "/mnt", .source = "lakefs://repo/main/", .fuse_options = std::move(options)};
}

bool says(const SessionOptions& options, const std::string& option) {
  const auto arguments = fuse_arguments(options);
  REQUIRE(arguments);
  return std::find(arguments->begin(), arguments->end(), option) != arguments->end();
}

std::string refusal(const std::string& option) {
  const auto arguments = fuse_arguments(mount_with({option}));
  REQUIRE_FALSE(arguments);
  CHECK(arguments.error().code == Errc::kInvalid);
  return arguments.error().message;
}

}  // namespace

TEST_CASE("fuse arguments: a source with commas and backslashes stays one option") {
  SessionOptions options = mount_with({});
  options.source = R"(lakefs://repo/main/a,allow_other\b/)";
  CHECK(says(options, R"(fsname=lakefs://repo/main/a\,allow_other\\b/)"));
}

TEST_CASE("fuse arguments: whoever is let in beside the user meets the modes of the files") {
  CHECK_FALSE(says(mount_with({}), "default_permissions"));
  SessionOptions options = mount_with({});
  options.allow_other = true;
  CHECK(says(options, "allow_other"));
  CHECK(says(options, "default_permissions"));
  CHECK(says(mount_with({"allow_root"}), "default_permissions"));
}

TEST_CASE("fuse arguments: a read-only mount is read-only to the kernel, too") {
  SessionOptions options = mount_with({});
  options.read_only = true;
  CHECK(says(options, "ro"));
  options.fuse_options = {"rw"};
  CHECK_FALSE(fuse_arguments(options));
}

TEST_CASE("fuse arguments: what stands in fstab for mount and systemd does not disturb") {
  const auto plain = fuse_arguments(mount_with({}));
  CHECK(fuse_arguments(mount_with({"_netdev", "nofail", "x-systemd.automount", "defaults"})).value() ==
        plain.value());
  CHECK(says(mount_with({"noatime"}), "noatime"));
}

TEST_CASE("fuse arguments: an option that would break a promise is refused with the way to go instead") {
  CHECK(refusal("attr_timeout=3").find("--metadata-ttl") != std::string::npos);
  CHECK(refusal("umask=022").find("--umask") != std::string::npos);
  CHECK(refusal("fsname=x,allow_other").find("lakefs://") != std::string::npos);
  CHECK(refusal("writeback_cache").find("close") != std::string::npos);
  CHECK(refusal("bogus").find("-o bogus") != std::string::npos);
}

}  // namespace lakefuse::test
