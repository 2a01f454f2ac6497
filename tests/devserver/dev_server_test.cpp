// The server as a whole: what play.py cannot see.
#include "tests/devserver/dev_server.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "tests/devserver/raw_client.h"

namespace lakefuse::test::devserver {
namespace {

struct ScratchData {
  ScratchData() {
    std::string name = (std::filesystem::temp_directory_path() / "devserver-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~ScratchData() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

TEST_CASE("the log names each call and counts it") {
  ServedLake lake;
  CHECK(lake.client.publish("a", "hello").status == 200);
  CHECK(lake.client.stat("a").status == 200);
  CHECK(lake.server.wait_for("stat_object", 1));
  const std::map<std::string, std::size_t> expected{
      {"get_physical_address", 1}, {"store_put", 1}, {"link_physical_address", 1}, {"stat_object", 1}};
  CHECK(lake.server.counts() == expected);
  const Call put = lake.server.calls("store_put").at(0);
  CHECK(put.bytes_in == 5);
  CHECK(put.status == 200);
  CHECK(put.headers.count("authorization") == 0);
  CHECK(lake.client.send("GET", "/_dev/counts").body.find("\"store_put\":1") != std::string::npos);
  CHECK(lake.client.send("GET", "/_dev/log").body.find("Signature") == std::string::npos);
  CHECK(lake.client.send("DELETE", "/_dev/log").status == 204);
  CHECK(lake.server.count() == 0);
}

TEST_CASE("five ways in: Basic, Bearer, three cookies; a bad one is refused, and none too") {
  ServedLake lake;
  const RawAnswer login =
      lake.client.send_json("POST", "/auth/login",
                            json::object{{"access_key_id", lake.server.access_key_id()},
                                         {"secret_access_key", lake.server.secret_access_key()}});
  CHECK(login.status == 200);
  const std::string token = login.text("token");
  const auto status_with = [&](const std::string& header, const std::string& value) {
    return lake.client.send("GET", "/config", {{header, value}}).status;
  };
  CHECK(lake.client.send("GET", "/config").status == 200);
  CHECK(status_with("Authorization", "Bearer " + token) == 200);
  CHECK(status_with("Authorization", "Bearer " + token + "x") == 401);
  CHECK(status_with("Authorization", "") == 401);
  for (const std::string name : {"internal_auth_session", "oidc_auth_session", "saml_auth_session"}) {
    CHECK(status_with("Cookie", "other=1; " + name + "=" + token) == 200);
    CHECK(status_with("Cookie", name + "=nonsense") == 401);
  }
  const std::string brief = lake.server.issue_token(std::chrono::seconds(60));
  CHECK(status_with("Authorization", "Bearer " + brief) == 200);
  lake.server.set_clock_offset(std::chrono::seconds(61));
  CHECK(status_with("Authorization", "Bearer " + brief) == 401);
}

TEST_CASE("the same lake is there after a restart") {
  ScratchData scratch;
  DevServerOptions options;
  options.data = scratch.path;
  std::string committed;
  {
    ServedLake lake(options);
    CHECK(lake.client.publish("a", "hello").status == 200);
    committed = lake.server.commit("lake", "main");
    CHECK(lake.client.publish("b", std::string(3 << 20, 'b')).status == 200);
    lake.server.put_object("lake", "main", "weird \xff\n", "w");
    lake.server.create_branch("lake", "dev");
    lake.server.create_tag("lake", "v1", "main");
    lake.server.protect("lake", "dev");
    lake.server.delete_object("lake", "main", "a");
  }
  DevServer again(options);
  CHECK(again.head("lake", "main") == committed);
  CHECK(again.read_object("lake", "v1", "a") == "hello");
  CHECK_FALSE(again.stat("lake", "main", "a"));
  CHECK(again.read_object("lake", "main", "b") == std::string(3 << 20, 'b'));
  CHECK(again.read_object("lake", "main", "weird \xff\n") == "w");
  CHECK(again.uncommitted("lake", "main") == std::vector<std::string>{"a", "b", "weird \xff\n"});
  CHECK(RawClient(again).send("DELETE", "/repositories/lake/branches/dev/objects?path=a").status == 403);
  CHECK_THROWS_AS(again.create_repository("lake"), std::runtime_error);
}

TEST_CASE("a stopped server refuses whoever calls, and keeps its port for its return") {
  ServedLake lake;
  lake.server.stop();
  CHECK(lake.client.send("GET", "/config").status == 0);

  const std::string origin = lake.server.endpoint();
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(std::stoi(origin.substr(origin.rfind(':') + 1))));
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int other = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(::bind(other, reinterpret_cast<const sockaddr*>(&where), sizeof where) == -1);
  CHECK(errno == EADDRINUSE);
  ::close(other);

  lake.server.start();
  CHECK(lake.client.send("GET", "/config").status == 200);
}

TEST_CASE("a server killed in the middle of a line loses that line only") {
  ScratchData scratch;
  DevServerOptions options;
  options.data = scratch.path;
  {
    ServedLake lake(options);
    lake.server.put_object("lake", "main", "a", "1");
  }
  const std::filesystem::path journal = scratch.path / "journal.jsonl";
  {
    DevServer server(options);
    server.put_object("lake", "main", "b", "2");
  }
  std::filesystem::resize_file(journal, std::filesystem::file_size(journal) - 5);
  {
    DevServer server(options);
    CHECK(server.list_keys("lake", "main") == std::vector<std::string>{"a"});
    server.put_object("lake", "main", "c", "3");
  }
  DevServer server(options);
  CHECK(server.list_keys("lake", "main") == std::vector<std::string>{"a", "c"});
}

TEST_CASE("the store checks what it is sent") {
  ServedLake lake;
  const std::string url = lake.client.address("a").text("presigned_url");
  const auto put = [&](const std::map<std::string, std::string>& headers, const std::string& body) {
    return lake.client.send("PUT", url, headers, body);
  };
  CHECK(put({{"Content-MD5", base64(md5("hello"))}}, "hello").status == 200);
  CHECK(put({{"Content-MD5", base64(md5("hello"))}}, "jello").body.find("BadDigest") != std::string::npos);
  CHECK(put({{"Content-MD5", "nonsense"}}, "hello").body.find("InvalidDigest") != std::string::npos);
  CHECK(put({{"If-None-Match", "*"}}, "other").status == 412);
  CHECK(put({{"Transfer-Encoding", "chunked"}}, "5\r\nhello\r\n0\r\n\r\n").status == 501);
  CHECK(lake.client.send("GET", url).status == 403);  // Signed for PUT.
  lake.client.link("a", lake.client.address("a").text("physical_address"), "hello");
}

TEST_CASE("the store reads ranges, and refuses another version") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "a", "0123456789");
  const std::string url =
      lake.client.send("GET", "/repositories/lake/refs/main/objects/stat?presign=true&path=a")
          .text("physical_address");
  const auto get = [&](const std::map<std::string, std::string>& headers) {
    return lake.client.send("GET", url, headers);
  };
  CHECK(get({}).body == "0123456789");
  const RawAnswer part = get({{"Range", "bytes=2-4"}});
  CHECK(part.status == 206);
  CHECK(part.body == "234");
  CHECK(part.headers.at("content-range") == "bytes 2-4/10");
  CHECK(get({{"Range", "bytes=-3"}}).body == "789");
  CHECK(get({{"Range", "bytes=10-"}}).status == 416);
  CHECK(get({{"If-Match", "\"" + md5_hex("0123456789") + "\""}}).status == 200);
  CHECK(get({{"If-Match", "\"other\""}}).status == 412);
  const LakeObject object = lake.server.stat("lake", "main", "a").value();
  lake.server.replace_data(object.physical_address, "changed!");
  CHECK(get({{"If-Match", "\"" + object.checksum + "\""}}).status == 412);
  lake.server.remove_data(object.physical_address);
  CHECK(get({}).status == 404);
  CHECK(lake.client.get("a").status == 410);
}

TEST_CASE("an address outside the namespace is linked unchecked; one that is none spoils its listing") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "outside", "bytes", {.physical_address = "s3://elsewhere/import/x"});
  CHECK(lake.client.get("outside").body == "bytes");
  CHECK(lake.client.link("linked", "s3://elsewhere/import/x", "bytes").status == 200);
  CHECK(lake.client.get("linked").body == "bytes");
  CHECK(lake.client.link("bad", "no-address", "bytes").status == 200);
  CHECK(lake.client.stat("bad").status == 500);
  CHECK(lake.client.send("GET", "/repositories/lake/refs/main/objects/ls?prefix=bad").status == 500);
}

