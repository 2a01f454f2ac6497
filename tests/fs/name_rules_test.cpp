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

TEST_CASE("name rules: what rsync, zip, sed, emacs and Python drew is temporary, and words are not") {
  const NameRules rules = defaults();
  for (const char* drawn : {".data.csv.aB3xY9", ".notes.Ab12cD", "ziA1b2C3", "sedYz0aQb", "tmpnlqvXG",
                            "tmp8wf_0kzq", ".artifact.uploading.4zg2didj"}) {
    CAPTURE(drawn);
    CHECK(rules.is_temporary(drawn, true));
    CHECK_FALSE(rules.is_temporary(drawn, false));
  }
  for (const char* word :
       {".eslintrc.config", ".cargo.BACKUP", ".log.202611", ".a.b", ".gitignore", ".app.settings",
        ".log.20261128", ".4zg2didj", "zipcodes", "sedation", "ziABCDEF", "aB3xY9", ".aB3xY9", "tmpdir",
        "tmpfolder", "tmpdirectory", "tmp20261127", "tmp8WF_0KZQ", "tmp8wf_0kzq1"}) {
    CAPTURE(word);
    CHECK_FALSE(rules.is_temporary(word, true));
  }
}

TEST_CASE("name rules: what editors and tools were seen to write on their way to a file is known") {
  const NameRules rules = defaults();
  for (const char* temporary : {"notes~", "4913", ".goutputstream-ZSOFZ3", "lu58801by71.tmp",
                                "settings.json.vsctmp", ".~report.ipynb", "tmp_obj_Ab12Cd", "h.csv._COPYING_",
                                ".h.csv._COPYING_.crc", "13fbe33c.40c0b0d2.incomplete"}) {
    CAPTURE(temporary);
    CHECK(rules.is_temporary(temporary, false));
    CHECK_FALSE(rules.is_local(temporary));
  }
  for (const char* litter : {"d/.notes.swp", "d/.notes.swx", ".notes.swpx", "d/.#notes", "#notes#",
                             "d/.ipynb_checkpoints/report-checkpoint.ipynb"}) {
    CAPTURE(litter);
    CHECK(rules.is_local(litter));
  }
  for (const char* claimed : {".~lock.report.odt#", "index.lock"}) {
    CAPTURE(claimed);
    CHECK(rules.is_claimed(claimed));
    CHECK_FALSE(rules.is_local(claimed));
  }
  // Of Spark and Hadoop, whose results these are.
  for (const char* lasting :
       {"_SUCCESS", "._SUCCESS.crc", ".part-00000-4711-c000.snappy.parquet.crc", "_temporary",
        ".spark-staging-4711", "attempt_2026_0000_m_000000_0", "report.odt", "notes.orig"}) {
    CAPTURE(lasting);
    CHECK_FALSE(rules.is_temporary(lasting, true));
    CHECK_FALSE(rules.is_local(lasting));
    CHECK_FALSE(rules.is_local_directory(lasting));
  }
}

}  // namespace lakefuse::test
