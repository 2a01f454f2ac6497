#pragma once

namespace lakefuse {

// Keeps the memory of a process that serves for days near what it needs. Call once, before other threads
// begin.
void keep_little_memory();

}  // namespace lakefuse
