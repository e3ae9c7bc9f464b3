#include "apps/cli/send.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "apps/common/time.h"

namespace messenger::app {
namespace {

constexpr const char* kSendFooter =
    R"(Examples:
  messenger-cli send "hello, world"
  messenger-cli send --channel jobs --author cron --attribute id=42 "done"
  messenger-cli send -- "--help is a good start"
  messenger-cli send - --channel app-log < app.log
      Every line becomes a message, empty ones too, as it is but for its
      newline. 'messenger-cli read --text' gives the lines back.
  tail -F app.log | messenger-cli send - --channel app-log
      Each line is sent as soon as it is there.
  iconv -f latin1 -t utf-8 old.txt | messenger-cli send -
      Text must be UTF-8. A line that is not is refused by its number.

Output:
  general 12          channel and sequence: where the message is stored
  --json              {"channel":"general","sequence":12,"epoch":"1234567890",
                       "send_time":"2024-05-14T10:01:02.000000001Z",
                       "duplicate":false}
  with - and --json   {"channel":"general","sent":100,"refused":0,
                       "epoch":"1234567890","first_sequence":12,
                       "last_sequence":111,"seconds":0.05}
                      in any case at the end; without --json there is nothing
A message is printed as sent only when the server has acknowledged it. If that
cannot be printed, as on a full disk, the exit code is 1, and the error says that
the message is stored: do not send it again.

If the server goes away in the middle of 'send -', it says so on stderr, waits
for it, and goes on: each line is stored once, and in order.

Exit codes of 'send -':
  0   every line was acknowledged
  1   a line was refused: sending stopped there, or it was skipped
  3   the server was not there, or away for longer than --give-up-after; the
      error says which lines were acknowledged
  130 Ctrl-C; the error says which lines were acknowledged)";

// The author without --author: $MESSENGER_AUTHOR, else the login name, else
// nobody.
std::string DefaultAuthor() {
  if (const char* author = std::getenv("MESSENGER_AUTHOR")) return author;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> strings{};
  getpwuid_r(getuid(), &entry, strings.data(), strings.size(), &found);
  return found == nullptr ? std::string() : found->pw_name;
}

// CLI11 takes an empty answer for valid.
std::string CheckAttribute(const std::string& attribute) {
  const std::size_t equals = attribute.find('=');
  if (equals != std::string::npos && equals > 0) return {};
  return fmt::format("'{}' is not NAME=VALUE", attribute);
}

void AddSendOptions(CLI::App& command, SendCommand* options) {
  command
      .add_option("TEXT", options->text,
                  "The text, which may be empty; or - to send each line\n"
                  "of stdin as a message. A text that begins with a\n"
                  "dash comes after --")
      ->option_text(" ")
      ->required();
  AddChannel(command, &options->channel,
             "The channel to send to (default general)");
  command
      .add_option("--author", options->author,
                  "Who says it (default $MESSENGER_AUTHOR, else the\n"
                  "login name)")
      ->option_text("NAME");
  command
      .add_option("--attribute", options->attributes,
                  "Something else to say; may be given several times")
      ->option_text("NAME=VALUE")
      ->allow_extra_args(false)
      ->check(CheckAttribute);
  command.add_flag("--skip-invalid", options->skip_invalid,
                   "With -, go on after lines that cannot be sent, and\n"
                   "report each of them");
  AddGiveUpAfter(command, &options->retry);
  AddSize(command, "--max-message-bytes", &options->max_message_bytes,
          "Longest message that the server takes, encoded, up\n"
          "to 16Mi (default 1Mi)")
      ->check(CLI::Range(ClientOptions::kMaxMessageBytes.least,
                         ClientOptions::kMaxMessageBytes.most));
}

void PrintReceipt(const Receipt& receipt, const std::string& channel, bool json,
                  std::string* out) {
  if (json) {
    AppendLine({{"channel", channel},
                {"sequence", receipt.position.sequence},
                {"epoch", EpochString(receipt.position.epoch)},
                {"send_time", FormatTime(receipt.send_time)},
                {"duplicate", receipt.duplicate}},
               out);
  } else {
    fmt::format_to(std::back_inserter(*out), "{} {}\n", channel,
                   receipt.position.sequence);
  }
}

int SendText(const SendCommand& command, Context& context) {
  NewMessage message = command.MessageWithoutText();
  message.text = command.text;
  ClientOptions options = ConnectTo(context.common);
  // Whoever has typed it is to know at once.
  options.retry = {.give_up_after = std::chrono::milliseconds(0)};
  options.max_message_bytes = command.max_message_bytes;
  Client client = Client::Connect(std::move(options));
  const auto receipt = client.Send(message);
  if (!receipt.ok()) return Fail(receipt.status(), context.common.server);
  PrintReceipt(*receipt, command.channel, context.common.json,
               &context.output.buffer());
  context.done = fmt::format("the message is stored: {} {}", command.channel,
                             receipt->position.sequence);
  return kOk;
}

// What is wrong with the message, whatever its text, is wrong usage.
int RunSend(const SendCommand& command, Context& context) {
  const absl::Status status =
      CheckMessage(command.MessageWithoutText(), command.max_message_bytes);
  if (!status.ok()) {
    PrintError(MessageOf(status));
    return kUsage;
  }
  if (command.text != "-") return SendText(command, context);
  if (!IsInherited(STDIN_FILENO)) {
    PrintError("stdin is closed");
    return kFailed;
  }
  return SendLines(command, context);
}

}  // namespace

NewMessage SendCommand::MessageWithoutText() const {
  NewMessage message{.channel = channel, .author = author};
  for (const std::string_view attribute : attributes) {
    const std::size_t equals = attribute.find('=');
    message.attributes.push_back({.name = attribute.substr(0, equals),
                                  .value = attribute.substr(equals + 1)});
  }
  return message;
}

void AddSend(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("send", "Send a message, or the lines of stdin");
  command->footer(kSendFooter);
  const auto options = std::make_shared<SendCommand>();
  options->author = DefaultAuthor();
  AddSendOptions(*command, options.get());
  AddServer(*command, common);
  AddJson(*command, common, "Print the receipt, or with - a summary, as JSON");
  command->callback([options, run] {
    *run = [options](Context& context) { return RunSend(*options, context); };
  });
}

}  // namespace messenger::app
