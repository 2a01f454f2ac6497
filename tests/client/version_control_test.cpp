#include "client/version_control.h"

#include <doctest/doctest.h>

#include "client/wire.h"

namespace lakefuse::test {

TEST_CASE("version: ages compare, and a build without a number counts as newest") {
  CHECK(wire::parse_version("1.70.3").is_older_than(1, 71));
  CHECK_FALSE(wire::parse_version("1.71.0").is_older_than(1, 71));
  CHECK_FALSE(wire::parse_version("1.84.0").is_older_than(1, 71));
  CHECK(wire::parse_version("0.113.0").is_older_than(1, 0));
  CHECK(wire::parse_version("v1.42").is_older_than(1, 43));
  for (const char* odd : {"dev-71a45ee", "", "1", "x.y", "99999999999999999999.1"}) {
    CAPTURE(odd);
    CHECK_FALSE(wire::parse_version(odd).is_older_than(1, 71));
  }
}

TEST_CASE("protection rule: a glob covers what lakeFS says that it covers") {
  CHECK(rule_covers("main", "main"));
  CHECK_FALSE(rule_covers("main", "main2"));
  CHECK(rule_covers("*", "anything"));
  CHECK(rule_covers("release-*", "release-1"));
  CHECK(rule_covers("release-*", "release-"));
  CHECK_FALSE(rule_covers("release-*", "release"));
  CHECK(rule_covers("v?_*x", "v1_abcx"));
  CHECK(rule_covers("{main,prod-*}", "prod-eu"));
  CHECK_FALSE(rule_covers("{main,prod-*}", "dev"));
  CHECK(rule_covers("a{b{c,d},e}f", "abdf"));
  CHECK(rule_covers("rel[0-9]", "rel7"));
  CHECK_FALSE(rule_covers("rel[!0-9]", "rel7"));
  CHECK(rule_covers("a\\*", "a*"));
  CHECK_FALSE(rule_covers("a\\*", "ab"));
  CHECK(rule_covers("{open", "{open"));
  CHECK(rule_covers("[open", "[open"));
}

TEST_CASE("protection rule: a hostile pattern costs neither minutes nor memory") {
  std::string stars, braces;
  for (int i = 0; i < 2'000; ++i) stars += "*a";
  for (int i = 0; i < 64; ++i) braces += "{a,b}";
  CHECK_FALSE(rule_covers(stars, std::string(1'000, 'a') + "b"));
  CHECK_FALSE(rule_covers(stars.substr(0, 1'000), std::string(1'000, 'a') + "b"));
  CHECK(rule_covers(braces, std::string(64, 'a')));
  CHECK_FALSE(rule_covers(std::string(500, '{') + std::string(500, '}'), "x"));
}

}  // namespace lakefuse::test
