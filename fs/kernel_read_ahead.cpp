#include "fs/kernel_read_ahead.h"

#include <sys/sysmacros.h>

#include <fstream>
#include <string>

namespace lakefuse {
namespace {

constexpr unsigned kKibibytes = 512;

}  // namespace

void raise_kernel_read_ahead(dev_t device) {
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  std::ofstream("/sys/class/bdi/" + number + "/read_ahead_kb") << kKibibytes;
}

}  // namespace lakefuse
