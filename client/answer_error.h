#pragma once

#include <span>
#include <string>
#include <string_view>

#include "client/error.h"
#include "client/http.h"
#include "client/secret.h"

namespace lakefuse {

// What a status means, in words that need no table: 423 is "too many requests" on old servers.
[[nodiscard]] std::string_view status_in_words(int status);

// The cause behind a status of the lakeFS API where the call has no meaning of its own for it. `message` is
// the server's sentence: it tells a protected branch from a forbidden store (both 403).
[[nodiscard]] Errc cause_of(int status, std::string_view message);

// A stranger's text, fit to be shown: at most 300 printable characters on one line, without the query of any
// URL (which may be a signature) and without any of `secrets`.
[[nodiscard]] std::string shown(std::string_view text, std::span<const Secret> secrets = {});

// What an object store says in its XML: "<Code>: <Message>"; of any other body nothing, for it may say back
// what it was sent.
[[nodiscard]] std::string store_message(std::string_view body);

// "<call>: <status> <what it means>: <message>".
[[nodiscard]] Error answer_error(Errc code, std::string_view call, int status, std::string_view message);

}  // namespace lakefuse
