#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "client/object_store.h"

// What all changes on the branch share: how an answer that was lost is recognised, how the branch is asked
// what became of it, and how often and how soon.

namespace lakefuse {

// Waits; fails with kInterrupted when the thread's Patience ends. Tests put in a clock of their own.
using Sleep = std::function<Result<>(std::chrono::milliseconds)>;
Result<> sleep_patiently(std::chrono::milliseconds pause);

// Of 600 links whose connection was cut, 51 were not there at once and all were 150 ms later.
inline constexpr std::chrono::milliseconds kUntilSecondLook{200};
// A repeated write of another client (design rule 3) lands within milliseconds.
inline constexpr std::chrono::milliseconds kUntilConfirmed{20};
// By then most commits are over, and what they drop is gone: on the real server they take 70 ms.
inline constexpr std::chrono::milliseconds kUntilLost{100};
// Grows with each round; a commit in a loop spoils 18 % of conditional links, so twelve rounds lose one in
// 10^9.
inline constexpr std::chrono::milliseconds kBetweenRounds{10};
inline constexpr int kMaxRounds = 12;
// Half a second in all; commits with hooks take as long as they like.
inline constexpr int kMaxLooksForCommit = 10;
// Each may have cost a whole deadline.
inline constexpr int kMaxLostAnswers = 4;
// From this size on bytes go up in parts, where the store takes them: a part is 16 MiB, and a few calls more
// do not count beside four of them.
inline constexpr std::uint64_t kMultipartFrom = std::uint64_t{64} << 20;
// Each sends the whole body again.
inline constexpr int kMaxUploads = 3;

// True when a call that failed so may have done its work all the same, now or a moment later.
[[nodiscard]] bool may_be_done(Errc code);

// What is at `path`; nothing, where stat says kNotFound.
Result<std::optional<ObjectInfo>> look_at(ObjectStore& lake, const ObjectPath& path,
                                          ObjectStore::Look look = ObjectStore::Look::kEntry);

// What became of a call whose answer was lost: waits for `pause`, then looks. Fails with the lost call's own
// cause when the branch cannot be asked, or with kInterrupted when the thread's Patience has ended.
Result<std::optional<ObjectInfo>> look_after(const Error& lost, std::chrono::milliseconds pause,
                                             ObjectStore& lake, const ObjectPath& path, const Sleep& sleep);

}  // namespace lakefuse
