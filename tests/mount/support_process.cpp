#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/mount/files.h"
#include "tests/mount/process.h"

extern char** environ;

namespace lakefuse::test {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& over) {
  std::map<std::string, std::string> all;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string pair = *at;
    all[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
  }
  for (const auto& [name, value] : over) all[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

int open_output(const std::filesystem::path& file) {
  return ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

}  // namespace

pid_t start(const Arguments& arguments, const RunOptions& options, int in_fd, int out_fd) {
  auto argv_texts = arguments;
  auto env_texts = merged_environment(options.environment);
  const auto argv = pointers(argv_texts);
  const auto envp = pointers(env_texts);
  const std::string directory = options.directory.string();
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int out = out_fd >= 0 ? out_fd : options.out_file.empty() ? nothing : open_output(options.out_file);
  const int err = options.err_file.empty() ? out : open_output(options.err_file);
  const pid_t child = ::fork();
  if (child == 0) {  // Only what is safe between fork and exec in a process with threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpgid(0, 0);
    ::dup2(in_fd >= 0 ? in_fd : nothing, 0);
    ::dup2(out, 1);
    ::dup2(err, 2);
    if (!directory.empty() && ::chdir(directory.c_str()) != 0) ::_exit(126);
    ::execvpe(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(nothing);
  if (out_fd < 0 && out != nothing) ::close(out);
  if (err != out) ::close(err);
  if (child < 0) throw std::runtime_error("fork failed");
  return child;
}

int wait_for_end(pid_t process, std::chrono::milliseconds patience) {
  const auto end = Clock::now() + patience;
  for (;;) {
    int status = 0;
    const pid_t done = ::waitpid(process, &status, WNOHANG);
    if (done == process) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (done < 0 || Clock::now() >= end) return -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

Ran run(const Arguments& arguments, const RunOptions& options) {
  const ScratchDirectory scratch;
  RunOptions with_files = options;
  if (with_files.out_file.empty()) with_files.out_file = scratch.path() / "out";
  if (with_files.err_file.empty()) with_files.err_file = scratch.path() / "err";
  int in = -1;
  if (!options.input.empty()) {
    write_local(scratch.path() / "in", options.input);
    in = ::open((scratch.path() / "in").c_str(), O_RDONLY | O_CLOEXEC);
  }
  const pid_t child = start(arguments, with_files, in);
  if (in >= 0) ::close(in);
  Ran ran;
  ran.exit_code = wait_for_end(child, options.patience);
  if (ran.exit_code == -1) {
    ::kill(-child, SIGKILL);
    wait_for_end(child, std::chrono::seconds(10));
  }
  ran.out = read_local(with_files.out_file);
  ran.err = read_local(with_files.err_file);
  return ran;
}

Ran shell(const std::filesystem::path& directory, const std::string& script,
          std::chrono::milliseconds patience) {
  RunOptions options;
  options.directory = directory;
  options.patience = patience;
  return run({"sh", "-c", script}, options);
}

bool has_program(const std::string& name) {
  return run({"sh", "-c", "command -v " + name}).exit_code == 0;
}

unsigned long asked_for(const char* variable, unsigned long otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoul(text, nullptr, 10);
}

}  // namespace lakefuse::test
