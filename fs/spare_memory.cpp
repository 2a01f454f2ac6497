#include "fs/spare_memory.h"

#include <malloc.h>

#include "client/patience.h"

namespace lakefuse {

SpareMemory::SpareMemory(std::chrono::milliseconds every)
    : giver_([every](const std::stop_token& ended) {
        while (sleep_out(ended, every)) ::malloc_trim(0);
      }) {}

}  // namespace lakefuse
