#include "fs/spare_memory.h"

#include <malloc.h>

#include <condition_variable>
#include <mutex>

namespace lakefuse {

SpareMemory::SpareMemory(std::chrono::milliseconds every)
    : giver_([every](const std::stop_token& ended) {
        std::mutex alone;
        std::condition_variable_any never;
        std::unique_lock lock(alone);
        while (!never.wait_for(lock, ended, every, [&] { return ended.stop_requested(); })) ::malloc_trim(0);
      }) {}

}  // namespace lakefuse
