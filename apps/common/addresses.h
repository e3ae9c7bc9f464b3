// Addresses on the command lines: where the server is, and where to listen.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "messenger/address.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

// The variable of the environment; null if there is none, or it is empty.
const char* Variable(const char* name);
// Sets `*value` to it, if there is one.
void TakeVariable(const char* name, std::string* value);

// For CLI11: what is wrong with the address HOST:PORT, or nothing.
std::string CheckAddress(const std::string& address);
// The same for the address of a server, HOST[:PORT].
std::string CheckTarget(const std::string& server);

// --server; without it, `*server` is $MESSENGER_SERVER_ADDR, else localhost.
void AddServerAddress(CLI::App& app, std::string* server);

// Makes it what ParseTarget returns, once the command line is parsed.
// INVALID_ARGUMENT names the variable: --server has been checked.
absl::Status ResolveServerAddress(std::string* server);

// Whether this address to listen on is reached by this machine alone.
bool IsLoopback(const std::string& listen);

// --listen.
void AddListenAddress(CLI::App& app, std::string* listen,
                      const std::string& description);

// Where to listen without --listen, and the variables that change it.
struct DefaultListen {
  Address address;
  const char* port_variable;
  const char* host_variable = nullptr;
};

// Takes the default if there was no --listen. INVALID_ARGUMENT names the
// variable.
absl::Status ResolveListenAddress(DefaultListen otherwise, std::string* listen);

}  // namespace messenger::app
