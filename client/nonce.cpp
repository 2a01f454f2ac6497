#include "client/nonce.h"

#include <array>
#include <cstdint>
#include <random>

namespace lakefuse {
namespace {

std::string hex(std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, value >>= 4) *digit = kDigits[value & 15];
  return text;
}

// FNV-1a, which is the same in every build: entries outlive the program. Nobody gains by forging it, for
// whoever can write an entry's metadata can write the entry.
std::uint64_t fingerprint(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

std::string nonce_of(const Metadata& metadata) {
  const auto found = metadata.find(std::string(kNonceKey));
  return found == metadata.end() ? "" : found->second;
}

std::string draw_nonce() {
  // Its constructor asks the processor what it can, which a virtual machine has to be woken for.
  thread_local std::random_device device;
  const auto draw = [&] { return (std::uint64_t{device()} << 32) | device(); };
  return hex(draw()) + hex(draw());
}

std::string bound_nonce(std::string_view nonce, std::string_view physical_address) {
  return std::string(nonce) + '-' + hex(fingerprint(physical_address));
}

bool is_nonce(std::string_view said, std::string_view nonce, std::string_view physical_address,
              bool is_bound) {
  if (nonce.empty()) return false;
  return is_bound ? said == bound_nonce(nonce, physical_address) : said.starts_with(std::string(nonce) + '-');
}

}  // namespace lakefuse
