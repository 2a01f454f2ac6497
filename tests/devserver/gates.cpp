#include "tests/devserver/gates.h"

#include <condition_variable>

#include "tests/devserver/faults.h"

namespace lakefuse::test {

struct Gate::State {
  // Constant after construction.
  std::string operation;
  std::string path;
  Where where = Where::kBeforeWork;

  std::mutex mutex;  // Guards all below.
  std::condition_variable changed;
  std::size_t arrived = 0;
  std::size_t let_go = 0;  // The first `let_go` arrivals may pass.
  bool open = false;
  bool holds_no_more = false;  // Who comes now goes by.
  bool stopped = false;
};

Gate::Gate(std::shared_ptr<State> state) : state_(std::move(state)) {}
Gate::Gate(Gate&&) noexcept = default;

Gate& Gate::operator=(Gate&& other) noexcept {
  if (state_ != nullptr) release();
  state_ = std::move(other.state_);
  return *this;
}

Gate::~Gate() {
  if (state_ != nullptr) release();
}

bool Gate::wait_for_arrivals(std::size_t n, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, timeout, [&] { return state_->arrived >= n; });
}

std::size_t Gate::arrivals() const {
  std::lock_guard lock(state_->mutex);
  return state_->arrived;
}

void Gate::release_one() {
  std::lock_guard lock(state_->mutex);
  ++state_->let_go;
  state_->changed.notify_all();
}

void Gate::release() {
  std::lock_guard lock(state_->mutex);
  state_->open = true;
  state_->changed.notify_all();
}

void Gate::hold_no_more() {
  std::lock_guard lock(state_->mutex);
  state_->holds_no_more = true;
}

Gate Gates::hold(std::string_view operation, std::string_view path, Gate::Where where) {
  auto state = std::make_shared<Gate::State>();
  state->operation = operation;
  state->path = path;
  state->where = where;
  std::lock_guard lock(mutex_);
  gates_.push_back(state);
  return Gate(std::move(state));
}

void Gates::pass(std::string_view operation, std::string_view path, Gate::Where where) {
  for (const auto& gate : matching(operation, path, where)) {
    std::unique_lock lock(gate->mutex);
    if (gate->holds_no_more) continue;
    const std::size_t mine = gate->arrived++;
    gate->changed.notify_all();
    gate->changed.wait(lock, [&] { return gate->open || gate->stopped || mine < gate->let_go; });
  }
}

void Gates::set_stopped(bool stopped) {
  std::lock_guard lock(mutex_);
  stopped_ = stopped;
  for (const auto& held : gates_) {
    const auto gate = held.lock();
    if (gate == nullptr) continue;
    std::lock_guard gate_lock(gate->mutex);
    gate->stopped = stopped;
    gate->changed.notify_all();
  }
}

std::vector<std::shared_ptr<Gate::State>> Gates::matching(std::string_view operation, std::string_view path,
                                                          Gate::Where where) {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Gate::State>> found;
  if (stopped_) return found;
  std::erase_if(gates_, [](const auto& gate) { return gate.expired(); });
  for (const auto& held : gates_) {
    auto gate = held.lock();
    if (gate != nullptr && gate->where == where && glob_matches(gate->operation, operation) &&
        glob_matches(gate->path, path))
      found.push_back(std::move(gate));
  }
  return found;
}

}  // namespace lakefuse::test
