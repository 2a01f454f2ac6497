#pragma once

#include <filesystem>
#include <vector>

#include "client/error.h"
#include "fs/control_client.h"
#include "fs/control_wire.h"
#include "fs/mount_registry.h"
#include "fs/mount_table.h"

namespace lakefuse {

// One mount as a command finds it: in the kernel's table, in the registry, or in both.
struct FoundMount {
  std::filesystem::path mountpoint;
  bool is_mounted = false;
  MountFacts facts;  // All but the mount point and the URI are empty where nothing is registered.
  std::filesystem::path socket;

  [[nodiscard]] ControlClient client() const { return ControlClient(socket); }
};

// The mount that `directory` is in; empty: the working directory. kNotFound, with a sentence.
Result<FoundMount> find_mount(const std::filesystem::path& directory);

// For what only a mount that answers can do: kLocalIo, with what to do, where it is dead or silent.
Result<FoundMount> serving(FoundMount mount);
Result<FoundMount> find_serving_mount(const std::filesystem::path& directory);

// True where somebody takes calls for that mount, so that it is not dead. Does not ask the mount itself,
// which may hang.
bool is_served(const MountEntry& entry);

// All mounts of this user (root sees everybody's); forgets registered ones that are gone without a trace.
Result<std::vector<FoundMount>> find_mounts();

// The mount that the directory is in, or all that keep their bytes in it. kNotFound, with a sentence:
// neither.
Result<std::vector<FoundMount>> find_mounts_of(const std::filesystem::path& directory);

// Takes a dead mount out of the registry, once it is unmounted.
void forget(const FoundMount& mount);

// One mount as a command sees it: serving, ending (unmounted and still publishing, or of another mount
// namespace), silent (somebody serves it, but does not answer here), or dead (its process was killed and left
// the mount point behind).
struct MountView {
  FoundMount mount;
  enum class Life { kServing, kEnding, kSilent, kDead } life = Life::kDead;
  MountStatus status;   // Empty where it is dead.
  std::string trouble;  // Why it does not answer.
};
MountView look_at(FoundMount mount, Ask ask = Ask::kStatus);

}  // namespace lakefuse
