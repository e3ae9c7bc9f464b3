// How a server that is measured is reached.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "messenger/client.h"

namespace messenger::bench {

struct Endpoint {
  std::string address;  // host:port
  std::string ca_file;  // the CA of its certificate; empty: no TLS
  std::string token;    // empty: it asks for none
};

// For libmessenger's client.
ClientOptions ClientOptionsFor(const Endpoint& server);

// For bare gRPC, which knows no token. Throws std::runtime_error if the CA's
// file cannot be read.
std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(
    const Endpoint& server);

}  // namespace messenger::bench
