// Notebooks: a real Jupyter server and a real kernel work on a branch all day. The programs are in
// tests/notebook/; scripts/notebooks fetches what they import.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

namespace stdfs = std::filesystem;

// The interpreter of scripts/notebooks; empty where it was not made.
std::string notebook_python() {
  const char* named = std::getenv("LAKEFUSE_TEST_NOTEBOOK_PYTHON");
  const std::string python = named != nullptr ? named : LAKEFUSE_SOURCE "/build/notebooks/bin/python";
  return stdfs::exists(python) ? python : "";
}

#define NEEDS_NOTEBOOKS()                                                  \
  if (notebook_python().empty()) {                                         \
    MESSAGE("skipped: scripts/notebooks has not fetched Jupyter to here"); \
    return;                                                                \
  }

// A program of tests/notebook/, which may ask the lake and the mount.
void works(TestLake& lake, const Mounted& mount, const std::string& program, Arguments arguments) {
  const ScratchDirectory home;
  arguments.insert(arguments.begin(), {notebook_python(), "-B",
                                       (stdfs::path(LAKEFUSE_SOURCE) / "tests/notebook" / program).string()});
  RunOptions options = mount.environment();
  options.environment["LAKE_REPOSITORY"] =
      lake.client().endpoint() + "/api/v1/repositories/" + lake.repository();
  options.environment["HOME"] = home.path().string();
  options.environment["PATH"] =
      Mounted::program().parent_path().string().append(":").append(std::getenv("PATH"));
  options.patience = 110s;
  const Ran ran = run(arguments, options);
  INFO("stdout: " << ran.out << "\nstderr: " << ran.err);
  CHECK(ran.exit_code == 0);
}

// After a remount each object of the branch is a file of the mount, with the same bytes.
void check_all_over_a_remount(TestLake& lake, Mounted& mount) {
  mount.remount();
  for (const auto& key : lake.keys()) {
    CAPTURE(key);
    if (!key.ends_with('/')) CHECK((read_file(mount / key) == lake.read(key)));
  }
}

}  // namespace

TEST_CASE("notebooks: Jupyter's file browser and editor work on a branch, and leave no litter on it") {
  NEEDS_NOTEBOOKS();
  TestLake lake;
  Mounted mount(lake, {.patience = 120s});
  const ScratchDirectory scratch;
  works(lake, mount, "file_browser.py", {mount.at().string(), scratch.path().string()});
  CHECK(lake.keys() == std::vector<std::string>{"shared.txt", "theirs.csv", "work/", "work/copy.ipynb",
                                                "work/study ü.ipynb", "work/table.bin"});
  CHECK(lake.read("shared.txt") == "the last word");
  CHECK((lake.read("work/table.bin") == read_local(scratch.path() / "uploaded")));
  CHECK(lake.read("work/copy.ipynb").find("version 4") != std::string::npos);
  CHECK(mount.pending().empty());
  check_all_over_a_remount(lake, mount);
}

TEST_CASE("notebooks: what a notebook writes is on the branch, committed by it, and nothing else is") {
  NEEDS_NOTEBOOKS();
  TestLake lake;
  Mounted mount(lake, {.patience = 120s});
  works(lake, mount, "formats.py", {mount.at().string()});
  std::vector<std::string> expected{"all.zip",      "appended.parquet", "array.npy",  "arrays.npz",
                                    "data.h5",      "delete.sqlite",    "mapped.bin", "model.joblib",
                                    "model.pickle", "study.ipynb",      "table.csv",  "table.parquet",
                                    "wal.sqlite"};
  // zarr's chunks and pyarrow's partitions, with the directories that they made.
  for (const char* key : {"", "zarr.json", "c/", "c/0/", "c/0/0", "c/0/1", "c/1/", "c/1/0", "c/1/1"})
    expected.push_back(std::string("grid.zarr/") + key);
  for (const char* key :
       {"", "part=0/", "part=0/0.parquet", "part=1/", "part=1/0.parquet", "part=2/", "part=2/0.parquet"})
    expected.push_back(std::string("parts/") + key);
  std::sort(expected.begin(), expected.end());
  CHECK(lake.keys() == expected);
  CHECK(mount.pending().empty());
  check_all_over_a_remount(lake, mount);
}
