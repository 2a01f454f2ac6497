// What a mount begins as, what it tells of itself, and how all of it is brought to the lake at the end.

#include "fs/filesystem.h"

#include <condition_variable>
#include <ctime>
#include <set>
#include <thread>

#include "cache/guarded.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"
#include "fs/name_rules.h"

namespace lakefuse {
namespace {

constexpr std::chrono::milliseconds kProgressEvery{200};
constexpr std::chrono::seconds kForTheirs{1};    // Somebody waits for the list.
constexpr std::chrono::seconds kForTheStore{2};  // To free parts that nobody wants, at the mount's end.
constexpr std::size_t kFailuresRemembered = 32;  // Enough for a person to read; the log has all.

// As Publishing::describe(); litter is local while it is written, too.
PendingFile describe(FilesystemCore& core, const InodePtr& inode) {
  PendingFile file = core.publishing.describe(inode);
  if (file.state != "clean" && file.state != "conflict" && core.is_local_name(inode)) file.state = "local";
  return file;
}

// It failed for a cause that does not pass by itself; a flush tries again.
bool gave_up_its_place(const InodePtr& inode) {
  const std::lock_guard lock(inode->mutex);
  return inode->staging.wait == Wait::kRetry && inode->staging.order != 0;
}

bool is_queued(const InodePtr& inode) {
  const std::lock_guard lock(inode->mutex);
  return inode->staging.wait == Wait::kQueue || inode->staging.sealed;
}

// Or gave it up just now: it is not published past the queue.
bool has_a_place(const InodePtr& inode) {
  const std::lock_guard lock(inode->mutex);
  const Staging& staging = inode->staging;
  return staging.wait == Wait::kQueue || staging.sealed ||
         (staging.wait == Wait::kRetry && staging.order != 0);
}

bool is_journal(const FilesystemCore& core, const InodePtr& inode) {
  return !database_of_journal(core.tree.parent_and_name(inode).second).empty();
}

// What one flush has the workers do. When it ends early, what runs is ended and what has not begun never
// does: the workers may be busy for long with calls that hang.
class FlushJobs {
 public:
  explicit FlushJobs(Workers& workers) : workers_(workers) {}

  void post(std::function<void()> job) {
    {
      const std::lock_guard lock(round_->mutex);
      ++round_->waiting;
    }
    workers_.post([round = round_, job = std::move(job)] {
      {
        const std::lock_guard lock(round->mutex);
        if (round->is_over) return;
        --round->waiting;
        ++round->running;
      }
      {
        const Patience patience(round->ends.get_token());
        if (auto done = guarded(job); !done) log_error("flush: " + done.error().message);
      }
      const std::lock_guard lock(round->mutex);
      --round->running;
      round->changed.notify_one();
    });
  }

  void wait(const std::function<bool(std::size_t)>& gives_up) {
    std::unique_lock lock(round_->mutex);
    while (const std::size_t left = round_->waiting + round_->running) {
      lock.unlock();
      const bool is_over = gives_up(left);
      if (is_over) round_->ends.request_stop();
      lock.lock();
      round_->is_over |= is_over;
      if (round_->is_over && round_->running == 0) return;
      round_->changed.wait_for(lock, kProgressEvery);
    }
  }

