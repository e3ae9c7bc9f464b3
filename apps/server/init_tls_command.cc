// messenger-server init-tls: certificates to begin with.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/status_text.h"
#include "apps/server/security_commands.h"
#include "messenger/printable.h"
#include "messenger/security_tools.h"

namespace messenger::app {
namespace {

constexpr const char* kInitTlsFooter =
    R"(Makes a certificate authority (CA) of your own, a certificate for the server,
and one for a client, each with its key, as PEM files in DIR. Nothing is
overwritten, but by --renew. If you have a CA already, use its certificates
instead.

HOST is what clients call the server: each name and each IP address by which
they reach it. *.example.org is any host right below example.org.

Later, with the ca.pem and ca.key that are in DIR:
  --client NAME   without --name, makes a certificate for another client:
                  NAME.pem and NAME.key
  --renew         replaces server.pem and server.key by new ones, of the same
                  names unless there is a --name. A server that uses the files
                  takes them within a second

Examples:
  messenger-server init-tls tls --name log.example.org
  messenger-server init-tls tls --name localhost 127.0.0.1 ::1
  messenger-server init-tls tls --name log.example.org --client ann --days 90
  messenger-server init-tls tls --client bob
  messenger-server init-tls tls --renew

Output: what was made, and what to type next.
  --json   {"ca_certificate":"tls/ca.pem","ca_key":"tls/ca.key",
            "server_certificate":"tls/server.pem","server_key":"tls/server.key",
            "client_certificate":"tls/client.pem","client_key":"tls/client.key"}
           of another client, and with --renew, those that were made:
           {"client_certificate":"tls/bob.pem","client_key":"tls/bob.key"}

Exit codes:
  0   made
  1   made, but the output could not be written
  2   wrong usage
  3   could not be made: a file is there already, the CA is not there or has
      expired, the directory cannot be written; nothing is left of it)";

struct InitTlsCommand {
  InitTlsOptions tls;
  int days = 365;
  bool renew = false;
  bool json = false;
};

// A name that a client can connect to.
std::string HostOf(const std::vector<std::string>& names) {
  const auto found = std::find_if(
      names.begin(), names.end(),
      [](const std::string& name) { return !name.starts_with('*'); });
  return found == names.end() ? "HOST" : *found;
}

void PrintNext(const InitTlsCommand& command, const TlsFiles& files,
               ToolOutput* output) {
  const auto line = [output](const std::string& text) {
    output->PrintLine(text);
  };
  const std::string ca = ShellWord(files.ca_certificate);
  line(fmt::format("made, good for {}:",
                   Count(static_cast<std::uint64_t>(command.days), "day")));
  line(fmt::format("  {}, {}: the server", files.server_certificate,
                   files.server_key));
  line(fmt::format("  {}, {}: a client, whose identity is {}",
                   files.client_certificate, files.client_key,
                   PrintableField(command.tls.client)));
  line(fmt::format("  {}, {}: the CA that has signed them",
                   files.ca_certificate, files.ca_key));
  line("");
  line("The server:");
  line(fmt::format(
      "  messenger-server --tls-cert {} --tls-key {} --tls-client-ca {}",
      ShellWord(files.server_certificate), ShellWord(files.server_key), ca));
  line(fmt::format(
      "A client, with copies of {}, {} and {}:", files.ca_certificate,
      files.client_certificate, files.client_key));
  line(fmt::format(
      "  messenger-cli read --server {} --tls-ca {} --tls-cert {} --tls-key {}",
      ShellWord(HostOf(command.tls.names)), ca,
      ShellWord(files.client_certificate), ShellWord(files.client_key)));
  line("");
  line(fmt::format("Keep {} off the server, and safe: whoever has it can make",
                   files.ca_key));
  line("certificates for any server and any client.");
}

int Fail(const absl::Status& status, ToolOutput* output) {
  return output->Fail(OfOption(status, {{"directory", "DIR"},
                                        {"names", "--name"},
                                        {"client", "--client"},
                                        {"validity", "--days"}}));
}

// What is there need not be made again.
absl::Status WithHint(const absl::Status& status) {
  if (!absl::IsAlreadyExists(status)) return status;
  return {status.code(),
          fmt::format("{} (for what the CA that is there can do, see --client "
                      "without --name, and --renew)",
                      MessageOf(status))};
}

int RunAddClient(const InitTlsCommand& command) {
  ToolOutput output("init-tls", command.json);
  const auto files = AddTlsClient({.directory = command.tls.directory,
                                   .client = command.tls.client,
                                   .validity = command.tls.validity});
  if (!files.ok()) return Fail(files.status(), &output);
  if (command.json) {
    output.PrintJson(Json{{"client_certificate", files->certificate},
                          {"client_key", files->key}});
  } else {
    output.PrintLine(
        fmt::format("made, good for {}:",
                    Count(static_cast<std::uint64_t>(command.days), "day")));
    output.PrintLine(fmt::format("  {}, {}: a client, whose identity is {}",
                                 files->certificate, files->key,
                                 PrintableField(command.tls.client)));
  }
  return output.Finish(kOk, "the files were made");
}

int RunRenew(const InitTlsCommand& command) {
  ToolOutput output("init-tls", command.json);
  const auto files = RenewTls({.directory = command.tls.directory,
                               .names = command.tls.names,
                               .validity = command.tls.validity});
  if (!files.ok()) return Fail(files.status(), &output);
  if (command.json) {
    output.PrintJson(Json{{"server_certificate", files->certificate},
                          {"server_key", files->key}});
  } else {
    output.PrintLine(
        fmt::format("renewed, good for {}:",
                    Count(static_cast<std::uint64_t>(command.days), "day")));
    output.PrintLine(
        fmt::format("  {}, {}: the server, which takes them within a second",
                    files->certificate, files->key));
  }
  return output.Finish(kOk, "the files were replaced");
}

int RunInitTls(const InitTlsCommand& command) {
  ToolOutput output("init-tls", command.json);
  const auto files = InitTls(command.tls);
  if (!files.ok()) return Fail(WithHint(files.status()), &output);
  if (command.json) {
    output.PrintJson(Json{{"ca_certificate", files->ca_certificate},
                          {"ca_key", files->ca_key},
                          {"server_certificate", files->server_certificate},
                          {"server_key", files->server_key},
                          {"client_certificate", files->client_certificate},
                          {"client_key", files->client_key}});
  } else {
    PrintNext(command, *files, &output);
  }
  return output.Finish(kOk, "the files were made");
}

}  // namespace

