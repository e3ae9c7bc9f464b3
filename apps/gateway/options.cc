#include "apps/gateway/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>

#include "absl/status/status.h"
#include "apps/common/addresses.h"
#include "apps/common/client_security.h"
#include "apps/common/command_line.h"
#include "apps/common/status_text.h"
#include "messenger/version.h"

namespace messenger::app {
namespace {

constexpr std::uint16_t kDefaultHttpPort = 8080;

constexpr const char* kFooter =
    R"(Examples:
  messenger-gateway
      Serve the log of the messenger-server on this machine on
      http://localhost:8080, to this machine only. In a browser, that is a page
      to chat on; what follows is for programs.
  messenger-gateway --server log.example --tls-ca ca.pem --listen 0.0.0.0:443 \
      --https-cert chat.pem --https-key chat.key --allow-host chat.example
      For a network, which knows it as https://chat.example. Both ways are
      encrypted.

  curl -d '{{"author":"ann","text":"hello"}}' \
      localhost:8080/v1/channels/general/messages
      Send a message; an array sends several.
  curl -H 'Content-Type: image/png' --data-binary @cat.png \
      'localhost:8080/v1/channels/general/messages?author=ann&text=my+cat'
      Send bytes, of any type but JSON.
  curl -OJ localhost:8080/v1/channels/general/messages/2/data
      Get the bytes of a message, as they are.
  curl 'localhost:8080/v1/channels/general/messages?last=10'
      Read the last ten. from=SEQUENCE or earliest, since=TIME and
      after=EPOCH:SEQUENCE begin elsewhere; the answer's "next" is where to go
      on; wait=30 waits for a message if there is none.
  curl -N 'localhost:8080/v1/channels/general/stream?from=earliest'
      Follow the channel as server-sent events. A browser that reconnects sends
      Last-Event-ID, and misses nothing.
  curl localhost:8080/v1/channels
      List the channels.
  curl -H 'Authorization: Bearer TOKEN' localhost:8080/v1/channels
      The same in the name of a token (messenger-server token add).
  curl localhost:8080/openapi.json
      The description of all of it (OpenAPI 3.1).

The postbox, for clients of the original messenger, holds what arrives in the
channel general while the gateway runs:
  POST /sendMessage          {{"author","text"}} -> {{"sendTime"}}
  POST /getAndFlushMessages  -> [{{"author","text","sendTime"}},...]
A fetched message is gone, even if the answer got lost on its way, and all
callers share one postbox. To miss nothing, read by position, as above.

When it listens, it prints one line on stdout:
  messenger-gateway {} listening on 127.0.0.1:8080 (server localhost:51075)
Everything else goes to stderr. It begins without its server, too, and waits for
it: requests are answered with 503 meanwhile, and streams stay open.

Who may use it:
  Without TLS of its own, only this machine (its loopback), wherever it listens:
  other callers are told so, and so is stderr, once for each. Health checks are
  answered to all. To serve a network, give it a certificate (--https-cert and
  --https-key; messenger-server init-tls makes one to begin with), or
  --insecure where the whole network is trusted. Behind a reverse proxy on this
  machine, every stranger comes from this machine: then the callers' tokens
  decide.

  What a caller may do, the server decides, by the caller's token. Programs send
  it as "Authorization: Bearer TOKEN"; the page signs in with it. It is passed
  on; without TLS to a server of this machine only, unless --insecure-token says
  otherwise. A request without a token is made in the gateway's own name, that
  of --token-file or --tls-cert. Give that one only what every caller may have.
  (To send under the authors that callers name, it needs the right send-as; the
  postbox needs the right to read general.) Without either, such requests are
  anonymous.

