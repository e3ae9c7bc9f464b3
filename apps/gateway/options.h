// The command line of messenger-gateway.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "apps/gateway/certificate.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/http_server.h"

namespace messenger::app {

struct GatewayCommand {
  std::string listen = {};
  GatewayOptions gateway = {};
  HttpLimits limits = {};
  // For its own HTTP. Empty: it is plain.
  CertificateFiles https = {};
  // Plain HTTP is served to other machines as well.
  bool insecure = false;
  std::vector<std::string> allowed_hosts = {};
  std::vector<std::string> cors_origins = {};
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(5);
};

// Reads the command line and the environment. Null if the program should end
// with `*exit_code`: help was printed, or an error.
std::unique_ptr<GatewayCommand> ParseGatewayCommand(int argc,
                                                    const char* const* argv,
                                                    int* exit_code);

}  // namespace messenger::app
