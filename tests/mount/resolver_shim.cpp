// Preloaded into the program under test: while the file that LAKEFUSE_TEST_RESOLVER names is there, no host
// is found, not even by its digits.

#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
  static auto* const next = reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const char* const lost = std::getenv("LAKEFUSE_TEST_RESOLVER");
  if (lost != nullptr && ::access(lost, F_OK) == 0) return EAI_AGAIN;
  return next(host, service, hints, found);
}
