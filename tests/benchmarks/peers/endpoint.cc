#include "peers/endpoint.h"

#include "support.h"

namespace messenger::bench {

ClientOptions ClientOptionsFor(const Endpoint& server) {
  ClientOptions options = {.target = server.address, .token = server.token};
  if (!server.ca_file.empty()) options.tls = {.ca_file = server.ca_file};
  return options;
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(
    const Endpoint& server) {
  if (server.ca_file.empty()) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = ReadFile(server.ca_file)});
}

}  // namespace messenger::bench
