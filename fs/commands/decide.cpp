#include <cstdio>

#include "cache/spool.h"
#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/log.h"
#include "fs/mount_table.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// Who has the file: by its path inside a mount, or by a path inside a state directory.
struct Addressee {
  std::optional<FoundMount> mount;  // Nothing: a file that no mount has.
  std::string which;
};

Result<Addressee> find_addressee(const stdfs::path& path) {
  const auto table = MountTable::read();
  if (!table) return table.error();
  const auto resolved = resolve_path(path, *table);
  if (!resolved) return resolved.error();
  if (resolved->mount) {
    auto mount = find_serving_mount(resolved->path);
    if (!mount) return mount.error();
    return Addressee{*std::move(mount), resolved->below.string()};
  }
  auto all = find_mounts();
  if (!all) return all.error();
  std::error_code error;
  for (FoundMount& one : *all) {
    for (const PendingFile& file : look_at(one).status.pending)
      if (stdfs::equivalent(file.kept_in, path, error)) return Addressee{std::move(one), file.kept_in};
  }
  return Addressee{std::nullopt, resolved->path.string()};
}

int decide(const stdfs::path& path, Decision decision) {
  const auto addressee = find_addressee(path);
  if (!addressee) return complain(addressee.error().message), kFailed;
  if (addressee->mount) {
    const auto said = addressee->mount->client().decide(addressee->which, decision);
    if (!said) return complain(said.error().message), kFailed;
    std::puts(printable(*said).c_str());
    return kDone;
  }
  std::error_code failed;
  if (!stdfs::exists(addressee->which, failed) && !failed)
    return complain(path.string() + " is not there; `lakefuse pending` lists what waits"), kFailed;
  if (decision != Decision::kDiscard)
    return complain(path.string() +
                    " is in no mount: mount its branch with this state directory to resolve it"),
           kFailed;
  if (auto gone = discard_spooled(addressee->which); !gone) return complain(gone.error().message), kFailed;
  std::printf("%s is dropped\n", printable(path.string()).c_str());
  return kDone;
}

}  // namespace

int run(const ResolveCommand& command) {
  return decide(command.path, command.decision);
}

int run(const DiscardCommand& command) {
  return decide(command.path, Decision::kDiscard);
}

}  // namespace lakefuse
