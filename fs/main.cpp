#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <variant>

#include "client/config.h"
#include "fs/allocator.h"
#include "fs/commands/commands.h"
#include "fs/daemon.h"
#include "fs/exit_code.h"
#include "fs/options.h"

int main(int argc, char** argv) {
  using namespace lakefuse;
  hold_standard_descriptors();
  keep_little_memory();
  try {
    const auto parsed = parse_command_line(argc, argv, process_environment());
    if (const auto* const words = std::get_if<Words>(&parsed)) {
      std::fputs(words->text.c_str(), words->exit_code == kDone ? stdout : stderr);
      return words->exit_code;
    }
    const int outcome =
        std::visit([](const auto& command) { return run(command); }, std::get<Command>(parsed));
    // Half of a list looks like all of it.
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return outcome;
    std::fprintf(stderr, "lakefuse: cannot write to stdout: %s\n", std::strerror(errno));
    return outcome == kDone ? kFailed : outcome;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lakefuse: %s\n", error.what());
    return kFailed;
  }
}
