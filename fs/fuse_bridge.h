#pragma once

struct fuse_lowlevel_ops;

namespace lakefuse {

class Filesystem;
class FusePassthrough;
class Interrupts;

// What the kernel's requests are answered with. libfuse hands it to every operation as its user data.
struct FuseBridge {
  Filesystem& filesystem;
  Interrupts& interrupts;
  FusePassthrough& passthrough;
};

// The kernel's requests, each turned into one call of Filesystem and one reply, on the thread that it came in
// on.
const fuse_lowlevel_ops& fuse_operations();

// How many requests the kernel may have on the way that no program waits for in a call of its own:
// read-ahead.
inline constexpr unsigned kReadAheadRequests = 128;

}  // namespace lakefuse
