#include "support/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "support/spawn.h"

namespace messenger::test {
ServerProcess::ServerProcess(const std::string& program,
                             std::vector<std::string> arguments,
                             std::vector<std::string> variables,
                             const std::string& notices) {
  std::array<int, 2> ends{};
  CheckSpawn(pipe2(ends.data(), O_CLOEXEC) == 0 ? 0 : errno, "pipe2");
  arguments.insert(arguments.begin(), program);
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  posix_spawn_file_actions_t actions;
  CheckSpawn(posix_spawn_file_actions_init(&actions), "posix_spawn");
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, notices.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int error =
      posix_spawn(&pid_, program.c_str(), &actions, nullptr,
                  Pointers(arguments).data(), Pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  stdout_ = ends[0];
  if (error != 0) {
    pid_ = -1;
    close(stdout_);
  }
  CheckSpawn(error, program.c_str());
}

ServerProcess::~ServerProcess() {
  Kill();
  close(stdout_);
}

bool ServerProcess::AwaitListening(std::chrono::milliseconds patience) {
  constexpr std::string_view kBefore = " listening on 127.0.0.1:";
  const auto end = std::chrono::steady_clock::now() + patience;
  while (port_ == 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd waited = {.fd = stdout_, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 ||
        poll(&waited, 1, static_cast<int>(left.count())) <= 0) {
      return false;
    }
    char c;
    if (read(stdout_, &c, 1) != 1) return false;
    line_ += c;
    if (c != '\n') continue;
    const std::size_t at = line_.find(kBefore);
    if (at == std::string::npos) return false;
    port_ = std::atoi(&line_[at + kBefore.size()]);
  }
  return true;
}

void ServerProcess::Strike() const {
  kill(pid_, SIGKILL);
}

void ServerProcess::Kill() {
  if (pid_ < 0) return;
  Strike();
  Reap();
}

void ServerProcess::Pause() const {
  kill(pid_, SIGSTOP);
}

void ServerProcess::Continue() const {
  kill(pid_, SIGCONT);
}

int ServerProcess::Stop() {
  kill(pid_, SIGTERM);
  return Reap();
}

int ServerProcess::Reap() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace messenger::test
