// messenger-server token: who may come in.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/standard_streams.h"
#include "apps/common/table.h"
#include "apps/common/time.h"
#include "apps/server/security_commands.h"
#include "messenger/printable.h"
#include "messenger/security_tools.h"

namespace messenger::app {
namespace {

constexpr const char* kTokensVariable = "MESSENGER_SERVER_TOKENS";

constexpr const char* kTokenFooter =
    R"(A token is a secret by which a client shows who it is. The server keeps a file
with the SHA-256 of each, and reads it again when it changes: there is nothing
to restart. Whoever has a token is its identity, so use TLS: without it, tokens
can be read on the way. Each command has its own --help.

Examples:
  messenger-server token add --tokens tokens --identity ann --out ann.token
  messenger-cli read --token-file ann.token
  messenger-server token list --tokens tokens
  messenger-server token revoke --tokens tokens k3x9w2ab

Environment:
  MESSENGER_SERVER_TOKENS   the file if there is no --tokens)";

constexpr const char* kTokenAddFooter =
    R"(Makes the file, with mode 0600, if it is not there. An identity can have several
tokens. To replace one, add another, hand it over, and revoke the old one.

Examples:
  messenger-server token add --tokens tokens --identity ann --out ann.token
  messenger-server token add --tokens tokens --identity ann
  messenger-server token add --tokens tokens --identity ci --expires-in 7d
  messenger-server token add --tokens tokens --identity "Ann Lee" --no-expiry

Output:
  the token, alone, in the file of --out, which gets the mode 0600, or on
  stdout: it is shown this once, and kept nowhere else. On stderr, what it is,
  when it expires, and how a client gets it.

Exit codes:
  0   added
  1   added, but it could not be printed: revoke it
  2   wrong usage; or the file is malformed, and stderr says in which line
  3   a file cannot be read or written, or that of --out is there already: not
      added)";

constexpr const char* kTokenListFooter =
    R"(Shows no secrets; there are none in the file.

Output:
  ID        IDENTITY  CREATED               EXPIRES
  k3x9w2ab  ann       2026-11-29T20:00:00Z  2027-02-27T20:00:00Z
  --json    {"id":"k3x9w2ab","identity":"ann","created":"2026-11-29T20:00:00Z",
             "expires":"2027-02-27T20:00:00Z","expired":false}
            one line each; "expires" is null if it never does

Exit codes:
  0   ok
  2   wrong usage; or the file is malformed, and stderr says in which line
  3   the file cannot be read)";

constexpr const char* kTokenRevokeFooter =
    R"(The server refuses it within a second, and ends the calls that were made with
it. ID is what messenger-server token list shows, and what stands in the token
between the first "_" and the second one.

Exit codes:
  0   revoked
  2   wrong usage; or the file is malformed, and stderr says in which line
  3   there is no such token; the file cannot be read or written)";

// ---- token add

struct AddTokenOptions {
  std::string tokens;
  std::string identity;
  std::string out;  // empty: stdout
  std::chrono::seconds expires_in = std::chrono::hours(24) * 90;
  bool no_expiry = false;
};

// Beside the token, for a person.
void ExplainToken(const AddTokenOptions& options, const TokenInfo& info) {
  const std::string when =
      info.expires
          ? fmt::format("It expires at {}.", FormatSecond(*info.expires))
          : "It never expires.";
  const std::string identity = PrintableField(info.identity);
  const std::string tokens = PrintableField(options.tokens);
  WriteStderr(
      options.out.empty()
          ? fmt::format(
                R"(This is the token of {}. It is shown this once: {} has only
its SHA-256. {}
Give it to the client in a file of mode 0600, or as the environment variable
MESSENGER_TOKEN:
  messenger-cli read --token-file FILE
)",
                identity, tokens, when)
          : fmt::format(
                R"({} is the token of {}, and {} has only its
SHA-256. {}
Give the file to the client:
  messenger-cli read --token-file {}
)",
                PrintableField(options.out), identity, tokens, when,
                Printable(ShellWord(options.out))));
  WriteStderr(
      fmt::format("To take it back:\n"
                  "  messenger-server token revoke --tokens {} {}\n",
                  Printable(ShellWord(options.tokens)), info.id));
}

int RunAdd(const AddTokenOptions& options) {
  ToolOutput output("token add", /*json=*/false);
  const auto lifetime =
      options.no_expiry ? std::nullopt : std::optional(options.expires_in);
  const auto added =
      AddToken(options.tokens, options.identity, lifetime, options.out);
  if (!added.ok()) {
    return output.Fail(
        OfOption(added.status(),
                 {{"identity", "--identity"}, {"lifetime", "--expires-in"}}));
  }
  if (options.out.empty()) output.PrintLine(added->token);
  const int exit_code = output.Finish(
      kOk, fmt::format("a token was added that nobody knows; "
                       "messenger-server token revoke --tokens {} {} takes it "
                       "back",
                       ShellWord(options.tokens), added->info.id));
  if (exit_code == kOk) ExplainToken(options, added->info);
  return exit_code;
}

