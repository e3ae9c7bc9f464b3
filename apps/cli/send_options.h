// The command line of `messenger-cli send`.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "apps/cli/options.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

struct SendCommand {
  std::string text;
  std::string channel = std::string(kDefaultChannel);
  std::string author = DefaultAuthor();
  std::vector<std::string> attributes;  // NAME=VALUE
  bool skip_invalid = false;
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  RetryOptions retry;

  bool from_stdin() const { return text == "-"; }

  // What all messages have in common: views into this command.
  NewMessage MessageWithoutText() const;
};

void AddSendOptions(CLI::App& command, SendCommand* options);

}  // namespace messenger::app
