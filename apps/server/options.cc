#include "apps/server/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "apps/common/addresses.h"
#include "apps/common/command_line.h"
#include "apps/common/status_text.h"
#include "apps/server/security_commands.h"
#include "messenger/address.h"
#include "messenger/version.h"

namespace messenger::app {
namespace {

constexpr const char* kFooter =
    R"(Without a command it serves the log; each command has its own --help.

Examples:
  messenger-server
      Serve the log in ./messenger-data on port 51075 of every interface.
  messenger-server --log memory:
      One that is gone when the server ends.
  messenger-server --listen 127.0.0.1:0
      On a free port of this machine only; the line on stdout tells which.
  messenger-server --retention-bytes 256Mi --retention-age 7d
      Keep at most 256 MiB and 7 days of messages per channel.

  messenger-server verify
      Is the log in ./messenger-data damaged? With the server stopped.

When it listens, it prints one line on stdout:
  messenger-server {} listening on 0.0.0.0:51075 (log file:messenger-data)
Everything else goes to stderr.

HOST is an IPv4 address (0.0.0.0: all of them), an IPv6 address in brackets
([::]: all of them, and those of IPv4), or a name, of which all addresses are
taken. Connections beyond its bounds are refused, which stderr says now and
then. The soft limit of descriptors is raised to the hard one.

Then, in two other terminals:
  messenger-cli read
  messenger-cli send hello

It answers gRPC's health checks and reflection, so that grpc_health_probe and
grpcurl work as they are. It is NOT_SERVING while it refuses messages: it drains,
or its disk is full, until there is room again, or has failed. Reading goes on
meanwhile, so this is no reason to end it.

Who may use it:
  Without TLS, only this machine (its loopback), though it listens on every
  address: other callers are told so, and so is stderr, once for each. Health
  checks are answered to all. To serve a network:
    messenger-server init-tls tls --name log.example
    messenger-server token add --tokens tokens --identity ann --out ann.token
    messenger-server --tls-cert tls/server.pem --tls-key tls/server.key \
        --tokens tokens --rights rights
  A rights file has lines such as
    ann   send,read   general
    *     read        news.*
    ops   admin       *
  whose rights are send, read, admin (delete channels, list and delete
  producers) and send-as (send under any author; all others send under their
  identity). Changes hold within a second, for streams that are open as well.
  On a trusted network, --insecure serves all.

Signals:
  SIGTERM, SIGINT   Drain: refuse new calls, complete the sends that were
                    accepted, end the readers (they can resume elsewhere), and
                    exit with 0. A second signal exits at once.
  SIGHUP            The same, when the terminal closes; a second one changes
                    nothing. Under nohup it is ignored.
  SIGUSR1, SIGUSR2  Ignored.

Exit codes:
  0        drained after a signal
  1        failed, for example because the address is in use; then no log is
           opened or created; or calls did not end within 10 s of being
           cancelled, after the drain timeout
  2        wrong usage
  130,143  ended at once by a second SIGINT, SIGTERM; 129 by SIGHUP before it
           listens

Environment:
  MESSENGER_SERVER_LOG    log to serve if there is no --log
                          (default file:messenger-data)
  MESSENGER_SERVER_PORT   port to listen on if there is no --listen
                          (default 51075)
  MESSENGER_SERVER_TLS_CERT, MESSENGER_SERVER_TLS_KEY,
  MESSENGER_SERVER_TLS_CLIENT_CA, MESSENGER_SERVER_TOKENS,
  MESSENGER_SERVER_RIGHTS the files, if there are no such options)";

// Encryption, identities, rights.
void AddSecurity(CLI::App& app, ServerCommand* command) {
  AccessOptions& access = command->server.service.access;
  ServerTls& tls = command->tls;
  TakeVariable("MESSENGER_SERVER_TLS_CERT", &tls.certificate_file);
  TakeVariable("MESSENGER_SERVER_TLS_KEY", &tls.private_key_file);
  TakeVariable("MESSENGER_SERVER_TLS_CLIENT_CA", &tls.client_ca_file);
  TakeVariable("MESSENGER_SERVER_TOKENS", &access.tokens_file);
  TakeVariable("MESSENGER_SERVER_RIGHTS", &access.rights_file);
  app.add_option("--tls-cert", tls.certificate_file,
                 "Encrypt with TLS: the certificate, and those that\n"
                 "lead from it to a CA, as PEM. This and the files\n"
                 "below are read again when they change\n"
                 "(default $MESSENGER_SERVER_TLS_CERT)")
      ->option_text("FILE");
  app.add_option("--tls-key", tls.private_key_file,
                 "Its key (default $MESSENGER_SERVER_TLS_KEY)")
      ->option_text("FILE");
  app.add_option("--tls-client-ca", tls.client_ca_file,
                 "Identify clients by certificates of these CAs\n"
                 "(default $MESSENGER_SERVER_TLS_CLIENT_CA)")
      ->option_text("FILE");
  app.add_option_function<std::string>(
         "--tls-client-certs",
         [&tls](const std::string& wanted) {
           tls.client_certificates = wanted == "optional"
                                         ? ClientCertificates::kOptional
                                         : ClientCertificates::kRequired;
         },
         "Whether each client has to have one: required, or\n"
         "optional (default required)")
      ->option_text("WHETHER")
      ->check([](const std::string& wanted) {
        return wanted == "required" || wanted == "optional"
                   ? std::string()
                   : fmt::format(
                         "'{}' is not known; it takes required or optional",
                         wanted);
      });
  app.add_option("--tokens", access.tokens_file,
                 "Identify clients by the bearer tokens in this file;\n"
                 "see messenger-server token\n"
                 "(default $MESSENGER_SERVER_TOKENS)")
      ->option_text("FILE");
  app.add_option("--rights", access.rights_file,
                 "Who may do what, a line each: IDENTITY RIGHTS\n"
                 "CHANNEL. Without it, whoever has an identity may\n"
                 "do everything (default $MESSENGER_SERVER_RIGHTS)")
      ->option_text("FILE");
  app.add_flag_callback(
      "--insecure", [&access] { access.transport = Transport::kAny; },
      "Serve other machines without TLS as well: whoever is\n"
      "on the network can listen, and change what is sent");
}

// CLI11 takes an empty answer for valid.
std::string CheckDurability(const std::string& level) {
  if (level == "fsync" || level == "os") return {};
  return fmt::format("'{}' is not known; it takes fsync or os", level);
}

void AddOptions(CLI::App& app, ServerCommand* command) {
  ServiceOptions& service = command->server.service;
  AddListenAddress(app, &command->server.listen,
                   "Address to listen on; port 0 takes a free one\n"
                   "(default 0.0.0.0:$MESSENGER_SERVER_PORT)");
  AddSecurity(app, command);
  app.add_option("--log", command->log_uri,
                 "The log to serve (default $MESSENGER_SERVER_LOG)\n"
                 "  file:DIR  in a directory, created if need be\n"
                 "  memory:   in memory; it ends with the process")
      ->option_text("URI");
  app.add_option_function<std::string>(
         "--durability",
         [command](const std::string& level) {
           command->log.directory.durability =
               level == "os" ? Durability::kOs : Durability::kFsync;
         },
         "What a receipt promises, for file: (default fsync)\n"
         "  fsync  the message is on the disk: a power cut\n"
         "         loses nothing that was acknowledged\n"
         "  os     it is with the operating system: a power\n"
         "         cut loses the latest messages; a killed\n"
         "         server loses nothing, but the log begins\n"
         "         a new epoch")
      ->option_text("LEVEL")
      ->check(CheckDurability);
  AddSize(app, "--journal-bytes", &command->log.directory.max_journal_bytes,
          "For file:, the size at which the journal is brought\n"
          "into the channels' files, at least 64Ki: smaller\n"
          "opens faster after a crash (default 64Mi)");
  AddSize(app, "--retention-bytes", &command->log.retention.max_bytes,
          "Keep at most SIZE of each channel, at least 64Ki;\n"
          "the oldest messages are dropped first (default:\n"
          "file: keeps everything, memory: keeps 1Gi).\n"
          "K, M, G and Ki, Mi, Gi are powers of 1024");
  AddDuration(app, "--retention-age", &command->log.retention.max_age,
              "Drop messages older than this: 90m, 36h, 7d\n"
              "(default: keep them)");
  AddSize(app, "--max-memory-bytes", &command->log.memory.max_bytes,
          "For memory:, most memory for the messages of all\n"
          "channels, at least 1Mi; beyond it new ones are\n"
          "refused (default: half of the memory there is)");
  AddCount(app, "--max-channels", &command->log.max_channels,
           "Most channels (default 100000)");
  AddCount(app, "--max-deleted-channels", &command->log.max_deleted_channels,
           "Most deleted channels; their last sequence is\n"
           "remembered for good (default 1000000)");
  app.add_option("--max-named-producers", command->log.max_named_producers,
                 "Most named producers, of all channels together; 0\n"
                 "takes none (default 10000)")
      ->option_text("N")
      ->check(CLI::NonNegativeNumber);
  AddCount(app, "--max-idempotency-keys", &command->log.max_idempotency_keys,
           "Most idempotency keys that are remembered, of all\n"
           "channels together; beyond it, the oldest is forgotten\n"
           "(default 100000)");
  AddDuration(app, "--idempotency-key-timeout",
              &command->log.idempotency_key_timeout,
              "Forget an idempotency key when its message was stored\n"
              "so long ago, from 1s on (default 24h)");
  AddSize(app, "--max-message-bytes", &service.max_message_bytes,
          "Most bytes of one message, encoded, up to 16Mi\n"
          "(default 1Mi)");
  AddSize(app, "--max-append-bytes", &service.max_append_bytes,
          "Most bytes of appends under way over all calls; four\n"
          "times as much may wait, and connections take turns\n"
          "(default 64Mi)");
  AddSize(app, "--max-frames-in-flight-bytes",
          &service.max_frames_in_flight_bytes,
          "Most log memory that is held for readers that do not\n"
          "take it, over all of them; beyond it, those that have\n"
          "stalled for longest are cut off, and can resume\n"
          "(default 256Mi)");
  AddCount(app, "--max-connections", &command->server.max_connections,
           "Most connections; one more is refused (default: half\n"
           "of the descriptors that ulimit -Hn allows, but for\n"
           "256 that everything else may need)");
  AddCount(app, "--max-connections-per-address",
           &command->server.max_connections_per_address,
           "Most of them from one IPv4 address, or one /64\n"
           "network of IPv6; this machine's own are not counted\n"
           "(default 1024, and at most half of all)");
  AddDuration(app, "--stall-timeout", &service.stall_timeout,
              "Cut off readers that take nothing for so long; they\n"
              "can resume where they were; 0s waits for ever\n"
              "(default 15m)");
  AddDuration(app, "--keepalive-time", &service.keepalive_time,
              "Ask a peer that is silent for so long for a sign of\n"
              "life, from 100ms on (default 10s)");
  AddDuration(app, "--keepalive-timeout", &service.keepalive_timeout,
              "Close its connection if there is none within so\n"
              "long, from 100ms on (default 30s)");
  AddDuration(app, "--drain-timeout", &command->drain_timeout,
              "Longest time that a drain may take; calls that are\n"
              "still there are then cancelled (default 5s)");
}

}  // namespace

