// Programs that a test runs, none of which can keep it waiting for ever.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lakefuse::test {

using Arguments = std::vector<std::string>;

struct RunOptions {
  std::map<std::string, std::string> environment;  // Over the test's own.
  std::filesystem::path directory;                 // Empty: the test's own.
  std::filesystem::path out_file;                  // Empty: collected in Ran::out.
  std::filesystem::path err_file;                  // Empty: collected in Ran::err.
  std::string input;
  std::chrono::milliseconds patience{60'000};
};

struct Ran {
  int exit_code = -1;  // -1: killed after its time was up; 128 + n: ended by signal n.
  std::string out;
  std::string err;
};

// Runs to its end, or kills it with all that it started.
Ran run(const Arguments& arguments, const RunOptions& options = {});
// The same by `sh -c`, with the mount point as working directory.
Ran shell(const std::filesystem::path& directory, const std::string& script,
          std::chrono::milliseconds patience = std::chrono::seconds(60));

// A program that goes on while the test does; killed, at the latest, when the test process ends.
pid_t start(const Arguments& arguments, const RunOptions& options, int in_fd = -1, int out_fd = -1);
// Its exit code as in Ran; -1 when it still runs after `patience`.
int wait_for_end(pid_t process, std::chrono::milliseconds patience);

bool has_program(const std::string& name);

// What whoever runs the tests asks for by a variable: how many steps, which seed.
unsigned long asked_for(const char* variable, unsigned long otherwise);

}  // namespace lakefuse::test
