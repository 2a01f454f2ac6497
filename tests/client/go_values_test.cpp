#include "client/go_values.h"

#include <doctest/doctest.h>

namespace lakefuse::test {

using namespace std::chrono_literals;

TEST_CASE("go values: durations as Go writes them") {
  CHECK(parse_go_duration("200ms") == 200ms);
  CHECK(parse_go_duration("1.5s") == 1500ms);
  CHECK(parse_go_duration("1h2m3s4ms") == 1h + 2min + 3s + 4ms);
  CHECK(parse_go_duration("30s") == 30s);
  CHECK(parse_go_duration("0") == 0ms);
  CHECK(parse_go_duration("1us") == 1ms);  // Rounded up: 0 would mean at once.
  for (const char* none : {"", "200", "s", "-1s", "1 s", "1s ", "1e3s", "nan", "inf", "1d", "99999999h"}) {
    CAPTURE(none);
    CHECK_FALSE(parse_go_duration(none));
  }
}

TEST_CASE("go values: booleans as Go reads them") {
  for (const char* yes : {"1", "t", "T", "true", "True", "TRUE"}) CHECK(parse_go_bool(yes) == true);
  for (const char* no : {"0", "f", "F", "false", "False", "FALSE"}) CHECK(parse_go_bool(no) == false);
  for (const char* none : {"", "yes", "off", "tRUE", "2"}) CHECK_FALSE(parse_go_bool(none));
}

}  // namespace lakefuse::test
