#include <doctest/doctest.h>

#include "client/config.h"

namespace lakefuse::test {

TEST_CASE("lake uri: repository, ref and prefix") {
  const auto bare = parse_lake_uri("lakefs://repo/main").value();
  CHECK(bare.repository == "repo");
  CHECK(bare.ref == "main");
  CHECK(bare.prefix.empty());
  CHECK(parse_lake_uri("lakefs://repo/main/")->prefix.empty());
  CHECK(parse_lake_uri("lakefs://repo/main/a/b")->prefix == "a/b/");
  CHECK(parse_lake_uri("lakefs://repo/main~2/a/")->prefix == "a/");
  CHECK(parse_lake_uri("lakefs://repo/main~2/a/")->ref == "main~2");
  CHECK(parse_lake_uri("lakefs://repo/main@")->ref == "main@");
}

TEST_CASE("lake uri: percent-encoded characters are decoded as lakectl does") {
  CHECK(parse_lake_uri("lakefs://repo/main/50%25%20of%20%3F%23/x+y")->prefix == "50% of ?#/x+y/");
  CHECK(parse_lake_uri("lakefs://repo/main/\xC3\xA9")->prefix == "\xC3\xA9/");
}

TEST_CASE("lake uri: what is none is told why") {
  for (const std::string bad :
       {"", "repo/main", "s3://repo/main", "lakefs://", "lakefs://repo", "lakefs://repo/",
        "lakefs://Repo/main", "lakefs://r/main", "lakefs:///main", "lakefs://repo//x", "lakefs://repo/a b",
        "lakefs://repo/main/50%", "lakefs://repo/main/what?", "lakefs://repo/main/#1", "lakefs://re%70o/main",
        "lakefs://repo/main/%FF"}) {
    CAPTURE(bad);
    const auto uri = parse_lake_uri(bad);
    REQUIRE_FALSE(uri);
    CHECK_FALSE(uri.error().message.empty());
  }
  CHECK(parse_lake_uri("lakefs://repo/main/" + std::string(1'030, 'x')).error().code == Errc::kNameTooLong);
}

}  // namespace lakefuse::test