  Of web pages, its own may use it and those that --cors-origin names. Other
  pages may only link to its page. It answers when it is called localhost, by an
  address, or by a name that --allow-host gives.

Health:
  /healthz  200 while it runs
  /readyz   200 while its server takes messages and its postbox has joined,
            else 503; 503 while it drains

Signals:
  SIGTERM, SIGINT   Drain: accept nothing more, answer the requests that were
                    sent, end the streams with a hint when to come back, and
                    exit with 0. A second signal exits at once.
  SIGHUP            The same, when the terminal closes; a second one changes
                    nothing. Under nohup it is ignored.

Exit codes:
  0        drained after a signal
  1        failed, for example because the address is in use
  2        wrong usage
  130,143  ended at once by a second SIGINT, SIGTERM; 129 by SIGHUP before it
           listens

Environment:
  MESSENGER_SERVER_ADDR   the server if there is no --server
                          (default localhost)
  MESSENGER_HTTP_HOST     address to listen on if there is no --listen
                          (default 127.0.0.1)
  MESSENGER_HTTP_PORT     port to listen on if there is no --listen
                          (default 8080)
  MESSENGER_HTTPS_CERT, MESSENGER_HTTPS_KEY
                          the files, if there are no such options
Towards the server:
{})";

void TakeVariable(const char* variable, std::string* value) {
  if (const char* const text = Variable(variable)) *value = text;
}

// Encryption of its own HTTP.
void AddHttps(CLI::App& app, GatewayCommand* command) {
  CertificateFiles& https = command->https;
  TakeVariable("MESSENGER_HTTPS_CERT", &https.certificate);
  TakeVariable("MESSENGER_HTTPS_KEY", &https.key);
  app.add_option("--https-cert", https.certificate,
                 "Serve HTTPS: the certificate, and those that lead\n"
                 "from it to a CA, as PEM. Read again, as the key is,\n"
                 "when it changes (default $MESSENGER_HTTPS_CERT)")
      ->option_text("FILE");
  app.add_option("--https-key", https.key,
                 "Its key (default $MESSENGER_HTTPS_KEY)")
      ->option_text("FILE");
  app.add_flag("--insecure", command->insecure,
               "Serve other machines without TLS as well: whoever is\n"
               "on the network can listen, and change what is sent");
}

void AddOptions(CLI::App& app, GatewayCommand* command) {
  AddServerAddress(app, &command->gateway.server);
  AddClientSecurity(app, &command->gateway.security);
  AddListenAddress(app, &command->listen,
                   "Address to listen on; port 0 takes a free one\n"
                   "(default $MESSENGER_HTTP_HOST:$MESSENGER_HTTP_PORT)");
  AddHttps(app, command);
  app.add_option("--allow-host", command->allowed_hosts,
                 "Answer when called by this name, too; repeatable.\n"
                 "Other names are refused, since a page could have\n"
                 "its own name lead here (DNS rebinding)")
      ->option_text("NAME")
      ->expected(1)
      ->take_all()
      ->check(CheckHostOption);
  app.add_option("--cors-origin", command->cors_origins,
                 "Let pages of this origin use it; repeatable\n"
                 "(default: only its own)")
      ->option_text("ORIGIN")
      ->expected(1)
      ->take_all()
      ->check(CheckOriginOption);
  AddDuration(app, "--timeout", &command->gateway.timeout,
              "How long a request waits for the server before it\n"
              "is answered with 503, at least 1ms (default 10s)");
  AddCount(app, "--postbox-messages", &command->gateway.postbox.max_messages,
           "Most messages in the postbox; the oldest are dropped\n"
           "first, and the next fetch says how many, in the\n"
           "header Messenger-Dropped (default 10000)");
  AddSize(app, "--postbox-bytes", &command->gateway.postbox.max_bytes,
          "Most bytes of authors and texts in it (default 16Mi)");
  AddCount(app, "--max-connections", &command->limits.max_connections,
           "Most connections; one more is answered with 503,\n"
           "or closed if there is a certificate\n"
           "(default 10000)");
  AddCount(app, "--max-tokens", &command->gateway.max_tokens,
           "Most tokens of callers that are in use at the same\n"
           "time, each with a connection to the server; another\n"
           "one is answered with 503 (default 1000)");
  AddSize(app, "--max-body-bytes", &command->limits.max_body_bytes,
          "Most bytes of the body of a request, up to 16Mi\n"
          "(default 8Mi)");
  AddSize(app, "--max-message-bytes", &command->gateway.max_message_bytes,
          "Longest message that the server takes, encoded, up\n"
          "to 16Mi (default 1Mi)")
      ->check(CLI::Range(ClientOptions::kMaxMessageBytes.least,
                         ClientOptions::kMaxMessageBytes.most));
  AddDuration(app, "--request-timeout", &command->limits.request_timeout,
              "Longest time for a request to arrive, from its first\n"
              "byte to its last (default 30s)");
  AddDuration(app, "--idle-timeout", &command->limits.idle_timeout,
              "Close a connection without a request after this\n"
              "time (default 75s)");
  AddDuration(app, "--write-timeout", &command->limits.write_timeout,
              "Close a connection that does not take its answer, or\n"
              "an event, within this time (default 30s)");
  AddDuration(app, "--drain-timeout", &command->drain_timeout,
              "Longest time that a drain may take (default 5s)");
}

}  // namespace

std::unique_ptr<GatewayCommand> ParseGatewayCommand(int argc,
                                                    const char* const* argv,
                                                    int* exit_code) {
  auto command = std::make_unique<GatewayCommand>();
  CLI::App app(
      "Serve a messenger-server's channels over HTTP: a chat page, a JSON\n"
      "API, server-sent events, and a postbox.",
      "messenger-gateway");
  SetUp(app);
  app.footer(fmt::format(kFooter, kVersion, kClientSecurityVariables));
  AddOptions(app, command.get());
  if (const auto code = Parse(app, argc, argv)) {
    *exit_code = *code;
    return nullptr;
  }
  absl::Status status = ResolveServerAddress(&command->gateway.server);
  if (status.ok()) {
    status = ResolveListenAddress(
        {.address = {.host = "127.0.0.1", .port = kDefaultHttpPort},
         .port_variable = "MESSENGER_HTTP_PORT",
         .host_variable = "MESSENGER_HTTP_HOST"},
        &command->listen);
  }
  if (!status.ok()) {
    *exit_code = UsageError(app, MessageOf(status));
    return nullptr;
  }
  if (command->https.certificate.empty() != command->https.key.empty()) {
    *exit_code = UsageError(
        app, "--https-cert and --https-key: HTTPS takes both of them");
    return nullptr;
  }
  const std::chrono::milliseconds timeout = command->gateway.timeout;
  constexpr std::chrono::hours kMost(24);
  if (timeout < std::chrono::milliseconds(1) || timeout > kMost) {
    *exit_code = UsageError(
        app, fmt::format("--timeout: {} ms is not between 1 ms and 24 hours",
                         timeout.count()));
    return nullptr;
  }
  if (command->limits.max_body_bytes > kMaxBytesOnTheWay) {
    *exit_code = UsageError(
        app, fmt::format("--max-body-bytes: {} is more than {}",
                         command->limits.max_body_bytes, kMaxBytesOnTheWay));
    return nullptr;
  }
  return command;
}

}  // namespace messenger::app
