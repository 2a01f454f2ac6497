#include "fs/name_rules.h"

#include <doctest/doctest.h>

#include "fs/filesystem.h"

namespace lakefuse::test {
namespace {

NameRules defaults() {
  FilesystemOptions options;
  options.claim_names = default_claim_names();
  options.temporary_names = default_temporary_names();
  options.local_names = default_local_names();
  return NameRules(options);
}

}  // namespace

TEST_CASE("name rules: names of rsync, zip and sed are temporary where they were drawn, and words are not") {
  const NameRules rules = defaults();
  for (const char* drawn : {".data.csv.aB3xY9", ".notes.Ab12cD", "ziA1b2C3", "sedYz0aQb"}) {
    CAPTURE(drawn);
    CHECK(rules.is_temporary(drawn, true));
    CHECK_FALSE(rules.is_temporary(drawn, false));
  }
  for (const char* word : {".eslintrc.config", ".cargo.BACKUP", ".log.202611", ".a.b", ".gitignore",
                           "zipcodes", "sedation", "ziABCDEF", "aB3xY9", ".aB3xY9"}) {
    CAPTURE(word);
    CHECK_FALSE(rules.is_temporary(word, true));
  }
}

}  // namespace lakefuse::test
