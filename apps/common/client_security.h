// How a program's client encrypts its connections, and says who it is.
#pragma once

#include <string>

#include "messenger/client.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

struct ClientSecurity {
  bool tls = false;
  std::string ca_file;
  std::string certificate_file;
  std::string private_key_file;
  std::string server_name;
  std::string token_file;
  std::string token;  // of the environment
  bool insecure_token = false;
};

// --tls, --tls-ca, --tls-cert, --tls-key, --tls-server-name, --token-file and
// --insecure-token. What is not given is taken from the environment.
void AddClientSecurity(CLI::App& app, ClientSecurity* security);

// The same for one of several servers: --SIDE-tls, …, without the environment.
void AddClientSecurityOf(CLI::App& app, const std::string& side,
                         ClientSecurity* security);

// For --help: what the variables are called.
inline constexpr const char* kClientSecurityVariables =
    R"(  MESSENGER_TLS_CA      the CA if there is no --tls-ca
  MESSENGER_TLS_CERT    likewise for --tls-cert,
  MESSENGER_TLS_KEY     and --tls-key
  MESSENGER_TOKEN       the token itself, or the file that
  MESSENGER_TOKEN_FILE  holds it, if there is no --token-file)";

// Into the options of a client.
void SetSecurity(const ClientSecurity& security, ClientOptions* options);

// Whether the server may know by it who calls: then the author of messages is
// the server's business.
bool IdentifiesCaller(const ClientSecurity& security);

}  // namespace messenger::app
