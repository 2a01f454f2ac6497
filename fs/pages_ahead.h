#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cache/workers.h"
#include "client/object_store.h"
#include "fs/moment.h"

namespace lakefuse {

// Pages of the lake's names that are asked for before they are wanted, while whoever wants them is busy with
// those before. Few are kept, for nobody may ever want them. Safe to use from many threads at once.
class PagesAhead {
 public:
  explicit PagesAhead(ObjectStore& lake) : lake_(lake) {}

  // Asks behind; returns at once. Does nothing where the same page is on its way.
  void ask(const ListRequest& request);
  // Nobody is to be given what was asked for below that prefix so far.
  void forget_below(const std::string& prefix);

  struct Page {
    ListPage page;
    Moment asked;  // The answer is as old as this.
  };
  // The page that was asked for ahead, unless that was before `oldest`; else it is asked for now. Blocks as
  // ObjectStore::list(). So many pages behind it are asked for meanwhile, each as soon as the one before says
  // where it begins; those that are there already, or on their way, stay unless they are from before
  // `oldest`.
  Result<Page> take(const ListRequest& request, Moment oldest, std::size_t behind = 0);
  // A page that was taken and is wanted once more, if that is soon. Those that were kept before `oldest` go.
  void keep(const ListRequest& request, Page page, Moment oldest);

 private:
  struct Call;
  std::list<std::shared_ptr<Call>>::iterator find_locked(const ListRequest& request);
  // Asks for so many pages in a row.
  void ask_row(const ListRequest& first, std::size_t pages, Moment oldest);
  void begin(std::shared_ptr<Call> call);  // By a worker; null: nothing.
  // The call that is to be begun, if any.
  std::shared_ptr<Call> ask_row_locked(const ListRequest& first, std::size_t pages, Moment oldest);
  void ask_behind(const Call& call, const std::string& next);
  void run(Call& call);

  ObjectStore& lake_;

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any answered_;
  std::list<std::shared_ptr<Call>> calls_;  // Guarded by mutex_, and what the calls say. Oldest first.

  Workers workers_{4};  // Last: they use the above.
};

}  // namespace lakefuse
