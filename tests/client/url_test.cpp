#include "client/url.h"

#include <doctest/doctest.h>

#include <string>

namespace lakefuse::test {

TEST_CASE("url: scheme, host, port and target are told apart") {
  const auto plain = parse_url("http://Lake.Example:8000/api/v1?x=1#top").value();
  CHECK_FALSE(plain.origin.tls);
  CHECK(plain.origin.host == "lake.example");
  CHECK(plain.origin.port == 8000);
  CHECK(plain.target == "/api/v1?x=1");

  const auto bare = parse_url("https://lake.example").value();
  CHECK(bare.origin.tls);
  CHECK(bare.origin.port == 443);
  CHECK(bare.target == "/");

  const auto query_only = parse_url("https://lake.example?x=/").value();
  CHECK(query_only.target == "/?x=/");

  const auto v6 = parse_url("http://[::1]:8000/x").value();
  CHECK(v6.origin.host == "::1");
  CHECK(host_header(v6.origin) == "[::1]:8000");
  CHECK(to_string(bare.origin) == "https://lake.example");
}

TEST_CASE("url: a presigned URL's target is sent as it came, for it is signed") {
  const std::string target =
      "/b/ns/data/x%2Cy?X-Amz-Signature=ab%2Fc&response-content-disposition=attachment%3B";
  CHECK(parse_url("http://store" + target)->target == target);
}

TEST_CASE("url: what is no http URL is refused, and the refusal does not repeat it") {
  for (const std::string bad :
       {"", "lake.example", "ftp://lake.example/", "http://", "http://:80/", "http://user:hunter2@lake/",
        "http://a b/", "http://lake/hunter2 x", "http://lake/a\r\nX: y", "http://lake:0/",
        "http://lake:99999/", "http://lake:8o/", "http://[::1/", "http://[lake]/", "http://[::1]x/",
        "http://la\xC3\xA9ke/", "file:///etc/passwd"}) {
    CAPTURE(bad);
    const auto url = parse_url(bad);
    REQUIRE_FALSE(url);
    CHECK(url.error().code == Errc::kInvalid);
    CHECK(url.error().message.find("hunter2") == std::string::npos);
  }
  CHECK_FALSE(parse_url("http://lake/" + std::string(100'000, 'x')));
}

TEST_CASE("url: encoding leaves only unreserved characters, and decoding gives back every byte") {
  CHECK(percent_encode("a-b_c.d~e") == "a-b_c.d~e");
  CHECK(percent_encode("a+b c;d/e") == "a%2Bb%20c%3Bd%2Fe");
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  CHECK(percent_decode(percent_encode(all)).value() == all);
  CHECK(percent_decode("a+b").value() == "a+b");
  CHECK_FALSE(percent_decode("50%"));
  CHECK_FALSE(percent_decode("%2"));
  CHECK_FALSE(percent_decode("%zz"));
}

}  // namespace lakefuse::test
