#pragma once

#include <string>
#include <string_view>

#include "client/object_store.h"

namespace lakefuse {

// The key of our nonce in user metadata: two objects with equal bytes are told apart by it. Everything that
// we publish carries one. Lower-case and free of ':' so that it survives the header form of upload_object.
inline constexpr std::string_view kNonceKey = "lakefuse-nonce";

// What metadata says there; empty where it says nothing.
std::string nonce_of(const Metadata& metadata);

// 128 random bits in hex: drawn once for each staged file.
std::string draw_nonce();

// What an entry at `physical_address` says under kNonceKey. It names the address, too, since user_metadata
// writes to whatever entry is there: a nonce of ours can end up on another client's entry, and must not make
// it ours.
std::string bound_nonce(std::string_view nonce, std::string_view physical_address);

// Whether an entry at `physical_address` that says `said` was linked with that nonce. `is_bound`: false where
// nothing can be presigned: the address is not known beforehand there, and the nonce not bound to it.
bool is_nonce(std::string_view said, std::string_view nonce, std::string_view physical_address,
              bool is_bound);

}  // namespace lakefuse
