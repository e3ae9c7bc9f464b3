// A messenger-server of one's own, to be ended in whatever way.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace messenger::test {

// Thread safety: none.
class ServerProcess {
 public:
  // Starts the program with these arguments, and environment variables
  // (NAME=VALUE) beside those of this process. What it prints on stderr is
  // appended to the file `notices`.
  ServerProcess(const std::string& program, std::vector<std::string> arguments,
                std::vector<std::string> variables, const std::string& notices);
  // Kills it, if it has not ended.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  pid_t pid() const { return pid_; }

  // Waits until it listens; false if it has ended, or after `patience`.
  bool AwaitListening(std::chrono::milliseconds patience);
  // Once it listens.
  int port() const { return port_; }

  // SIGKILL: none of its instructions is executed any more, but system calls
  // that are under way may still go on.
  void Strike() const;
  // SIGKILL; returns when the process is gone.
  void Kill();
  // It hangs, until Continue.
  void Pause() const;
  void Continue() const;
  // SIGTERM; returns the exit code, or -1 if a signal has ended it.
  int Stop();

 private:
  // Waits for its end.
  int Reap();

  pid_t pid_ = -1;
  int stdout_ = -1;
  std::string line_;  // of stdout, as far as it has come
  int port_ = 0;
};

}  // namespace messenger::test
