// A server of its own for one part of a scenario.
#pragma once

#include "server_child.h"
#include "support.h"

namespace messenger::bench {

using LogServerOptions = ServeOptions;

// In a child process, from construction to destruction.
class LogServer {
 public:
  LogServer(const Setting& setting, const LogServerOptions& options)
      : LogServer(setting, options, Clock::now()) {}

  // What talks to this server.
  const Setting& setting() const { return setting_; }
  // From the start of the process until it listened.
  double start_seconds() const { return start_seconds_; }

  // With SIGKILL, so that the log is not closed.
  void Kill() { child_.Kill(); }

 private:
  LogServer(const Setting& setting, const LogServerOptions& options,
            Clock::time_point start)
      : child_(options),
        start_seconds_(SecondsSince(start)),
        setting_{.options = setting.options,
                 .target = child_.target(),
                 .bare_target = child_.bare_target(),
                 .server = ProcessProbe(child_.pid()),
                 .bare_server = ProcessProbe(child_.pid()),
                 .clients = setting.clients} {}

  ServerChild child_;
  double start_seconds_;
  Setting setting_;
};

}  // namespace messenger::bench
