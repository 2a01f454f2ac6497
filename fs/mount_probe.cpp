#include "fs/mount_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "cache/unique_fd.h"

namespace lakefuse {
namespace {

struct Answer {
  int error = 0;
  dev_t device = 0;
};

// In the child of a process with threads: system calls only.
[[noreturn]] void ask(const char* mountpoint, int answer_to) {
  constexpr int kAnswer = 0;
  ::dup2(answer_to, kAnswer);
  ::close_range(kAnswer + 1, ~0U, 0);
  Answer answer;
  struct stat root {};
  if (::stat(mountpoint, &root) != 0) answer.error = errno;
  answer.device = root.st_dev;
  [[maybe_unused]] const ssize_t told = ::write(kAnswer, &answer, sizeof answer);
  ::_exit(0);
}

Error no_answer(int error_number) {
  return {Errc::kLocalIo, std::string("it does not answer: ") + std::strerror(error_number)};
}

}  // namespace

Result<dev_t> probe_mount(const std::filesystem::path& mountpoint) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return no_answer(errno);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return no_answer(errno);
  if (child == 0) ask(mountpoint.c_str(), writer.get());
  writer.reset();
  Answer answer{EIO, 0};
  while (::read(reader.get(), &answer, sizeof answer) < 0 && errno == EINTR) {
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (answer.error != 0) return no_answer(answer.error);
  return answer.device;
}

}  // namespace lakefuse
