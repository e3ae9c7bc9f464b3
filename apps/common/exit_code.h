// The exit codes that the programs share, as their --help documents them.
#pragma once

namespace messenger::app {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  // What it works on cannot be had: the server, the log.
  kUnavailable = 3,
};

// What a shell reports of a program that a signal ended.
inline int ExitCodeOfSignal(int signal) {
  return 128 + signal;
}

}  // namespace messenger::app
