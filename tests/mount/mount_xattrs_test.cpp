// Extended attributes: the user's are the object's own metadata, the lake's are facts to read.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;

namespace {

namespace stdfs = std::filesystem;
using Names = std::vector<std::string>;

std::string attribute(const stdfs::path& path, const std::string& name) {
  std::string value(70'000, '\0');
  const auto n = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
  return n < 0 ? "<" + errno_name(errno) + ">" : value.substr(0, static_cast<std::size_t>(n));
}

Outcome set(const stdfs::path& path, const std::string& name, std::string_view value, int flags = 0) {
  const int failed = ::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags);
  return outcome("setxattr", failed == 0 ? 0 : errno);
}

Outcome remove(const stdfs::path& path, const std::string& name) {
  return outcome("removexattr", ::removexattr(path.c_str(), name.c_str()) == 0 ? 0 : errno);
}

Names names_of(const stdfs::path& path) {
  std::string list(70'000, '\0');
  const auto n = ::listxattr(path.c_str(), list.data(), list.size());
  Names names;
  for (std::size_t at = 0; n > 0 && at < static_cast<std::size_t>(n);) {
    const std::string name(list.data() + at);
    at += name.size() + 1;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("xattrs: user metadata shows as user.*, and the lake's facts as user.lakefs.*") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const auto object =
      lake.server().put_object(lake.repository(), "main", "f", "F", {.metadata = {{"colour", "red"}}});
  Mounted mount(lake);
  CHECK(attribute(mount / "f", "user.colour") == "red");
  CHECK(attribute(mount / "f", "user.lakefs.physical_address") == object.physical_address);
  CHECK(attribute(mount / "f", "user.lakefs.checksum") == object.checksum);
  CHECK(attribute(mount / "f", "user.lakefs.state") == "published");
  CHECK(attribute(mount / "f", "user.none") == "<ENODATA>");
  CHECK(names_of(mount / "f") == Names{"user.colour"});  // Facts are told by name: tools copy what is listed.
  CHECK(write_file(mount / "f", "changed") == kOk);
  CHECK(attribute(mount / "f", "user.colour") == "red");
}

TEST_CASE("xattrs: user.* is the object's metadata, without uploading its bytes again") {
  TestLake lake;
  lake.put("f", "F");
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "d") == kOk);
  const std::string address = lake.address("f");
  for (const char* name : {"f", "d"}) {
    CHECK(set(mount / name, "user.colour", "red") == kOk);
    CHECK(set(mount / name, "user.Größe", "12 m²") == kOk);
    CHECK(set(mount / name, "user.empty", "") == kOk);
    CHECK(set(mount / name, "user.gone", "x") == kOk);
    CHECK(remove(mount / name, "user.gone") == kOk);
  }
  REQUIRE(lake.stat("f"));
  CHECK(lake.stat("f")->metadata.at("colour") == "red");
  CHECK(lake.stat("d/")->metadata.at("colour") == "red");
  CHECK(lake.address("f") == address);
  mount.remount();
  for (const char* name : {"f", "d"}) {
    CHECK(attribute(mount / name, "user.colour") == "red");
    CHECK(attribute(mount / name, "user.Größe") == "12 m²");
    CHECK(attribute(mount / name, "user.empty").empty());
    CHECK(attribute(mount / name, "user.gone") == "<ENODATA>");
    CHECK(names_of(mount / name) == Names{"user.Größe", "user.colour", "user.empty"});
  }
  CHECK(rename_file(mount / "f", mount / "g") == kOk);
  CHECK(::chmod((mount / "g").c_str(), 0600) == 0);
  CHECK(attribute(mount / "g", "user.colour") == "red");
  CHECK(attribute(mount / "g", "user.Größe") == "12 m²");
}

TEST_CASE("xattrs: any bytes are kept, and go with what is not published yet") {
  TestLake lake;
  Mounted mount(lake);
  const std::string bytes("\0\xff\n binary\x80", 11);
  const std::string large = pattern(65'536);
  OpenFile file(mount / "f", O_RDWR | O_CREAT);
  CHECK(file.write("F") == kOk);
  CHECK(set(mount / "f", "user.bytes", bytes) == kOk);
  CHECK(attribute(mount / "f", "user.bytes") == bytes);
  CHECK(file.close() == kOk);
  CHECK(set(mount / "f", "user.large", large) == kOk);
  CHECK(set(mount / "f", "user.more", large) == "setxattr: ENOSPC");
  CHECK(write_file(mount / "f", "changed") == kOk);
  mount.remount();
  CHECK(attribute(mount / "f", "user.bytes") == bytes);
  CHECK((attribute(mount / "f", "user.large") == large));
  CHECK(set(mount / "f", "user.bytes", "text") == kOk);
  CHECK(names_of(mount / "f") == Names{"user.bytes", "user.large"});
  CHECK(lake.stat("f")->metadata.at("bytes") == "text");
}

TEST_CASE("xattrs: errors and sizes are those of xattr(7)") {
  TestLake lake;
  lake.put("f", "F");
  Mounted mount(lake);
  CHECK(set(mount / "f", "user.a", "1", XATTR_REPLACE) == "setxattr: ENODATA");
  CHECK(set(mount / "f", "user.a", "1", XATTR_CREATE) == kOk);
  CHECK(set(mount / "f", "user.a", "2", XATTR_CREATE) == "setxattr: EEXIST");
  CHECK(set(mount / "f", "user.a", "3", XATTR_REPLACE) == kOk);
  CHECK(attribute(mount / "f", "user.a") == "3");
  CHECK(remove(mount / "f", "user.b") == "removexattr: ENODATA");
  CHECK(set(mount / "f", "user.lakefs.checksum", "mine") == "setxattr: EPERM");
  CHECK(remove(mount / "f", "user.lakefs.checksum") == "removexattr: EPERM");
  CHECK(set(mount / "f", "user.lakefuse-nonce", "mine") == "setxattr: EPERM");
  if (::geteuid() == 0) CHECK(set(mount / "f", "trusted.a", "1") == "setxattr: EOPNOTSUPP");
  CHECK(set(mount / "f", "user." + std::string(250, 'n'), "long") == kOk);
  CHECK(attribute(mount / "f", "user." + std::string(250, 'n')) == "long");
  CHECK(set(mount / "f", "user." + std::string(251, 'n'), "longer") == "setxattr: ERANGE");

  // Where Linux gives no user.* attributes, none are listed.
  REQUIRE(::symlink("f", (mount / "link").c_str()) == 0);
  CHECK(::llistxattr((mount / "link").c_str(), nullptr, 0) == 0);

  char one = 0;
  CHECK(::getxattr((mount / "f").c_str(), "user.a", nullptr, 0) == 1);
  CHECK(::getxattr((mount / "f").c_str(), "user.a", &one, 1) == 1);
  CHECK(set(mount / "f", "user.a", "33") == kOk);
  CHECK(::getxattr((mount / "f").c_str(), "user.a", &one, 1) == -1);
  CHECK(errno == ERANGE);
  CHECK(::listxattr((mount / "f").c_str(), &one, 1) == -1);
  CHECK(errno == ERANGE);
}

TEST_CASE("xattrs: what other tools keep beside them stays as it is when the mode changes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.server().put_object(lake.repository(), "main", "f", "F",
                           {.metadata = {{"naïve key", " spaces "}, {"X-Amz-Meta-a", "b"}}});
  Mounted mount(lake);
  CHECK(attribute(mount / "f", "user.naïve key") == " spaces ");
  REQUIRE(::chmod((mount / "f").c_str(), 0600) == 0);
  const auto metadata = lake.stat("f")->metadata;
  CHECK(metadata.at("naïve key") == " spaces ");
  CHECK(metadata.at("X-Amz-Meta-a") == "b");
}
