// Every answer of the lakeFS API, as any bytes. What is believed keeps its rules.

#include "client/wire.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  switch (input.byte() % 16) {
    case 0:
      std::ignore = wire::parse_object(input.rest());
      break;
    case 1: {
      const ListRequest request{.prefix = input.byte() % 2 == 0 ? "" : "a/",
                                .after = input.byte() % 2 == 0 ? "" : "a/b"};
      const auto body = input.rest();
      std::ignore = wire::guess_next(body);
      const auto page = wire::parse_list(body, request);
      if (!page) break;
      for (const auto& entry : page->entries) {
        const std::string& path = entry.object.path;
        if (path.find("\xEF\xBF\xBD") != path.npos) continue;  // Came otherwise than it can be said.
        const bool told_again = entry.is_prefix && request.after.starts_with(path);
        fuzz::must(path.starts_with(request.prefix) && (path > request.after || told_again));
      }
      break;
    }
    case 2:
      std::ignore = wire::parse_upload_target(input.rest());
      break;
    case 3:
      std::ignore = wire::parse_delete_failure(input.rest());
      break;
    case 4:
      std::ignore = wire::parse_config(input.rest());
      break;
    case 5:
      std::ignore = wire::parse_repository(input.rest());
      break;
    case 6:
      std::ignore = wire::parse_branch_head(input.rest());
      break;
    case 7:
      std::ignore = wire::parse_commit(input.rest());
      break;
    case 8:
      std::ignore = wire::parse_commit_log(input.rest());
      break;
    case 9:
      std::ignore = wire::parse_protection_rules(input.rest());
      break;
    case 10:
      std::ignore = wire::parse_diff(input.rest(), "a");
      break;
    case 13:
      std::ignore = wire::parse_multipart(input.rest());
      break;
    case 14:
      std::ignore = wire::parse_part_url(input.rest());
      break;
    default:
      std::ignore = wire::parse_error(input.rest());
      std::ignore = wire::parse_version(std::string(input.rest()));
  }
  return 0;
}
