#include <cstdio>
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
    return std::visit([](const auto& command) { return run(command); }, std::get<Command>(parsed));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lakefuse: %s\n", error.what());
    return kFailed;
  }
}