 private:
  struct Round {
    std::mutex mutex;  // A leaf. Guards all below but `ends`.
    std::condition_variable changed;
    std::size_t waiting = 0, running = 0;
    bool is_over = false;
    std::stop_source ends;
  };
  Workers& workers_;
  const std::shared_ptr<Round> round_ = std::make_shared<Round>();
};

PendingFile describe(const WriteQueue::Waiting& waiting) {
  PendingFile file;
  file.path = waiting.record.path;
  file.state = waiting.failure ? "failed" : "removed";
  file.reason = "it was removed here, and is still on the lake";
  if (!waiting.failure) return file;
  file.cause = to_word(waiting.failure->code);
  file.reason += ": " + waiting.failure->message;
  return file;
}

PendingFile describe(const DamagedFile& damaged) {
  PendingFile file;
  file.state = "damaged";
  file.size_bytes = damaged.size_bytes;
  file.cause = to_word(Errc::kLocalIo);
  file.reason = damaged.reason;
  file.kept_in = damaged.path;
  return file;
}

}  // namespace

FilesystemCore::FilesystemCore(FilesystemOptions the_options, ObjectStore& the_lake, Publisher& the_publisher,
                               Spool* the_spool)
    : options(std::move(the_options)),
      lake(the_lake),
      publisher(the_publisher),
      spool(the_spool),
      rules(options),
      mounted_at(now_on_the_clock()),
      tree(options.prefix),
      view(options, lake, tree, vacated),
      standing(tree),
      publishing(options, lake, publisher, tree, view, standing, spool) {
  tree.root()->attributes = directory_attributes(nullptr, options, mounted_at);
  publishing.set_forget_name(
      [this](const InodePtr& directory, const std::string& name) { forget_name(directory->node, name); });
  publishing.queue().set_remover(
      {.remove = [this](const auto& removals) { return remove_promised(removals); },
       .give_up = [this](const auto& removal, const auto& why) { give_up_removal(removal, why); }});
  if (spool == nullptr) return;
  auto left = spool->take_left_behind();
  settle_left_renames(left);
  recover_all(std::move(left), spool->take_left_removals());
  tell_damage();
  ticker = std::jthread([this](const std::stop_token& stop) {
    constexpr std::chrono::milliseconds kGrain{200};  // Of temporary_age and of retries.
    for (bool goes_on = !stop.stop_requested(); goes_on; goes_on = sleep_out(stop, kGrain))
      if (auto done = guarded([this] { tick(); }); !done) log_error("retries: " + done.error().message);
  });
}

Filesystem::Filesystem(FilesystemOptions options, ObjectStore& lake, Publisher& publisher, Spool* spool)
    : core_(std::make_unique<FilesystemCore>(std::move(options), lake, publisher, spool)) {}

Filesystem::~Filesystem() = default;

const FilesystemOptions& Filesystem::options() const {
  return core_->options;
}

void FilesystemCore::forget_name(NodeId directory, const std::string& name) {
  std::function<void(NodeId, std::string)> forget;
  {
    const std::lock_guard lock(mutex);
    forget = notes.forget_name;
  }
  if (forget) forget(directory, name);
}

void FilesystemCore::note_failure(std::string_view operation, const Error& error, bool unseen) {
  log_warn(std::string(operation) + ": " + error.message + " (" + std::string(to_word(error.code)) + ")");
  if (unseen) ++unseen_failures;
  const std::lock_guard lock(mutex);
  // The same again and again, as git's try of a hard link for each object, is told once: what else failed is
  // not to be lost among it.
  std::erase_if(failures, [&](const RecentFailure& earlier) {
    return earlier.operation == operation && earlier.message == error.message;
  });
  failures.push_back({std::time(nullptr), std::string(operation), error.message});
  if (failures.size() > kFailuresRemembered) failures.pop_front();
}

void Filesystem::note_failure(std::string_view operation, const Error& error, bool unseen) {
  core_->note_failure(operation, error, unseen);
}

void Filesystem::count_request() {
  ++core_->requests;
}

MountStatus Filesystem::status() {
  FilesystemCore& core = *core_;
  MountStatus status;
  status.uri = core.options.uri;
  status.read_only = core.options.read_only;
  status.inodes = core.tree.size();
  status.open_handles = core.tree.open_handles();
  status.requests = core.requests;
  status.hidden_names = core.view.hidden_names();
  status.unseen_failures = core.unseen_failures;
  if (const CachedStore* const cached = core.cache()) {
    const CacheUse use = cached->use();
    status.cache_hits = use.hits;
    status.cache_misses = use.misses;
    status.cache_bytes = use.bytes;
  }
  if (core.spool != nullptr) status.spool_free_bytes = core.spool->free_bytes();
  for (const InodePtr& inode : core.publishing.staged()) {
    PendingFile file = describe(core, inode);
    if (file.state == "clean") continue;
    if (file.state == "local") {
      ++status.local_files;
      continue;
    }
    status.pending.push_back(std::move(file));
  }
  for (const WriteQueue::Waiting& waiting : core.publishing.queue().removals())
    status.pending.push_back(describe(waiting));
  if (core.spool != nullptr)
    for (const DamagedFile& damaged : core.spool->damaged()) status.pending.push_back(describe(damaged));
  const std::lock_guard lock(core.mutex);
  status.passthrough = core.passthrough;
  status.failures.assign(core.failures.begin(), core.failures.end());
  return status;
}

void Filesystem::look_at_theirs() {
  const PatienceFor patience(kForTheirs);
  for (const InodePtr& inode : core_->publishing.staged()) {
    if (Patience::current().stop_requested()) return;
    {
      const std::lock_guard lock(inode->mutex);
      if (inode->staging.wait != Wait::kPerson) continue;
    }
    // Without an answer it is what it was when the lake was asked last, and resolve looks again.
    std::ignore = core_->publishing.look_at_theirs(inode);
  }
}

FlushReport Filesystem::flush(const FlushOptions& options, const std::function<bool(std::size_t)>& progress) {
  FilesystemCore& core = *core_;
  FlushReport report;
  std::vector<InodePtr> wanted;
  WriteQueue& queue = core.publishing.queue();
  std::set<InodePtr> without_a_place;  // This machine cannot promise them.
  for (const InodePtr& inode : core.publishing.staged()) {
    if (!gave_up_its_place(inode)) continue;
    const auto promised = core.publishing.publish_behind(inode);
    if (!promised || !*promised) without_a_place.insert(inode);
  }
  const WriteQueue::Order promised = queue.last();
  std::vector<InodePtr> queued;
  for (const InodePtr& inode : core.publishing.staged()) {
    PendingFile file = describe(core, inode);
    if (file.state == "clean" || file.state == "local") continue;
    if (has_a_place(inode) && !without_a_place.contains(inode)) {
      queued.push_back(inode);
      continue;
    }
    if (file.state == "conflict") {
      report.failed.push_back(std::move(file));
      continue;
    }
    const bool is_wanted =
        file.state == "open" ? options.open_files : file.state != "held" || options.held_files;
    if (is_wanted)
      wanted.push_back(inode);
    else
      report.left_out.push_back(std::move(file));
  }

  const auto deadline = std::chrono::steady_clock::now() + options.patience;
  const auto gives_up = [&](std::size_t left) {
    const bool goes_on = progress ? progress(left) : true;
    return !goes_on || std::chrono::steady_clock::now() >= deadline;
  };
  queue.hurry();  // What was promised before comes first.
  while (const std::size_t left = queue.wait_for(promised, kProgressEvery))
    if (gives_up(left + wanted.size())) break;
  std::ignore = core.keep_order_on_disk();
  for (const InodePtr& inode : queued) {
    PendingFile after = core.publishing.describe(inode);
    if (after.state == "conflict" || after.state == "failed" || is_queued(inode))
      report.failed.push_back(std::move(after));
    else
      report.published.push_back(core.tree.last_path(inode));
  }
  for (const WriteQueue::Waiting& waiting : queue.removals())
    if (waiting.record.order <= promised) report.failed.push_back(describe(waiting));

  std::mutex mutex;
  std::vector<bool> has_ended(wanted.size());  // Guarded by mutex, as the report's lists are meanwhile.
  FlushJobs jobs(core.publishing.workers());
  if (options.held_files) {
    // One that failed may still be settled behind.
    jobs.post([&core] { std::ignore = core.directory_renames.take(); });
    jobs.post([&core] {
      core.clear_vacated("", Moment::max());
      core.look_at_released_claims(Moment::max());
    });
  }
  const auto publish = [&](std::size_t n) {
    const InodePtr& inode = wanted[n];
    const std::string path = core.tree.last_path(inode);
    const bool is_kept = core.database_of(inode) == FilesystemCore::Database::kLate;
    const auto done = is_kept ? Result<>() : core.publishing.publish(inode);
    PendingFile after = core.publishing.describe(inode);
    const std::lock_guard lock(mutex);
    has_ended[n] = true;
    if (is_kept)
      report.left_out.push_back(std::move(after));
    else if (done)
      report.published.push_back(path);
    else
      report.failed.push_back(std::move(after));
  };
  for (const bool are_journals : {false, true}) {  // After their databases.
    for (std::size_t n = 0; n < wanted.size(); ++n)
      if (is_journal(core, wanted[n]) == are_journals) jobs.post([&, n] { publish(n); });
    jobs.wait(gives_up);
  }
  if (options.held_files && core.publishing.uploads().is_abandoning()) {
    const auto last = std::min(deadline, std::chrono::steady_clock::now() + kForTheStore);
    FlushJobs leftovers(core.publishing.workers());
    leftovers.post([&core] { core.publishing.uploads().wait_for_abandoned(); });
    leftovers.wait([&](std::size_t) { return std::chrono::steady_clock::now() >= last; });
  }
  for (std::size_t n = 0; n < wanted.size(); ++n)
    if (!has_ended[n]) report.failed.push_back(core.publishing.describe(wanted[n]));
  return report;
}

bool Filesystem::is_ours(const std::string& physical_address) {
  return core_->publishing.versions().is_ours(physical_address);
}

void Filesystem::set_kernel_notes(KernelNotes notes) {
  const std::lock_guard lock(core_->mutex);
  core_->notes = std::move(notes);
}

void Filesystem::set_device(dev_t device) {
  core_->device = device;
}

void Filesystem::set_passthrough(PassthroughState state) {
  const std::lock_guard lock(core_->mutex);
  core_->lends = state.is_on;
  core_->passthrough = std::move(state);
}

}  // namespace lakefuse