TEST_CASE("large bodies go through in pieces, up and down") {
  ServedLake lake;
  std::string bytes(20 << 20, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 24);
  CHECK(lake.client.publish("big", bytes).status == 200);
  const RawAnswer whole = lake.client.get("big");
  CHECK(whole.whole);
  CHECK(whole.body == bytes);
}

TEST_CASE("a part may be copied from an object, and a complete needs its parts") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "source", "0123456789");
  const std::string pm = "/repositories/lake/branches/main/staging/pmpu";
  const RawAnswer made = lake.client.send("POST", pm + "?path=big");
  CHECK(made.status == 201);
  const std::string one = pm + "/" + made.text("upload_id");
  const std::string address = made.text("physical_address");
  const RawAnswer copied = lake.client.send_json(
      "PUT", one + "/parts/1/copy?path=big",
      json::object{{"physical_address", address},
                   {"copy_source",
                    {{"repository", "lake"}, {"ref", "main"}, {"path", "source"}, {"range", "bytes=2-5"}}}});
  CHECK(copied.status == 204);
  const RawAnswer url =
      lake.client.send_json("PUT", one + "/parts/2?path=big", json::object{{"physical_address", address}});
  const RawAnswer put = lake.client.send("PUT", url.text("presigned_url"), {}, "tail");
  CHECK(put.status == 200);
  const auto complete = [&](const std::string& second) {
    const json::array parts{json::object{{"part_number", 1}, {"etag", copied.headers.at("etag")}},
                            json::object{{"part_number", 2}, {"etag", second}}};
    return lake.client
        .send_json("PUT", one + "?path=big", json::object{{"physical_address", address}, {"parts", parts}})
        .status;
  };
  CHECK(complete("\"wrong\"") == 500);
  CHECK(complete(put.headers.at("etag")) == 200);
  CHECK(lake.server.read_object("lake", "main", "big") == "2345tail");
}