void AddAdd(CLI::App& token, RunTool* run) {
  CLI::App* const command =
      token.add_subcommand("add", "Make a token for an identity");
  command->footer(kTokenAddFooter);
  const auto options = std::make_shared<AddTokenOptions>();
  AddFileOrVariable(*command, "--tokens", kTokensVariable,
                    "The server's file of tokens", &options->tokens);
  command
      ->add_option("--identity", options->identity,
                   "Whom it stands for: a person or a program, as in\n"
                   "the file of rights, and as the author of messages")
      ->option_text("NAME")
      ->required();
  command
      ->add_option("--out", options->out,
                   "Write it into this file, which must be new, with\n"
                   "mode 0600 (default: print it)")
      ->option_text("FILE");
  CLI::Option* const expires_in =
      AddDuration(*command, "--expires-in", &options->expires_in,
                  "How long it is good for (default 90d)");
  command
      ->add_flag("--no-expiry", options->no_expiry,
                 "It is good until it is revoked")
      ->option_text(" ")  // CLI11 would list what it excludes
      ->excludes(expires_in);
  command->callback(
      [options, run] { *run = [options] { return RunAdd(*options); }; });
}

// ---- token list

struct ListTokensOptions {
  std::string tokens;
  bool json = false;
};

bool HasExpired(const TokenInfo& token) {
  return token.expires && *token.expires <= std::chrono::system_clock::now();
}

std::string ExpiryText(const TokenInfo& token) {
  if (!token.expires) return "never";
  return FormatSecond(*token.expires) + (HasExpired(token) ? " expired" : "");
}

int RunList(const ListTokensOptions& options) {
  ToolOutput output("token list", options.json);
  const auto tokens = ListTokens(options.tokens);
  if (!tokens.ok()) return output.Fail(tokens.status());
  if (options.json) {
    for (const TokenInfo& token : *tokens) {
      output.PrintJson(
          Json{{"id", token.id},
               {"identity", token.identity},
               {"created", FormatSecond(token.created)},
               {"expires",
                token.expires ? Json(FormatSecond(*token.expires)) : Json()},
               {"expired", HasExpired(token)}});
    }
    return output.Finish(kOk);
  }
  std::vector<std::vector<std::string>> rows = {
      {"ID", "IDENTITY", "CREATED", "EXPIRES"}};
  for (const TokenInfo& token : *tokens) {
    rows.push_back({token.id, PrintableField(token.identity),
                    FormatSecond(token.created), ExpiryText(token)});
  }
  output.PrintTable(
      std::array{Align::kLeft, Align::kLeft, Align::kLeft, Align::kLeft}, rows);
  return output.Finish(kOk);
}

void AddList(CLI::App& token, RunTool* run) {
  CLI::App* const command =
      token.add_subcommand("list", "List the tokens, without their secrets");
  command->footer(kTokenListFooter);
  const auto options = std::make_shared<ListTokensOptions>();
  AddFileOrVariable(*command, "--tokens", kTokensVariable,
                    "The server's file of tokens", &options->tokens);
  command->add_flag("--json", options->json, "Print JSON, one object a line");
  command->callback(
      [options, run] { *run = [options] { return RunList(*options); }; });
}

// ---- token revoke

struct RevokeTokensOptions {
  std::string tokens;
  std::vector<std::string> ids;
};

int RunRevoke(const RevokeTokensOptions& options) {
  ToolOutput output("token revoke", /*json=*/false);
  int exit_code = kOk;
  for (const std::string& id : options.ids) {
    const auto revoked = RevokeToken(options.tokens, id);
    if (revoked.ok()) {
      output.PrintLine(fmt::format("revoked {}, a token of {}", revoked->id,
                                   PrintableField(revoked->identity)));
      continue;
    }
    exit_code = output.Fail(OfOption(revoked.status(), {{"id", "ID"}}));
    // One that is not there does not keep the others.
    if (!absl::IsNotFound(revoked.status())) break;
  }
  return output.Finish(exit_code, "those that are not named above are revoked");
}

void AddRevoke(CLI::App& token, RunTool* run) {
  CLI::App* const command =
      token.add_subcommand("revoke", "Take tokens back, at once");
  command->footer(kTokenRevokeFooter);
  const auto options = std::make_shared<RevokeTokensOptions>();
  AddFileOrVariable(*command, "--tokens", kTokensVariable,
                    "The server's file of tokens", &options->tokens);
  command->add_option("ID", options->ids, "The tokens' ids")
      ->option_text("...")
      ->required();
  command->callback(
      [options, run] { *run = [options] { return RunRevoke(*options); }; });
}

}  // namespace

void AddTokenCommand(CLI::App& app, RunTool* run) {
  CLI::App* const command = app.add_subcommand(
      "token", "Make, list and revoke the tokens of clients");
  AddVersion(*command);
  command->footer(kTokenFooter);
  command->require_subcommand(1);
  AddAdd(*command, run);
  AddList(*command, run);
  AddRevoke(*command, run);
}

}  // namespace messenger::app
