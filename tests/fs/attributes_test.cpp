#include "fs/attributes.h"

#include <doctest/doctest.h>

#include <cstdint>

using namespace lakefuse;

TEST_CASE("attributes: a read moves an access time that is a day old, and none of any day to come") {
  Attributes attributes;
  for (const std::int64_t future : {std::int64_t{4'000'000'000}, INT64_MAX}) {
    attributes.atime = {future, 0};
    note_access(attributes);
    CHECK(attributes.atime.tv_sec == future);
  }
  attributes.atime = {1, 0};
  note_access(attributes);
  CHECK(attributes.atime.tv_sec > 1);
}