std::unique_ptr<ServerCommand> ParseServerCommand(int argc,
                                                  const char* const* argv,
                                                  int* exit_code) {
  auto command = std::make_unique<ServerCommand>();
  command->server.listen.clear();
  if (const char* const log = Variable("MESSENGER_SERVER_LOG")) {
    command->log_uri = log;
  }
  CLI::App app("Serve ordered message logs over gRPC.", "messenger-server");
  SetUp(app);
  app.footer(fmt::format(kFooter, kVersion));
  app.require_subcommand(0, 1);
  AddOptions(app, command.get());
  AddVerify(app, &command->log_uri, &command->tool);
  AddRepair(app, &command->log_uri, &command->tool);
  AddDump(app, &command->log_uri, &command->tool);
  AddTokenCommand(app, &command->tool);
  AddRightsCommand(app, &command->tool);
  AddInitTlsCommand(app, &command->tool);
  if (const auto code = Parse(app, argc, argv)) {
    *exit_code = *code;
    return nullptr;
  }
  if (command->tool) return command;
  const ServerTls& tls = command->tls;
  if (app.count("--tls-client-certs") > 0 && tls.client_ca_file.empty()) {
    *exit_code =
        UsageError(app, "--tls-client-certs: of which CA? See --tls-client-ca");
    return nullptr;
  }
  if (!tls.certificate_file.empty() || !tls.private_key_file.empty() ||
      !tls.client_ca_file.empty()) {
    if (tls.certificate_file.empty() || tls.private_key_file.empty()) {
      *exit_code =
          UsageError(app, "--tls-cert and --tls-key: TLS takes both of them");
      return nullptr;
    }
    command->server.tls = tls;
  }
  ServiceOptions& service = command->server.service;
  service.max_request_bytes =
      std::max(service.max_request_bytes,
               service.max_message_bytes + ServiceOptions::kRequestOverhead);
  const absl::Status listen = ResolveListenAddress(
      {.address = {.host = "0.0.0.0", .port = kDefaultPort},
       .port_variable = "MESSENGER_SERVER_PORT"},
      &command->server.listen);
  if (!listen.ok()) {
    *exit_code = UsageError(app, MessageOf(listen));
    return nullptr;
  }
  return command;
}

}  // namespace messenger::app
