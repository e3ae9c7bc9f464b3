#include "apps/common/client_security.h"

#include <CLI/CLI.hpp>

#include "apps/common/addresses.h"

namespace messenger::app {
namespace {

void AddOptions(CLI::App& app, const std::string& prefix,
                ClientSecurity* security) {
  const auto add = [&](const std::string& name, std::string* value,
                       const std::string& text,
                       const std::string& description) {
    app.add_option(prefix + name, *value, description)->option_text(text);
  };
  const bool plain = prefix == "--";
  app.add_flag(prefix + "tls", security->tls,
               "Connect with TLS; the server's certificate must\n"
               "come from a CA that the system trusts");
  add("tls-ca", &security->ca_file, "FILE",
      "Connect with TLS; the server's certificate must\n"
      "come from a CA in this file, as PEM" +
          std::string(plain ? " (default\n$MESSENGER_TLS_CA)" : ""));
  add("tls-cert", &security->certificate_file, "FILE",
      "Connect with TLS, and show this certificate" +
          std::string(plain ? "\n(default $MESSENGER_TLS_CERT)" : ""));
  add("tls-key", &security->private_key_file, "FILE",
      "Its key" + std::string(plain ? " (default $MESSENGER_TLS_KEY)" : ""));
  add("tls-server-name", &security->server_name, "NAME",
      "The name that must be in the server's certificate\n"
      "(default: the host)");
  add("token-file", &security->token_file, "FILE",
      "Send the bearer token in this file with each call" +
          std::string(plain
                          ? "\n(default $MESSENGER_TOKEN_FILE, or the token in"
                            "\n$MESSENGER_TOKEN)"
                          : ""));
  app.add_flag(prefix + "insecure-token", security->insecure_token,
               "Send it to another machine without TLS as well");
}

}  // namespace

void AddClientSecurity(CLI::App& app, ClientSecurity* security) {
  TakeVariable("MESSENGER_TLS_CA", &security->ca_file);
  TakeVariable("MESSENGER_TLS_CERT", &security->certificate_file);
  TakeVariable("MESSENGER_TLS_KEY", &security->private_key_file);
  TakeVariable("MESSENGER_TOKEN_FILE", &security->token_file);
  TakeVariable("MESSENGER_TOKEN", &security->token);
  AddOptions(app, "--", security);
}

void AddClientSecurityOf(CLI::App& app, const std::string& side,
                         ClientSecurity* security) {
  AddOptions(app, "--" + side + "-", security);
}

void SetSecurity(const ClientSecurity& security, ClientOptions* options) {
  if (security.tls || !security.ca_file.empty() ||
      !security.certificate_file.empty() ||
      !security.private_key_file.empty() || !security.server_name.empty()) {
    options->tls = ClientTls{.ca_file = security.ca_file,
                             .certificate_file = security.certificate_file,
                             .private_key_file = security.private_key_file,
                             .server_name = security.server_name};
  }
  // A file that is named counts more than what the environment holds.
  options->token_file = security.token_file;
  if (options->token_file.empty()) options->token = security.token;
  options->insecure_token = security.insecure_token;
}

bool IdentifiesCaller(const ClientSecurity& security) {
  return !security.token_file.empty() || !security.token.empty() ||
         !security.certificate_file.empty();
}

}  // namespace messenger::app
