// What has no bytes: fifos, sockets and devices, and symlinks under names that say what becomes of them.

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;

namespace {

namespace stdfs = std::filesystem;
using Names = std::vector<std::string>;

Outcome make_node(const stdfs::path& path, mode_t mode, dev_t device = 0) {
  return outcome("mknod", ::mknod(path.c_str(), mode, device) == 0 ? 0 : errno);
}

Outcome make_symlink(const std::string& target, const stdfs::path& path) {
  return outcome("symlink", ::symlink(target.c_str(), path.c_str()) == 0 ? 0 : errno);
}

}  // namespace

TEST_CASE("special files: a fifo joins two programs, and is one after a remount and a rename") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(make_node(mount / "pipe", S_IFIFO | 0600) == kOk);
  CHECK(::chmod((mount / "pipe").c_str(), 0640) == 0);
  CHECK(make_node(mount / "pipe", S_IFIFO | 0640) == "mknod: EEXIST");
  CHECK(facts_of(mount / "pipe").st_mode == (S_IFIFO | 0640));
  const auto object = lake.stat("pipe");
  REQUIRE(object);
  CHECK(object->size_bytes == 0);
  CHECK(object->metadata.at("::lakefs::posix-permissions").find("\"Mode\":4512") != std::string::npos);
  mount.remount();
  CHECK(rename_file(mount / "pipe", mount / "moved") == kOk);
  CHECK(facts_of(mount / "moved").st_mode == (S_IFIFO | 0640));
  CHECK(::chmod((mount / "moved").c_str(), 0600) == 0);
  mount.remount();
  CHECK(facts_of(mount / "moved").st_mode == (S_IFIFO | 0600));
  OpenFile both(mount / "moved", O_RDWR);  // So that neither end waits for the other.
  CHECK(write_file(mount / "moved", "through", 0) == kOk);
  char bytes[16];
  CHECK(::read(both.fd(), bytes, sizeof bytes) == 7);
  CHECK(std::string(bytes, 7) == "through");
  CHECK(both.close() == kOk);
  CHECK(remove_file(mount / "moved") == kOk);
  CHECK(lake.keys().empty());
}

TEST_CASE("special files: a program listens on a socket in the mount") {
  TestLake lake;
  Mounted mount(lake);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = mount / "s";
  REQUIRE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  ::close(client);
  ::close(listener);
  CHECK(S_ISSOCK(facts_of(mount / "s").st_mode));
  for (const auto& entry : stdfs::directory_iterator(mount.at())) CHECK(entry.is_socket());
}

TEST_CASE("special files: root makes devices, whose numbers are kept") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root makes devices");
    return;
  }
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(make_node(mount / "null", S_IFCHR | 0666, ::makedev(1, 3)) == kOk);
  REQUIRE(make_node(mount / "disk", S_IFBLK | 0600, ::makedev(259, 70'000)) == kOk);
  for (int times = 0; times < 2; ++times) {
    CHECK(S_ISCHR(facts_of(mount / "null").st_mode));
    CHECK(facts_of(mount / "null").st_rdev == ::makedev(1, 3));
    CHECK(S_ISBLK(facts_of(mount / "disk").st_mode));
    CHECK(facts_of(mount / "disk").st_rdev == ::makedev(259, 70'000));
    mount.remount();
  }
}

TEST_CASE("special files: an object that holds bytes is a file, whatever its mode says") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.server().put_object(lake.repository(), "main", "f", "bytes",
                           {.metadata = {{"::lakefs::posix-permissions", R"({"Mode":4516})"}}});
  Mounted mount(lake);
  CHECK(facts_of(mount / "f").st_mode == (S_IFREG | 0644));
  CHECK(read_file(mount / "f") == "bytes");
}

TEST_CASE("special files: what another client makes of a name is another file") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--metadata-ttl", "0s"}});
  REQUIRE(write_file(mount / "f", "") == kOk);
  const auto before = facts_of(mount / "f");
  Mounted other(lake);
  REQUIRE(remove_file(other / "f") == kOk);
  REQUIRE(make_symlink("elsewhere", other / "f") == kOk);
  CHECK(S_ISREG(before.st_mode));
  CHECK(S_ISLNK(facts_of(mount / "f").st_mode));
  CHECK(stdfs::read_symlink(mount / "f") == "elsewhere");
}

TEST_CASE("W9: a symlink that is litter stays here, and a temporary one goes to the lake by its rename") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--temporary-age", "10m"}});
  REQUIRE(make_symlink("me@host.1:2", mount / ".#notes.txt") == kOk);  // emacs's lock.
  CHECK(make_symlink("you@host.3:4", mount / ".#notes.txt") == "symlink: EEXIST");
  CHECK(stdfs::read_symlink(mount / ".#notes.txt") == "me@host.1:2");
  REQUIRE(make_symlink("v2", mount / "current.tmp") == kOk);
  CHECK(lake.keys().empty());
  CHECK(names_in(mount.at()) == Names{".#notes.txt", "current.tmp"});
  CHECK(rename_file(mount / "current.tmp", mount / "current") == kOk);
  REQUIRE(lake.stat("current"));
  CHECK(lake.stat("current")->metadata.at("::lakefs::symlink-target") == "v2");
  mount.remount();
  CHECK(stdfs::read_symlink(mount / ".#notes.txt") == "me@host.1:2");
  CHECK(stdfs::read_symlink(mount / "current") == "v2");
  CHECK(remove_file(mount / ".#notes.txt") == kOk);
  CHECK(lake.keys() == Names{"current"});
}

TEST_CASE("special files: a name or a symlink's target that is not UTF-8 is EILSEQ, and nothing is made") {
  TestLake lake;
  Mounted mount(lake);
  errno = 0;
  CHECK(::symlink("caf\xe9", (mount / "link").c_str()) == -1);
  CHECK(errno_name(errno) == "EILSEQ");
  CHECK(write_file(mount / "caf\xe9", "x") == "open: EILSEQ");
  CHECK(make_directory(mount / "caf\xe9") == "mkdir: EILSEQ");
  CHECK(names_in(mount.at()).empty());
  CHECK(lake.keys().empty());
}

TEST_CASE("special files: what could not be made leaves nothing to wait for") {
  TestLake lake;
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  CHECK(look(mount / "link") == "stat: ENOENT");
  lake.put("link", "theirs");  // Made by another client since we looked.
  CHECK(make_symlink("target", mount / "link") == "symlink: EEXIST");
  CHECK(make_node(mount / "link", S_IFREG | 0644) == "mknod: EEXIST");
  CHECK(mount.pending().empty());
  CHECK(read_file(mount / "link") == "theirs");
}