TEST_CASE("other processes can ask for faults and gates") {
  ServedLake lake;
  CHECK(lake.client
            .send_json("POST", "/_dev/faults",
                       json::object{{"kind", "status"}, {"operation", "get_config"}, {"status", 503}})
            .status == 201);
  CHECK(lake.client.send("GET", "/config").status == 503);
  CHECK(lake.client.send("GET", "/_dev/faults").body.find("\"fired\":1") != std::string::npos);
  CHECK(lake.client.send_json("POST", "/_dev/faults", json::object{{"kind", "nonsense"}}).status == 400);
  const RawAnswer gate =
      lake.client.send_json("POST", "/_dev/gates", json::object{{"operation", "get_config"}});
  int status = 0;
  std::thread held([&] { status = lake.client.send("GET", "/config").status; });
  while (lake.client.send("GET", "/_dev/gates/" + gate.text("id")).body.find("1") == std::string::npos)
    std::this_thread::yield();
  CHECK(lake.client.send("DELETE", "/_dev/gates/" + gate.text("id")).status == 204);
  held.join();
  CHECK(status == 200);
}

TEST_CASE("real delays take their time, and can be scaled") {
  ServedLake lake;
  lake.server.put_object("lake", "main", "a", "x");
  lake.server.set_latency(10);
  const auto start = std::chrono::steady_clock::now();
  lake.client.stat("a");
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(44));
  const auto before_batch = std::chrono::steady_clock::now();
  const json::array names(1000, "a name of some thirty bytes");
  lake.client.send_json("POST", "/repositories/lake/branches/main/objects/delete",
                        json::object{{"paths", names}});
  CHECK(std::chrono::steady_clock::now() - before_batch >= std::chrono::milliseconds(240));
  lake.server.set_latency(0);
}

TEST_CASE("many clients at once") {
  ServedLake lake;
  std::vector<std::thread> clients;
  std::atomic<int> failed{0};
  for (int c = 0; c < 16; ++c)
    clients.emplace_back([&, c] {
      for (int i = 0; i < 30; ++i) {
        const std::string path = std::to_string(c) + "/" + std::to_string(i);
        if (lake.client.publish(path, path).status != 200 || lake.client.get(path).body != path) ++failed;
        if (i % 10 == 0)
          lake.client.send_json("POST", "/repositories/lake/branches/main/commits",
                                json::object{{"message", "m"}});
      }
    });
  for (std::thread& client : clients) client.join();
  CHECK(failed == 0);
  CHECK(lake.server.list_keys("lake", "main").size() == 16 * 30);
}

}  // namespace
}  // namespace lakefuse::test::devserver
