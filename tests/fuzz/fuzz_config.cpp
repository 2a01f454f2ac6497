// lakectl's configuration file, as any bytes.

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "client/lakectl_yaml.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("lakectl.yaml", MFD_CLOEXEC);
  fuzz::must(::ftruncate(file, 0) == 0 && ::pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  std::ignore = read_lakectl_yaml("/proc/self/fd/" + std::to_string(file));
  return 0;
}
