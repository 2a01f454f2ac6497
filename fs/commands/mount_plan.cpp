#include "fs/commands/mount_plan.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/object_path.h"
#include "fs/commands/found_mount.h"
#include "fs/log.h"
#include "fs/mount_table.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

tl::unexpected<Refusal> refuse(ExitCode code, std::string sentence, Errc cause = Errc::kUnavailable) {
  return tl::unexpected<Refusal>({code, std::move(sentence), cause});
}

// A failure of a call that no check foresees, by its cause.
tl::unexpected<Refusal> refuse(const Lake& lake, const Error& error) {
  switch (error.code) {
    case Errc::kUnauthenticated:
      return refuse(kNoAccess, lake.endpoint() + " does not accept the credentials: " + error.message +
                                   "; check them in ~/.lakectl.yaml or the LAKECTL_* environment");
    case Errc::kDenied:
      return refuse(kNoAccess,
                    "the credentials may not do this: " + error.message +
                        "; ask the lake's administrator for the permission",
                    Errc::kDenied);
    case Errc::kUnavailable:
    case Errc::kTimeout:
    case Errc::kTooManyRequests:
      return refuse(kUnreachable, lake.endpoint() + " cannot be reached: " + error.message +
                                      "; check the endpoint and that the server runs");
    case Errc::kUntrustworthy:
    case Errc::kNotFound:
      return refuse(kUnreachable, lake.endpoint() + " does not answer like lakeFS: " + error.message +
                                      "; check the endpoint");
    default:
      return refuse(kFailed, error.message);
  }
}

// By names that programs can say, from the root of the branch on.
bool can_be_reached(std::string_view prefix) {
  while (!prefix.empty()) {
    const auto end = prefix.find('/');
    if (!is_posix_name(prefix.substr(0, end))) return false;
    prefix.remove_prefix(end + 1);  // It ends in '/'.
  }
  return true;
}

std::string in_quotes(const std::string& text) {
  return "'" + printable(text) + "'";
}

class Planning {
 public:
  Planning(const MountCommand& mount, Lake& lake) : mount_(mount), lake_(lake) {}

  Checked<MountPlan> run() {
    plan_.versions = lake_.versions(mount_.uri.repository);
    plan_.read_only = mount_.filesystem.read_only;
    using Step = Checked<void> (Planning::*)();
    for (const Step step : {&Planning::ask_config, &Planning::ask_repository, &Planning::ask_ref,
                            &Planning::ask_protection, &Planning::ask_store, &Planning::ask_prefix}) {
      if (auto done = (this->*step)(); !done) return tl::unexpected(done.error());
    }
    return std::move(plan_);
  }

 private:
  Checked<void> ask_config() {
    auto config = plan_.versions->config();
    if (!config) return refuse(lake_, config.error());
    plan_.config = *std::move(config);
    note("lakeFS " + printable(plan_.config.version.text) + " at " + lake_.endpoint());
    if (lake_.endpoint().starts_with("http://")) {
      note("plain http: credentials and data can be read on the way");
    }
    if (!plan_.config.facts.can_presign) {
      note("the store cannot presign: data goes through the lakeFS server (upload_object), slower");
    }
    const auto& version = plan_.config.version;
    if (version.is_older_than(1, 71)) {
      warn("this server (" + printable(version.text) + ") is older than 1.71: O_EXCL is not exact on it");
    }
    if (version.is_older_than(1, 42)) {
      warn("this server (" + printable(version.text) + ") is older than 1.42: it ignores modification times");
    }
    return {};
  }

  Checked<void> ask_repository() {
    auto repository = plan_.versions->repository();
    if (!repository && repository.error().code == Errc::kNotFound) {
      return refuse(kWrongRef,
                    "there is no repository " + in_quotes(mount_.uri.repository) + " at " + lake_.endpoint() +
                        "; `lakectl repo list` shows those that are",
                    Errc::kNotFound);
    }
    if (!repository) return refuse(lake_, repository.error());
    plan_.repository = *std::move(repository);
    return {};
  }

  Checked<void> ask_ref() {
    const std::string& ref = mount_.uri.ref;
    const auto head = plan_.versions->branch_head(ref);
    if (head) {
      plan_.branch = ref;
      plan_.objects = lake_.objects(plan_.repository, ref, plan_.config);
      if (plan_.repository.read_only && !plan_.read_only) {
        return refuse(
            kWrongRef,
            "the repository " + in_quotes(mount_.uri.repository) + " is read-only; mount it with --read-only",
            Errc::kReadOnly);
      }
      return {};
    }
    if (head.error().code != Errc::kNotFound && head.error().code != Errc::kInvalid) {
      return refuse(lake_, head.error());
    }
    const auto commit = plan_.versions->resolve(ref);
    if (!commit && (commit.error().code == Errc::kNotFound || commit.error().code == Errc::kInvalid)) {
      return refuse(kWrongRef,
                    "there is no branch, tag or commit " + in_quotes(ref) + " in the repository " +
                        in_quotes(mount_.uri.repository) + "; `lakectl branch list` shows its branches",
                    Errc::kNotFound);
    }
    if (!commit) return refuse(lake_, commit.error());
    plan_.commit = commit->id;
    plan_.read_only = true;
    plan_.objects = lake_.objects(plan_.repository, commit->id, plan_.config);
    note(printable(ref) + " is commit " + commit->id + ", mounted read-only");
    return {};
  }

