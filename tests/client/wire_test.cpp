#include "client/wire.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <string>

namespace lakefuse::test {
namespace {

const std::string kObject =
    R"({"path":"a.txt","path_type":"object","physical_address":"s3://b/ns/data/x",)"
    R"("checksum":"5d41","size_bytes":5,"mtime":1234567890,"content_type":"text/plain",)"
    R"("metadata":{"k":"v"}})";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

std::string entry(const std::string& path) {
  return replaced(kObject, "a.txt", path);
}
std::string prefix(const std::string& path) {
  return R"({"path":")" + path +
         R"(","path_type":"common_prefix","physical_address":"","checksum":"","mtime":0})";
}

std::string page(const std::string& results, bool has_more = false, const std::string& next = "") {
  return R"({"pagination":{"has_more":)" + std::string(has_more ? "true" : "false") +
         R"(,"max_per_page":1000,"results":1,)" + R"("next_offset":")" + next + R"("},"results":[)" +
         results + "]}";
}

Errc list_failure(const std::string& body, const ListRequest& request = {}) {
  const auto list = wire::parse_list(body, request);
  REQUIRE_FALSE(list);
  return list.error().code;
}

}  // namespace

TEST_CASE("wire: where the next page begins is told before the page is taken apart, or not at all") {
  CHECK(wire::guess_next(page(entry("a"), true, R"(a \"b\")")) == R"(a "b")");
  CHECK(wire::guess_next(R"({"results":[],"pagination":{"has_more":true,"next_offset":"z"}})") == "z");
  // A name may say so, too.
  const std::string name = R"(\"pagination\":{\"has_more\":true,\"next_offset\":\"q\"})";
  CHECK(wire::guess_next(R"({"results":[{"path":")" + name + R"("}]})") == std::nullopt);
  for (const std::string nothing :
       {"", R"({"pagination":)", R"({"pagination":7})", R"({"pagination":{"has_more":true})",
        R"({"pagination":{"has_more":true}})", R"({"pagination":{"has_more":true,"next_offset":1}})",
        R"({"pagination":{"has_more":true,"next_offset":")"
        "\xEF\xBF\xBD"
        R"("}})"}) {
    CAPTURE(nothing);
    CHECK(wire::guess_next(nothing) == std::nullopt);
  }
  CHECK(wire::guess_next(page(entry("a"))) == std::nullopt);
  CHECK(wire::guess_next(R"({"pagination":)" + std::string(1000, '[')) == std::nullopt);
}

TEST_CASE("wire: an object is read whole") {
  const auto object = wire::parse_object(kObject)->object;
  CHECK(object.path == "a.txt");
  CHECK(object.physical_address == "s3://b/ns/data/x");
  CHECK(object.checksum == "5d41");
  CHECK(object.size_bytes == 5);
  CHECK(object.mtime_seconds == 1234567890);
  CHECK(object.content_type == "text/plain");
  CHECK(object.metadata == Metadata{{"k", "v"}});
  CHECK(wire::parse_object(replaced(kObject, R"("metadata":{"k":"v"})", R"("metadata":null)"))
            ->object.metadata.empty());
}

