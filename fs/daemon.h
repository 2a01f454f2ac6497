#pragma once

#include <functional>
#include <memory>
#include <string>

#include "client/error.h"

namespace lakefuse {

// What the background process tells the command that started it, once.
class Readiness {
 public:
  virtual ~Readiness() = default;
  // It serves: the command returns 0, this process lets go of the terminal. The second call does nothing.
  virtual void ready() = 0;
};

// Runs `work` in a process of its own. Returns, in the first process, when the work is ready (0) or has ended
// before (its exit code); in the second, never. What the work writes to stderr until it is ready is seen by
// the user. REQUIRES: the process has one thread.
int run_in_background(const std::function<int(Readiness&)>& work);

// The same interface for work that stays in the foreground.
std::unique_ptr<Readiness> foreground_readiness();

// stdin, stdout and stderr where this process was started without them: the next files to be opened would get
// their numbers, be written to as stderr, and be replaced by ready().
void hold_standard_descriptors();

// No core dump of this process, and no other process of the user's may read its memory: it holds credentials
// (F3).
void forbid_core_dumps();

// Each file that waits and each connection holds a descriptor: as many as the system allows, instead of the
// 1,024 that programs with select(2) need. A limit of file size (`ulimit -f`) is for what a program writes,
// not for who keeps its bytes; where it stands, a write beyond it is EFBIG and no signal that ends all.
void raise_limits();

}  // namespace lakefuse
