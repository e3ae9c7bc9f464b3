// The server process.
#pragma once

#include <sys/types.h>

#include <string>

#include "serve.h"

namespace messenger::bench {

// This program again, in its serve mode, from construction to destruction.
class ServerChild {
 public:
  // Throws std::runtime_error if it does not start.
  explicit ServerChild(const ServeOptions& options);
  ~ServerChild();
  ServerChild(const ServerChild&) = delete;
  ServerChild& operator=(const ServerChild&) = delete;

  // Ends it with SIGKILL.
  void Kill();

  pid_t pid() const { return pid_; }
  // Where the message log listens.
  const std::string& target() const { return target_; }
  // Where the bare gRPC server listens.
  const std::string& bare_target() const { return bare_target_; }

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;  // the child ends when it is closed
  std::string target_;
  std::string bare_target_;
};

}  // namespace messenger::bench
