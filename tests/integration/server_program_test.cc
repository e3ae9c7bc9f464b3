// What messenger-server adds to the library: the standard health service and
// reflection.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/printing.h"
#include "support/raw_client.h"
#include "support/sanitized.h"
#include "support/server_process.h"
#include "support/tcp_socket.h"
#include "support/temporary_directory.h"

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

// All memory that the process has mapped.
std::uint64_t AddressSpaceOf(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::uint64_t pages = 0;
  file >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void LimitAddressSpace(pid_t pid, std::uint64_t bytes) {
  const rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
  if (prlimit(pid, RLIMIT_AS, &limit, nullptr) != 0) {
    throw std::runtime_error("prlimit");
  }
}

TEST_CASE("messenger-server refuses what it has no memory for, and goes on") {
  if (kSanitized) return;  // they need all of the address space
  const TemporaryDirectory directory;
  // One heap, so that what cannot be mapped is not found in another one.
  ServerProcess server(MESSENGER_SERVER_PROGRAM,
                       {"--listen", "127.0.0.1:0", "--log", "memory:"},
                       {"MALLOC_ARENA_MAX=1", "MALLOC_MMAP_THRESHOLD_=65536"},
                       directory.path() + "/notices");
  REQUIRE(server.AwaitListening(std::chrono::seconds(30)));
  RawClient client(server.port());
  constexpr const char* kSend = "/messenger.v1.MessengerServer/SendMessages";
  // 65,536 empty messages: a small request, for which more than 1 MiB is
  // needed once it is taken apart.
  std::string many = BytesField(1, "many");
  for (int i = 0; i < 65'536; ++i) many += BytesField(4, "");
  std::string one = BytesField(1, "one");
  one += BytesField(4, BytesField(4, "a text"));
  // So that all threads are there, and what gRPC needs once.
  for (int i = 0; i < 3; ++i) {
    const RawClient::Answer answer = client.Call(kSend, many);
    CAPTURE(answer.status.error_message());
    REQUIRE(answer.status.ok());
    REQUIRE(client.Call(kSend, one).status.ok());
  }
  LimitAddressSpace(server.pid(),
                    AddressSpaceOf(server.pid()) + (std::uint64_t{640} << 10));
  for (int i = 0; i < 3; ++i) {
    const RawClient::Answer refused = client.Call(kSend, many);
    CAPTURE(refused.status.error_message());
    CHECK(refused.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK(Contains(refused.status.error_message(), "memory"));
    const RawClient::Answer answer = client.Call(kSend, one);
    CAPTURE(answer.status.error_message());
    CHECK(answer.status.ok());
  }
  LimitAddressSpace(server.pid(), RLIM_INFINITY);
  CHECK(client.Call(kSend, many).status.ok());
  CHECK(client.GetChannel("many").head() == 4 * 65'536);
  CHECK(client.GetChannel("one").head() == 6);
  CHECK(server.Stop() == 0);
}

// The program with this limit of descriptors, as the shell's ulimit sets it.
ServerProcess StartWithLimit(const std::string& limit,
                             const std::string& options,
                             const TemporaryDirectory& directory) {
  return {"/bin/sh",
          {"-c",
           "ulimit " + limit +
               " && exec \"$0\" --listen 127.0.0.1:0 --log memory: " + options,
           MESSENGER_SERVER_PROGRAM},
          {},
          directory.path() + "/notices"};
}

std::string NoticesIn(const TemporaryDirectory& directory) {
  std::ifstream file(directory.path() + "/notices");
  return {std::istreambuf_iterator<char>(file), {}};
}

// Connects so many times, and returns how many of them are served.
int CountServed(int port, int connections) {
  std::vector<std::unique_ptr<TcpSocket>> sockets;
  for (int i = 0; i < connections; ++i) {
    auto socket = TcpSocket::TryConnect(port);
    if (!socket) continue;
    socket->Send(Http2Preface());
    sockets.push_back(std::move(socket));
  }
  int served = 0;
  for (const auto& socket : sockets) {
    if (!socket->Receive(9).empty()) ++served;
  }
  return served;
}

// Whether a client that comes now is served, but for the time that the server
// takes to hear that others have gone.
bool ServesAgain(int port) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (SendAndReadBack(port) != "OK") {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

TEST_CASE(
    "messenger-server with few descriptors refuses connections, and serves "
    "again when there are fewer") {
  for (const auto& [options, reason] :
       {std::pair("", "beyond max_connections (16)"),
        // More than there are descriptors for.
        std::pair("--max-connections 10000", "no file descriptors left")}) {
    const TemporaryDirectory directory;
    ServerProcess server = StartWithLimit("-n 64", options, directory);
    REQUIRE(server.AwaitListening(kRawDeadline));
    // With descriptors, first: a sanitizer that meets a type for the first time
    // needs some to look at it.
    CHECK(ServesAgain(server.port()));
    for (int i = 0; i < 3; ++i) {
      const int served = CountServed(server.port(), 120);
      CHECK(served >= 10);
      CHECK(served < 60);
      CHECK(ServesAgain(server.port()));
    }
    CHECK(server.Stop() == 0);
    const std::string notices = NoticesIn(directory);
    CHECK(notices.find("messenger-server: refused ") != std::string::npos);
    CHECK(notices.find(reason) != std::string::npos);
    // Not one for each connection.
    CHECK(std::count(notices.begin(), notices.end(), '\n') < 8);
  }
}

TEST_CASE("messenger-server takes as many descriptors as it may have") {
  const TemporaryDirectory directory;
  // The soft limit is what programs usually get, the hard one what they may.
  ServerProcess server = StartWithLimit("-Sn 64", "", directory);
  REQUIRE(server.AwaitListening(kRawDeadline));
  CHECK(CountServed(server.port(), 120) == 120);
  CHECK(ServesAgain(server.port()));
  CHECK(server.Stop() == 0);
  CHECK(NoticesIn(directory).find("refused") == std::string::npos);
}

TEST_CASE("messenger-server has no more connections than it is told") {
  const TemporaryDirectory directory;
  ServerProcess server =
      StartWithLimit("-Sn 64", "--max-connections 7", directory);
  REQUIRE(server.AwaitListening(kRawDeadline));
  CHECK(CountServed(server.port(), 20) == 7);
  CHECK(ServesAgain(server.port()));
  CHECK(server.Stop() == 0);
}

}  // namespace
}  // namespace messenger::test::server_program_test
