// What every test of the publisher says in a word.
#pragma once

#include <chrono>
#include <string>

#include "client/object_path.h"
#include "client/publish_look.h"
#include "tests/support/fake_clock.h"

namespace lakefuse::test {

inline ObjectPath path_of(const std::string& key) {
  return ObjectPath::make(key).value();
}

inline Sleep sleeper(FakeClock& clock) {
  return [&clock](std::chrono::milliseconds pause) { return clock.sleep(pause); };
}

}  // namespace lakefuse::test
