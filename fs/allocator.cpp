#include "fs/allocator.h"

#include <malloc.h>

namespace lakefuse {
namespace {

// glibc gives what is larger than this back at once. Left to itself it raises the bound to the largest that
// was ever freed, and then the buffers of pieces and requests leave holes between small and lasting things.
constexpr int kGivenBackBytes = 1 << 20;

// Heaps that threads share. Eight a core are its default, each as large as it ever was.
constexpr int kHeaps = 4;

}  // namespace

void keep_little_memory() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_THRESHOLD, kGivenBackBytes);
  ::mallopt(M_TRIM_THRESHOLD, 2 * kGivenBackBytes);
  ::mallopt(M_ARENA_MAX, kHeaps);
#endif
}

}  // namespace lakefuse
