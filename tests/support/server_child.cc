#include "support/server_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "messenger/server.h"
#include "support/spawn.h"

namespace messenger::test {
namespace {

constexpr int kPatienceMs = 30'000;

std::pair<int, int> MakePipe() {
  std::array<int, 2> ends{};
  CheckSpawn(pipe2(ends.data(), O_CLOEXEC) == 0 ? 0 : errno, "pipe2");
  return {ends[0], ends[1]};
}

std::string ReadLine(int fd) {
  std::string line;
  for (;;) {
    pollfd waited = {.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&waited, 1, kPatienceMs) <= 0) break;
    char c;
    if (read(fd, &c, 1) != 1 || c == '\n') break;
    line += c;
  }
  return line;
}

}  // namespace

int RunServerChild() {
  const char* const text = std::getenv(kServerChildVariable);
  if (text == nullptr) return EXIT_FAILURE;
  char* end = nullptr;
  const std::uint64_t retention_bytes = std::strtoull(text, &end, 10);
  const std::size_t max_frame_bytes = std::strtoull(end, nullptr, 10);
  const auto log =
      OpenLog("memory:", {.retention = {.max_bytes = retention_bytes}});
  if (!log.ok()) return EXIT_FAILURE;
  const auto server =
      Server::Start({.listen = "127.0.0.1:0",
                     .log = *log,
                     .service = {.max_frame_bytes = max_frame_bytes}});
  if (!server.ok()) return EXIT_FAILURE;
  std::printf("%d\n", (*server)->port());
  static_cast<void>(std::fflush(stdout));
  char ignored;
  while (read(STDIN_FILENO, &ignored, 1) > 0) {
  }
  (*server)->Shutdown(std::chrono::seconds(1));
  return EXIT_SUCCESS;
}

ServerChild::ServerChild(ServerChildOptions options) {
  const auto [child_in, in] = MakePipe();
  const auto [out, child_out] = MakePipe();

  std::vector<std::string> environment = {
      fmt::format("{}={} {}", kServerChildVariable, options.retention_bytes,
                  options.max_frame_bytes)};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  std::vector<std::string> arguments = {"server-child"};
  posix_spawn_file_actions_t actions;
  CheckSpawn(posix_spawn_file_actions_init(&actions), "posix_spawn");
  posix_spawn_file_actions_adddup2(&actions, child_in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, child_out, STDOUT_FILENO);
  const int error =
      posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr,
                  Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(child_in);
  close(child_out);
  stdin_ = in;
  stdout_ = out;
  CheckSpawn(error, "posix_spawn");
  const std::string line = ReadLine(stdout_);
  port_ = std::atoi(line.c_str());
  if (port_ == 0) throw std::runtime_error("the server child has no port");
}

ServerChild::~ServerChild() {
  close(stdin_);
  // Its end of the pipe closes with it; if it does not end, it is ended.
  pollfd waited = {.fd = stdout_, .events = POLLIN, .revents = 0};
  if (poll(&waited, 1, kPatienceMs) == 0) kill(pid_, SIGKILL);
  close(stdout_);
  waitpid(pid_, nullptr, 0);
}

std::string ServerChild::ProcPath(const char* name) const {
  return fmt::format("/proc/{}/{}", pid_, name);
}

std::size_t ServerChild::ResidentBytes() const {
  std::ifstream file(ProcPath("statm"));
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t ServerChild::PeakResidentBytes() const {
  std::ifstream file(ProcPath("status"));
  for (std::string name; file >> name;) {
    if (name != "VmHWM:") continue;
    std::size_t kilobytes = 0;
    file >> kilobytes;
    return kilobytes << 10U;
  }
  throw std::runtime_error("the kernel does not tell the peak memory");
}

std::size_t ServerChild::OpenDescriptors() const {
  const std::filesystem::directory_iterator files(ProcPath("fd"));
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

std::uint64_t ServerChild::CpuTicks() const {
  std::ifstream file(ProcPath("stat"));
  std::string ignored;
  // The name, in parentheses, is the second field; utime and stime are the
  // 14th and the 15th.
  std::getline(file, ignored, ')');
  for (int field = 3; field < 14; ++field) file >> ignored;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  file >> user >> system;
  return user + system;
}

}  // namespace messenger::test
