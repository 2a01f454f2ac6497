#pragma once

// libfuse's low-level API, the same everywhere. For the bridge and the session only: nothing else knows of
// FUSE.

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
