#include <cstdio>

#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

char sign_of(ChangeKind kind) {  // lakectl's signs.
  switch (kind) {
    case ChangeKind::kAdded:
      return '+';
    case ChangeKind::kRemoved:
      return '-';
    case ChangeKind::kChanged:
      return '~';
  }
  return '?';
}

}  // namespace

int run(const DiffCommand& command) {
  const auto mount = find_serving_mount(command.directory);
  if (!mount) return complain(mount.error().message), kFailed;
  for (std::string after;;) {
    const auto page = mount->client().uncommitted(after);
    if (!page)
      return complain(mount->mountpoint.string() + ": " + page.error().message),
             exit_code_of(page.error().code);
    for (const auto& change : page->changes) {
      std::printf("%c %s\n", sign_of(change.kind), printable(change.path).c_str());
    }
    if (!page->has_more) break;
    after = page->next;
  }
  // A diff shows the lake; what is not there yet would be missed in silence.
  const auto view = look_at(*mount);
  for (const auto& file : view.status.pending) {
    if (file.state != "local") complain("not on the lake yet: " + file.path + " (" + file.state + ")");
  }
  return kDone;
}

}  // namespace lakefuse