  Checked<void> ask_protection() {
    if (plan_.read_only) return {};
    const auto rules = plan_.versions->protection_rules();
    if (!rules && rules.error().code == Errc::kDenied) {
      note(
          "branch protection rules may not be read with these credentials: a protected branch will refuse to "
          "be "
          "written");
      return {};
    }
    if (!rules) return refuse(lake_, rules.error());
    const auto rule = std::find_if(rules->begin(), rules->end(), [&](const std::string& pattern) {
      return rule_covers(pattern, plan_.branch);
    });
    if (rule == rules->end()) return {};
    return refuse(kWrongRef,
                  "the branch " + in_quotes(plan_.branch) + " is protected (rule " + in_quotes(*rule) +
                      "): nobody may write to it; mount it with --read-only, or mount a branch of it",
                  Errc::kReadOnly);
  }

  // Bytes do not step down from TLS: where the store's URLs would have them do so, the server takes them.
  Checked<void> ask_store() {
    if (plan_.read_only || !plan_.config.facts.can_presign || !lake_.endpoint().starts_with("https://"))
      return {};
    const auto path = ObjectPath::make("lakefuse");  // An address is a word; nothing is made there.
    if (!path) return {};
    const auto target = plan_.objects->upload_target(*path);
    if (target || target.error().code != Errc::kUnsupported) return {};
    plan_.config.facts.can_presign = false;
    plan_.config.facts.can_presign_multipart = false;
    plan_.objects = lake_.objects(plan_.repository, plan_.branch, plan_.config);
    note(target.error().message + ": data goes through the lakeFS server (upload_object), slower");
    return {};
  }

  Checked<void> ask_prefix() {
    const std::string& prefix = mount_.uri.prefix;
    if (prefix.empty()) return {};
    const auto page = plan_.objects->list({.prefix = prefix, .after = {}, .delimited = false, .amount = 1});
    if (!page) return refuse(lake_, page.error());
    if (!page->entries.empty()) return {};
    if (plan_.branch.empty()) {
      return refuse(kWrongRef, "there is nothing below " + in_quotes(prefix) + " in " +
                                   in_quotes(mount_.uri.ref) + ", and nothing can come: check the prefix");
    }
    if (!can_be_reached(prefix)) {
      return refuse(kWrongRef,
                    "there is nothing below " + in_quotes(prefix) +
                        ", and no mount of what is above could show it: check the prefix for '//', "
                        "'.' and '..'");
    }
    warn("nothing lies below " + in_quotes(prefix) + " yet: the mount starts empty");
    return {};
  }

  void note(std::string text) { plan_.notes.push_back(std::move(text)); }
  void warn(std::string text) { plan_.warnings.push_back(std::move(text)); }

  const MountCommand& mount_;
  Lake& lake_;
  MountPlan plan_;
};

Checked<void> check_directory(const stdfs::path& place, bool nonempty) {
  struct stat found {};
  if (::stat(place.c_str(), &found) != 0) {
    return refuse(kLocalTrouble, "the mount point " + place.string() +
                                     " cannot be used: " + std::strerror(errno) +
                                     (errno == ENOENT ? "; make it first (mkdir)" : ""));
  }
  if (!S_ISDIR(found.st_mode)) {
    return refuse(kLocalTrouble,
                  "the mount point " + place.string() + " is not a directory; name a directory");
  }
  std::error_code error;
  const bool empty = stdfs::is_empty(place, error);
  if (error) {
    return refuse(kLocalTrouble, "the mount point " + place.string() + " cannot be read: " + error.message());
  }
  if (!empty && !nonempty) {
    return refuse(kLocalTrouble,
                  "the mount point " + place.string() +
                      " is not empty, and a mount would hide its files; name an empty directory, or "
                      "say -o nonempty");
  }
  return {};
}

}  // namespace

Refusal no_way_in(const Error& error) {
  return {error.code == Errc::kUnauthenticated ? kNoAccess : kFailed, error.message};
}

Checked<MountPlan> plan_mount(const MountCommand& mount, Lake& lake) {
  return Planning(mount, lake).run();
}

Checked<stdfs::path> check_mountpoint(const MountCommand& mount) {
  // A place may carry several dead mounts, one over the other; ten is more than anybody has.
  for (int cleared = 0; cleared < 10; ++cleared) {
    const auto table = MountTable::read();
    if (!table) return refuse(kLocalTrouble, table.error().message);
    const auto resolved = resolve_path(mount.mountpoint, *table);
    if (!resolved) return refuse(kLocalTrouble, resolved.error().message);
    const stdfs::path& place = resolved->path;
    const auto mounted = table->at(place);
    if (!mounted) {
      if (auto usable = check_directory(place, mount.nonempty); !usable)
        return tl::unexpected(usable.error());
      return place;
    }
    if (!mounted->is_lakefuse() || is_served(*mounted) || !is_dead_mount(place)) {
      return refuse(kLocalTrouble, place.string() + " is a mount point already (of " +
                                       printable(mounted->source) +
                                       "); unmount that first, or name another directory");
    }
    log_warn(place.string() + " was left by a lakefuse that has died: clearing it");
    if (auto gone = unmount(place, UnmountHow::kLazily); !gone)
      return refuse(kLocalTrouble, gone.error().message);
  }
  return refuse(kLocalTrouble, mount.mountpoint.string() + " carries dead mounts that do not go away");
}

}  // namespace lakefuse
