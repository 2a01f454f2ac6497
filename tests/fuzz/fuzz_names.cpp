// URLs, URIs, addresses and paths, as any bytes.

#include "client/config.h"
#include "client/object_path.h"
#include "client/physical_address.h"
#include "client/url.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t which = input.byte();
  const std::string text(input.rest());
  switch (which % 5) {
    case 0: {
      const auto url = parse_url(text);
      if (!url) break;
      fuzz::must(url->target.starts_with('/') && url->target.find_first_of(" \r\n\t") == std::string::npos);
      fuzz::must(!url->origin.host.empty() && url->origin.port != 0);
      const auto again = parse_url(to_string(url->origin) + url->target);
      fuzz::must(again && again->origin == url->origin && again->target == url->target);
      break;
    }
    case 1: {
      const auto decoded = percent_decode(percent_encode(text));
      fuzz::must(decoded && *decoded == text);
      std::ignore = percent_decode(text);
      break;
    }
    case 2: {
      const auto path = ObjectPath::make(text);
      fuzz::must(!path || (is_utf8(path->str()) && path->str().size() <= kMaxPathBytes));
      fuzz::must(!is_posix_name(text) || (text.find('/') == std::string::npos && text != ".."));
      break;
    }
    case 3: {
      const AddressSpace space("s3://bucket/ns", which < 128 ? "s3" : "azure");
      fuzz::must(!space.is_inside(text) || text.starts_with("s3://bucket/ns/data/"));
      const auto address = space.address_of(text);
      fuzz::must(!address || space.is_inside(*address));
      std::ignore = check_address(space, text);
      std::ignore = lifetime_in(text);
      std::ignore = issue_time_in(text);
      break;
    }
    default:
      std::ignore = normalised_endpoint(text);
      const auto uri = parse_lake_uri(text);
      fuzz::must(!uri || uri->prefix.empty() || uri->prefix.ends_with('/'));
  }
  return 0;
}
