#include "fs/help.h"

namespace lakefuse {

const char* const kProgramHelp = R"(
A first session:
  lakefuse mount lakefs://my-repo/main /mnt/lake    # a branch is read-write; a tag or commit id is read-only
  cp report.csv /mnt/lake/reports/                  # cp returned 0: every lakeFS client reads it now
  lakefuse status /mnt/lake                         # what is mounted, what is not on the lake yet, and why
  lakefuse diff /mnt/lake                           # uncommitted changes of the branch
  lakefuse commit /mnt/lake -m "March report"
  lakefuse umount /mnt/lake

`lakefuse COMMAND --help` says more about each.

Access is lakectl's: ~/.lakectl.yaml, or the file that --config or LAKECTL_CONFIG_FILE names; the environment goes
over the file, --endpoint over both. There is no flag for a secret: other users could read it.
  LAKECTL_SERVER_ENDPOINT_URL                 http(s)://host[:port]
  LAKECTL_CREDENTIALS_ACCESS_KEY_ID           with
  LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY       a key pair, or
  LAKECTL_CREDENTIALS_SESSION_TOKEN           a token (JWT), or
  LAKEFUSE_AUTH_COOKIE                        name=value of a session cookie (internal_auth_session,
                                              oidc_auth_session, saml_auth_session)
  SSL_CERT_FILE                               certificates to trust instead of the system's; --ca-file goes over it
  XDG_STATE_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR   where state, cache and control sockets live

Exit codes:
  0  done
  1  it failed; one sentence on stderr says why and what to do
  2  the command line makes no sense
  3  bytes are not on the lake: the files are named, with where they are kept
  4  the lake cannot be reached
  5  credentials are missing, wrong, or may not do this
  6  no such repository, ref or prefix, or it cannot be written
  7  the mount point, the cache or state directory, or FUSE itself
)";

const char* const kMountHelp = R"(
REF is a branch (read-write), or a tag, a commit id or an expression such as main~2 or main@ (read-only, resolved
once). PREFIX shows only what lies below it. The URI is percent-decoded, as lakectl does.

  lakefuse mount lakefs://repo/main /mnt/lake
  lakefuse mount lakefs://repo/main/data/2026 /mnt/data --read-only
  lakefuse mount lakefs://repo/main~2 /mnt/before --cache-size 50GiB
  lakefuse mount lakefs://repo/exp-1 ~/exp --foreground --log-level debug     # Ctrl-C publishes, then unmounts

The mount serves when the command returns 0. close() returning 0 means that the bytes are on the branch. What could
not be published stays in the state directory, is listed by `lakefuse pending` and published by the next mount with
the same --state-dir.

Lists of names (--claim-names, --temporary-names, --local-names) are globs with commas between them; a list that
begins with '+' is added to the built-in one, an empty list switches the rule off.
)";

const char* const kUmountHelp = R"(
Refuses while a program has files open below it. Exit code 3: it is unmounted, and the files that are named could not
be published; the next mount with the same --state-dir publishes what failed for a passing cause.
)";

const char* const kStatusHelp = R"(
Exit code 3: bytes are not on the lake for a failure or a conflict, or something failed that no program could be told
of. 1: a mount is dead or does not answer. --json: an array with an object for each mount.
)";

const char* const kPendingHelp = R"(
  open, dirty, uploading, held, queued, removed    on their way to the lake
  failed      is tried again by itself while it is mounted, and by the next mount
  conflict    another version came in between, or half of a file was written: `lakefuse resolve` or `discard` settles it
  damaged     cannot be read any more: `cp` copies it out, `lakefuse discard` drops it

Exit code 3: something failed, waits for you, or is served by no mount. --json: an array with an object for each file.
)";

const char* const kDiffHelp = R"(
"+" was added, "-" removed, "~" changed since the last commit, by whomever. Paths are the branch's.
)";

const char* const kFlushHelp = R"(
Files that are open for writing or held back under a temporary name are left out. Exit code 3: some could not be
published; they are named.
)";

const char* const kResolveHelp = R"(
  lakefuse pending /mnt/lake                           # what is in conflict, with what, and where yours is kept
  lakefuse resolve /mnt/lake/report.csv --keep-both

It refuses where another version has come since you were told, and says which: say it again to decide about that one.
)";

const char* const kDiscardHelp = R"(
There is no way back. `lakefuse pending` lists what there is, and `cp` copies it out.
)";

const char* const kRecoverHelp = R"(
  lakefuse recover ~/.local/state/lakefuse

Without an endpoint in the configuration it goes to the lake that the mount was told. Exit code 3: some of it could not
be published; 4, 5, 6: why nothing of a branch could. Its bytes stay where they are.
)";

const char* const kPrefetchHelp = R"(
  lakefuse prefetch /mnt/lake/models /mnt/lake/data/train.parquet

They are read through their mount, eight at a time, and are in its cache from then on, over commits, branches and mounts.
)";

const char* const kCommitHelp = R"(
Publishes what is closed and not on the lake yet, then commits all uncommitted changes of the branch. Files that are
still open for writing or held back under a temporary name are left out and named. A commit takes everybody's changes
of the branch along: where some were not made from this machine's state directory, it asks (or needs --all).

  lakefuse commit /mnt/lake -m "Clean up labels" --metadata ticket=DATA-7
)";

}  // namespace lakefuse