void AddInitTlsCommand(CLI::App& app, RunTool* run) {
  CLI::App* const command = app.add_subcommand(
      "init-tls", "Make certificates and keys for TLS to begin with");
  AddVersion(*command);
  command->footer(kInitTlsFooter);
  const auto options = std::make_shared<InitTlsCommand>();
  command
      ->add_option("DIR", options->tls.directory,
                   "Where to; it is made if need be")
      ->option_text(" ")
      ->required();
  CLI::Option* const name =
      command
          ->add_option("--name", options->tls.names,
                       "Names and IP addresses of the server")
          ->option_text("HOST...");
  CLI::Option* const client =
      command
          ->add_option("--client", options->tls.client,
                       "The identity of the client (default client);\n"
                       "without --name, of another one")
          ->option_text("NAME");
  command
      ->add_flag("--renew", options->renew,
                 "Renew the server's certificate, by the CA in DIR")
      ->option_text(" ")  // CLI11 would list what it excludes
      ->excludes(client);
  AddCount(*command, "--days", &options->days,
           "How long the certificates of server and client\n"
           "are good for, at most 36525 (default 365); the\n"
           "CA: 3650, or as long")
      ->check(CLI::Range(1, 36525));
  command->add_flag("--json", options->json, "Print the paths, as JSON");
  command->callback([options, run, name, client] {
    const bool is_new = name->count() > 0;
    if (!is_new && !options->renew && client->count() == 0) {
      throw CLI::RequiredError("--name");
    }
    options->tls.validity = std::chrono::hours(24) * options->days;
    options->tls.ca_validity =
        std::max(options->tls.ca_validity, options->tls.validity);
    *run = [options, is_new] {
      if (options->renew) return RunRenew(*options);
      return is_new ? RunInitTls(*options) : RunAddClient(*options);
    };
  });
}

}  // namespace messenger::app
