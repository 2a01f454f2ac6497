// The lines between a command and a mount, as any local program may send them.

#include "fs/control_wire.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  switch (input.byte() % 4) {
    case 0:
      if (const auto request = parse_request(input.rest())) {
        const std::string line = request_line(*request);
        const auto again = parse_request(line);
        fuzz::must(again && request_line(*again) == line);
      }
      break;
    case 1:
      if (const auto answer = parse_answer(input.rest())) {
        std::ignore = parse_mount_report(answer->done);
        std::ignore = parse_flush_report(answer->done);
        std::ignore = parse_diff_page(answer->done);
        std::ignore = parse_others_report(answer->done);
        std::ignore = parse_commit(answer->done);
      }
      break;
    case 2:
      std::ignore = parse_mount_report(input.rest());
      break;
    default:
      std::ignore = parse_facts(input.rest());
  }
  return 0;
}
