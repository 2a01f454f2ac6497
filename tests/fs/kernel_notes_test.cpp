#include "fs/kernel_notes.h"

#include <doctest/doctest.h>

#include <latch>
#include <string>
#include <vector>

namespace lakefuse::test {
namespace {

constexpr NodeId kDirectory{7};

// A kernel that holds the first note up until it is let go.
class SlowKernel {
 public:
  KernelNotes::Kernel kernel() {
    return {.forget_name =
                [this](NodeId, const std::string& name) {
                  told_.push_back(name);
                  if (told_.size() > 1) return;
                  entered_.count_down();
                  go_.wait();
                },
            .forget_attributes = [this](NodeId node) { nodes_.push_back(node); }};
  }
  void wait_until_entered() { entered_.wait(); }
  void let_go() { go_.count_down(); }
  // After close().
  [[nodiscard]] const std::vector<std::string>& told() const { return told_; }
  [[nodiscard]] const std::vector<NodeId>& nodes() const { return nodes_; }

 private:
  std::vector<std::string> told_;
  std::vector<NodeId> nodes_;
  std::latch entered_{1};
  std::latch go_{1};
};

}  // namespace

TEST_CASE("kernel notes: a kernel that holds one up holds nobody else up, and is told each note once") {
  SlowKernel slow;
  KernelNotes notes(slow.kernel());
  notes.forget_name(kDirectory, "first");
  slow.wait_until_entered();
  for (int n = 0; n < 1000; ++n) {
    notes.forget_name(kDirectory, "second");
    notes.forget_attributes(kDirectory);
  }
  slow.let_go();
  // close() drops what still waits.
  while (!notes.is_idle()) std::this_thread::yield();
  notes.close();
  CHECK(slow.told() == std::vector<std::string>{"first", "second"});
  CHECK(slow.nodes() == std::vector<NodeId>{kDirectory});
}

TEST_CASE("kernel notes: after close nothing is told any more") {
  SlowKernel slow;
  KernelNotes notes(slow.kernel());
  notes.forget_name(kDirectory, "first");
  slow.wait_until_entered();
  notes.forget_name(kDirectory, "waiting");
  std::jthread closing([&] { notes.close(); });
  // close() drops what waits before it joins; only then may the kernel go on.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  slow.let_go();
  closing.join();
  notes.forget_name(kDirectory, "late");
  notes.close();
  CHECK(slow.told() == std::vector<std::string>{"first"});
}

}  // namespace lakefuse::test
