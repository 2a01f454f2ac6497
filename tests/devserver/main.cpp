// lakefuse-devserver: the lakeFS double as a program.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "tests/devserver/dev_server.h"
#include "tests/devserver/json.h"

namespace lakefuse::test {

using namespace devserver;

namespace {

struct Arguments {
  DevServerOptions server;
  std::string latency = "off";
  double latency_factor = 1;
  std::string races = "off";
  bool no_presign = false;
  bool no_multipart = false;
  std::vector<std::string> repositories;
  std::vector<std::string> faults;
  std::filesystem::path ready_file;
};

void describe(CLI::App& app, Arguments& arguments) {
  DevServerOptions& server = arguments.server;
  app.add_option("--listen", server.listen, "Where the lake listens, ADDRESS:PORT; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--store-listen", server.store_listen, "Where the object store listens")
      ->capture_default_str();
  app.add_option("--data", server.data,
                 "Keep the lake in this directory, over restarts; without it all is gone at the end");
  app.add_option("--repo", arguments.repositories,
                 "Create this repository at the start if it is missing; may be repeated");
  app.add_flag("--no-presign", arguments.no_presign, "No presigned URLs, as with block store 'local'");
  app.add_flag("--no-multipart", arguments.no_multipart, "No presigned multipart uploads");
  app.add_option("--server-version", server.version, "The version that /config tells")->capture_default_str();
  app.add_option("--tls-cert", server.tls_cert, "Speak TLS on both listeners, with this certificate (PEM)");
  app.add_option("--tls-key", server.tls_key, "The certificate's key (PEM)");
  app.add_option("--latency", arguments.latency, "real: every call takes what it takes on a real server")
      ->check(CLI::IsMember({"off", "real"}))
      ->capture_default_str();
  app.add_option("--latency-factor", arguments.latency_factor, "So many times the real delays")
      ->capture_default_str();
  app.add_option("--races", arguments.races,
                 "real: leave time between the steps of link and commit: false 412s happen")
      ->check(CLI::IsMember({"off", "real"}))
      ->capture_default_str();
  app.add_option("--log", server.log_file, "Append each call to this file, one JSON object a line");
  app.add_option("--fault", arguments.faults,
                 "kind=status,operation=link_physical_address,status=503,times=2 or JSON");
  app.add_option("--ready-file", arguments.ready_file,
                 "Written when the server serves: endpoint, store_endpoint, pid");
  app.footer(
      "Credentials: LAKEFUSE_DEV_ACCESS_KEY_ID and LAKEFUSE_DEV_SECRET_ACCESS_KEY in the environment, else\n "
      " " +
      DevServerOptions().access_key_id + " and " + DevServerOptions().secret_access_key +
      "\nAnybody who reaches the port may use /_dev/: listen on loopback only.");
}

void read_environment(DevServerOptions& options) {
  if (const char* id = std::getenv("LAKEFUSE_DEV_ACCESS_KEY_ID")) options.access_key_id = id;
  if (const char* secret = std::getenv("LAKEFUSE_DEV_SECRET_ACCESS_KEY")) options.secret_access_key = secret;
}

// Whole or not there: who waits for it may read it as soon as it exists.
void write_ready_file(const std::filesystem::path& file, const DevServer& server) {
  const json::object ready{
      {"endpoint", server.endpoint()}, {"store_endpoint", server.store_endpoint()}, {"pid", ::getpid()}};
  const std::filesystem::path half = file.string() + ".new";
  std::ofstream(half) << to_text(ready) << "\n";
  std::filesystem::rename(half, file);
}

int serve(Arguments& arguments, const sigset_t& ends) {
  DevServer server(arguments.server);
  for (const std::string& fault : arguments.faults) server.add_fault(parse_fault(fault));
  for (const std::string& repository : arguments.repositories) {
    try {
      server.head(repository, "main");
    } catch (const std::runtime_error&) {
      server.create_repository(repository);
    }
  }
  std::cout << "lakefuse-devserver: serving the lake at " << server.endpoint() << ", its store at "
            << server.store_endpoint() << std::endl;
  if (!arguments.ready_file.empty()) write_ready_file(arguments.ready_file, server);
  int signal = 0;
  ::sigwait(&ends, &signal);
  std::error_code ignored;
  if (!arguments.ready_file.empty()) std::filesystem::remove(arguments.ready_file, ignored);
  return 0;
}

}  // namespace
}  // namespace lakefuse::test

int main(int argc, char** argv) {
  using namespace lakefuse::test;
  CLI::App app("A lakeFS server for development and tests: the API, an object store, and faults on demand.");
  Arguments arguments;
  describe(app, arguments);
  CLI11_PARSE(app, argc, argv);
  arguments.server.presign = !arguments.no_presign;
  arguments.server.multipart = !arguments.no_multipart;
  arguments.server.latency = arguments.latency == "real" ? arguments.latency_factor : 0;
  arguments.server.races = arguments.races == "real";
  read_environment(arguments.server);
  sigset_t ends;  // Blocked before any thread exists, so that sigwait() alone gets them.
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  try {
    return serve(arguments, ends);
  } catch (const std::exception& problem) {
    std::cerr << "lakefuse-devserver: " << problem.what() << std::endl;
    return 1;
  }
}
