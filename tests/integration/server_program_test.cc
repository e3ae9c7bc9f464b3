// What messenger-server adds to the library: the standard health service and
// reflection.
#include <doctest/doctest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "support/raw_client.h"

namespace messenger::test::server_program_test {
namespace {

// A messenger-server on a free port.
class ServerProgram {
 public:
  ServerProgram() {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) throw std::runtime_error("pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    std::array<std::string, 5> words = {MESSENGER_SERVER_PROGRAM, "--listen",
                                        "127.0.0.1:0", "--log", "memory:"};
    std::array<char*, 6> arguments = {words[0].data(), words[1].data(),
                                      words[2].data(), words[3].data(),
                                      words[4].data(), nullptr};
    const int error = posix_spawn(&pid_, words[0].c_str(), &actions, nullptr,
                                  arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) throw std::runtime_error("posix_spawn");
    FILE* const output = fdopen(ends[0], "r");
    if (std::fscanf(output, "%*s %*s listening on 127.0.0.1:%d", &port_) != 1) {
      port_ = 0;
    }
    std::fclose(output);
  }
  ~ServerProgram() {
    if (pid_ > 0) Stop();
  }
  ServerProgram(const ServerProgram&) = delete;
  ServerProgram& operator=(const ServerProgram&) = delete;

  int port() const { return port_; }

  // Sends SIGTERM and returns the exit code.
  int Stop() {
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

constexpr const char* kService = "messenger.v1.MessengerServer";

TEST_CASE("messenger-server answers health checks") {
  ServerProgram server;
  REQUIRE(server.port() != 0);
  RawClient client(server.port());
  const std::string serving = VarintField(1, 1);
  for (const char* service : {"", kService}) {
    const auto answer =
        client.Call("/grpc.health.v1.Health/Check", BytesField(1, service));
    CHECK(answer.status.ok());
    CHECK(answer.bytes == serving);
  }
  // A watcher is told when the server drains.
  RawStream watch = client.Open("/grpc.health.v1.Health/Watch");
  watch.Write(BytesField(1, kService));
  watch.CloseWrites();
  CHECK(watch.Read() == serving);
  CHECK(server.Stop() == 0);
  CHECK(watch.Read().value_or("") != serving);
}

TEST_CASE("messenger-server describes itself by reflection") {
  ServerProgram server;
  REQUIRE(server.port() != 0);
  RawClient client(server.port());
  constexpr std::uint32_t kListServices = 7;
  const auto answer = client.Call(
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      BytesField(kListServices, ""));
  CHECK(answer.status.ok());
  CHECK(answer.bytes.find(kService) != std::string::npos);
  CHECK(server.Stop() == 0);
}

}  // namespace
}  // namespace messenger::test::server_program_test
