#include "apps/cli/send_options.h"

#include <fmt/format.h>

#include <string_view>

#include "apps/common/command_line.h"

namespace messenger::app {
namespace {

// CLI11 takes an empty answer for valid.
std::string CheckAttribute(const std::string& attribute) {
  const std::size_t equals = attribute.find('=');
  if (equals != std::string::npos && equals > 0) return {};
  return fmt::format("'{}' is not NAME=VALUE", attribute);
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

}  // namespace messenger::app
