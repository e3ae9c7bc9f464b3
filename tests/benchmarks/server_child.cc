#include "server_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <string>
#include <system_error>

namespace messenger::bench {
namespace {

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe");
    }
    out = ends[0];
    in = ends[1];
  }
  int out;
  int in;
};

// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void Exec(int in, int out, char* const* argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) {
    execv("/proc/self/exe", argv);
  }
  _exit(127);
}

std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

}  // namespace

ServerChild::ServerChild(const ServeOptions& options) {
  const Pipe input;
  const Pipe output;
  std::string name = "messenger_bench";
  std::string mode = "serve";
  std::string log = fmt::format("--log={}", options.log);
  std::string durability = fmt::format("--durability={}", options.durability);
  std::string journal =
      fmt::format("--journal-bytes={}", options.journal_bytes);
  std::string retention =
      fmt::format("--retention-bytes={}", options.retention_bytes);
  std::string lock_checks =
      fmt::format("--lock-checks={}", options.lock_checks);
  const std::array<char*, 8> argv = {
      name.data(),    mode.data(),      log.data(),         durability.data(),
      journal.data(), retention.data(), lock_checks.data(), nullptr};
  pid_ = fork();
  if (pid_ == 0) Exec(input.out, output.in, argv.data());
  close(input.out);
  close(output.in);
  stdin_ = input.in;
  // "TARGET BARE_TARGET"
  const std::string line = ReadLine(output.out);
  close(output.out);
  const std::size_t space = line.find(' ');
  if (pid_ < 0 || space == std::string::npos) {
    throw std::runtime_error("the server process did not start");
  }
  target_ = line.substr(0, space);
  bare_target_ = line.substr(space + 1);
}

ServerChild::~ServerChild() {
  close(stdin_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

void ServerChild::Kill() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace messenger::bench
