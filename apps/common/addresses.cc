#include "apps/common/addresses.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <utility>

#include "apps/common/status_text.h"

namespace messenger::app {
namespace {

absl::Status Wrong(const char* variable, const absl::Status& status) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", variable, MessageOf(status)));
}

constexpr const char* kServerVariable = "MESSENGER_SERVER_ADDR";

}  // namespace

const char* Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

void TakeVariable(const char* name, std::string* value) {
  if (const char* const text = Variable(name)) *value = text;
}

std::string CheckAddress(const std::string& address) {
  return std::string(MessageOf(ParseAddress(address).status()));
}

std::string CheckTarget(const std::string& server) {
  return std::string(MessageOf(ParseTarget(server).status()));
}

void AddServerAddress(CLI::App& app, std::string* server) {
  const char* const variable = Variable(kServerVariable);
  *server = variable == nullptr ? "localhost" : variable;
  app.add_option("--server", *server,
                 "The server's address, port 51075 if there is none\n"
                 "(default $MESSENGER_SERVER_ADDR, else localhost)")
      ->option_text("HOST[:PORT]")
      ->check(CheckTarget);
}

absl::Status ResolveServerAddress(std::string* server) {
  auto target = ParseTarget(*server);
  if (!target.ok()) return Wrong(kServerVariable, target.status());
  *server = *std::move(target);
  return absl::OkStatus();
}

bool IsLoopback(const std::string& listen) {
  const auto address = ParseAddress(listen);
  return address.ok() &&
         (address->host == "localhost" || address->host == "::1" ||
          address->host.starts_with("127."));
}

void AddListenAddress(CLI::App& app, std::string* listen,
                      const std::string& description) {
  app.add_option("--listen", *listen, description)
      ->option_text("HOST:PORT")
      ->check(CheckAddress);
}

absl::Status ResolveListenAddress(DefaultListen otherwise,
                                  std::string* listen) {
  if (!listen->empty()) return absl::OkStatus();
  Address& address = otherwise.address;
  if (const char* const text = Variable(otherwise.port_variable)) {
    const auto port = ParsePort(text);
    if (!port.ok()) return Wrong(otherwise.port_variable, port.status());
    address.port = *port;
  }
  if (otherwise.host_variable != nullptr) {
    if (const char* const host = Variable(otherwise.host_variable)) {
      address.host = host;
      const absl::Status status = ParseAddress(address.ToString()).status();
      if (!status.ok()) return Wrong(otherwise.host_variable, status);
    }
  }
  *listen = address.ToString();
  return absl::OkStatus();
}

}  // namespace messenger::app