TEST_CASE("wire: when an address expires is a time that can be reckoned with") {
  for (const auto& [said, believed] : {std::pair<std::string, std::int64_t>{"1700000000", 1'700'000'000},
                                       {"9223372036854775807", 253'402'300'799},
                                       {"-9223372036854775808", 0}}) {
    CAPTURE(said);
    const std::string with = R"("size_bytes":5,"physical_address_expiry":)" + said;
    CHECK(wire::parse_object(replaced(kObject, R"("size_bytes":5)", with))->address_expiry == believed);
  }
}

TEST_CASE("wire: an object with anything missing, of the wrong type or out of range is not believed") {
  const std::pair<std::string, std::string> spoilt[] = {
      {R"("size_bytes":5)", R"("size_bytes":-1)"},
      {R"("size_bytes":5)", R"("size_bytes":"5")"},
      {R"("size_bytes":5)", R"("size_bytes":5.5)"},
      {R"("size_bytes":5)", R"("size_bytes":99999999999999999999)"},
      {R"("size_bytes":5)", R"("size_bytes":18446744073709551615)"},
      {R"("size_bytes":5,)", ""},
      {R"("size_bytes":5)", R"("size_bytes":null)"},
      {R"("mtime":1234567890)", R"("mtime":"now")"},
      {R"("mtime":1234567890)", R"("mtime":1e400)"},
      {R"("path":"a.txt")", R"("path":["a.txt"])"},
      {R"("physical_address":"s3://b/ns/data/x")", R"("physical_address":"")"},
      {R"("checksum":"5d41",)", ""},
      {R"("content_type":"text/plain")", R"("content_type":7)"},
      {R"({"k":"v"})", R"({"k":1})"},
      {R"({"k":"v"})", R"(["k"])"},
  };
  for (const auto& [what, with] : spoilt) {
    CAPTURE(with);
    const auto object = wire::parse_object(replaced(kObject, what, with));
    REQUIRE_FALSE(object);
    CHECK(object.error().code == Errc::kUntrustworthy);
  }
}

TEST_CASE("wire: what is no JSON, or JSON meant to hurt, is refused by every parser") {
  std::string deep(100'000, '[');
  for (const std::string& body :
       {std::string(), std::string("nonsense"), std::string("[1,2"), std::string("{}"), std::string("[]"),
        std::string("null"), std::string("7"), std::string("\"text\""), std::string("\0\0", 2), deep,
        std::string("{\"a\":") + deep, std::string(R"({"results":7,"pagination":7})"),
        std::string(R"({"results":[7],"pagination":{"has_more":false}})"),
        std::string(R"({"results":[[]],"pagination":{"has_more":1}})")}) {
    CAPTURE(body.substr(0, 60));
    CHECK_FALSE(wire::parse_object(body));
    CHECK_FALSE(wire::parse_list(body, {}));
    CHECK_FALSE(wire::parse_diff(body, ""));
    CHECK_FALSE(wire::parse_upload_target(body));
    CHECK_FALSE(wire::parse_config(body));
    CHECK_FALSE(wire::parse_repository(body));
    CHECK_FALSE(wire::parse_branch_head(body));
    CHECK_FALSE(wire::parse_commit(body));
    CHECK_FALSE(wire::parse_commit_log(body));
    if (body != "[]") CHECK_FALSE(wire::parse_protection_rules(body));
    if (body != "{}" && !body.starts_with(R"({"r)")) CHECK_FALSE(wire::parse_delete_failure(body));
    (void)wire::parse_error(body);
  }
}

TEST_CASE("wire: a listing keeps the server's order of objects and prefixes") {
  const auto list = wire::parse_list(
      page(entry("a-b") + "," + entry("a.txt") + "," + prefix("a/") + "," + entry("a0"), true, "a0"), {});
  REQUIRE(list);
  CHECK(list->entries.size() == 4);
  CHECK(list->entries[2].is_prefix);
  CHECK(list->entries[2].object.path == "a/");
  CHECK(list->has_more);
  CHECK(list->next == "a0");
}

TEST_CASE("wire: a listing that contradicts itself or the request is not believed") {
  CHECK(list_failure(page(entry("b") + "," + entry("a"))) == Errc::kUntrustworthy);
  CHECK(list_failure(page(entry("a") + "," + entry("a"))) == Errc::kUntrustworthy);
  CHECK(list_failure(page(entry("a")), {.prefix = "x/"}) == Errc::kUntrustworthy);
  CHECK(list_failure(page(entry("a")), {.prefix = "", .after = "b"}) == Errc::kUntrustworthy);
  CHECK(list_failure(page(entry("a") + "," + entry("b")), {.amount = 1}) == Errc::kUntrustworthy);
  CHECK(list_failure(page(replaced(entry("a"), R"("object")", R"("symlink")"))) == Errc::kUntrustworthy);
  // Pages that do not advance would be asked for without end.
  CHECK(list_failure(page(entry("c"), true, ""), {.prefix = "", .after = "b"}) == Errc::kUntrustworthy);
  CHECK(list_failure(page(entry("c"), true, "b"), {.prefix = "", .after = "b"}) == Errc::kUntrustworthy);
  CHECK(list_failure(page("", true, "z")) == Errc::kUntrustworthy);
}

TEST_CASE("wire: a prefix in whose middle a page starts may be told again") {
  CHECK(wire::parse_list(page(prefix("d/") + "," + entry("d0")), {.prefix = "", .after = "d/x"}));
}

TEST_CASE("wire: names come out as UTF-8 whatever the server sends, and one bad name hides no page") {
  const auto list =
      wire::parse_list(page(entry("bad\xFF\xC3") + "," + entry("nul\\u0000") + "," + entry("z")), {});
  REQUIRE(list);
  REQUIRE(list->entries.size() == 3);
  CHECK(list->entries[0].object.path == "bad\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(list->entries[1].object.path == std::string("nul\0", 4));
}

TEST_CASE("wire: a page that ends in a name the server cannot say ends at the last good one instead") {
  const auto list =
      wire::parse_list(page(entry("a") + "," + entry("b") + "," + entry("\\ufffd"), true, "\\ufffd"), {});
  REQUIRE(list);
  CHECK(list->entries.size() == 2);
  CHECK(list->next == "b");
}

TEST_CASE("wire: an upload target may have null for a URL") {
  const auto target = wire::parse_upload_target(R"({"physical_address":"s3://b/x","presigned_url":null})");
  CHECK(target->presigned_url.empty());
  CHECK(wire::parse_upload_target(R"({"physical_address":"s3://b/x","presigned_url":"http://u"})")
            ->presigned_url.reveal() == "http://u");
  CHECK_FALSE(wire::parse_upload_target(R"({"physical_address":""})"));
}

TEST_CASE("wire: an error's sentence is found in JSON, in several documents, in plain text") {
  CHECK(wire::parse_error(R"({"message":"not found"})").message == "not found");
  CHECK(wire::parse_error(R"({"message":"first"}{"message":"second"})").message == "first");
  CHECK(wire::parse_error("plain words\n").message == "plain words\n");
  CHECK_FALSE(wire::parse_error("plain words").is_json);
  CHECK(wire::parse_error("<html>secret</html>").message.find("secret") == std::string::npos);
  CHECK(wire::parse_error(R"({"message":7})").message.empty());
}

TEST_CASE("wire: the first failure of a batch delete is told") {
  CHECK_FALSE(wire::parse_delete_failure(R"({"errors":[]})")->has_value());
  const auto failure = wire::parse_delete_failure(
      R"({"errors":[{"path":"d/x","status_code":403,"message":"cannot write to protected branch"}]})");
  CHECK((*failure)->path == "d/x");
  CHECK((*failure)->status == 403);
  CHECK((*wire::parse_delete_failure(R"({"errors":[{"status_code":-7}]})"))->status == 500);
}

TEST_CASE("wire: what is sent survives quotes, backslashes and line breaks") {
  EntryMeta meta{0, "", {{"::lakefs::symlink-target", "a\"b\\c\nd"}}};
  const std::string body = wire::link_body({"s3://b/x", "c", 5}, meta);
  CHECK(body.find(R"("::lakefs::symlink-target":"a\"b\\c\nd")") != std::string::npos);
  CHECK(body.find("mtime") == std::string::npos);
  CHECK(wire::link_body({"s3://b/x", "c", 5}, {7, "", {}}).find(R"("mtime":7)") != std::string::npos);
}

TEST_CASE("wire: a configuration with several stores names each") {
  const std::string store = R"({"blockstore_type":"s3","pre_sign_support":true,"blockstore_id":"two"})";
  const auto config = wire::parse_config(R"({"version_config":{"version":"1.84.0"},"storage_config":)" +
                                         store + R"(,"storage_config_list":[)" + store + "]}");
  CHECK(config->version.minor == 84);
  CHECK(config->list.at(0).id == "two");
  CHECK(config->list.at(0).facts.can_presign);
  CHECK_FALSE(config->list.at(0).facts.can_presign_multipart);
}

TEST_CASE("F4: wire: an answer of many small values takes no more memory than one of large ones") {
  const auto peak_of_memory = [] {
    rusage usage{};
    REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
  };
  std::string body = R"({"pagination":{"has_more":false},"results":[0)";
  for (int n = 0; n < 10'000'000; ++n) body += ",0";
  body += "]}";
  const auto before = peak_of_memory();
  const auto list = wire::parse_list(body, {});
  REQUIRE_FALSE(list.has_value());
  CHECK(list.error().code == Errc::kUntrustworthy);
  CHECK_FALSE(wire::guess_next(body));
  CHECK(peak_of_memory() - before < 100 << 10);  // KiB.
}

}  // namespace lakefuse::test
