// messenger-cli send: what send.cc, which reads the command line and sends one
// text, and send_lines.cc, which sends the lines of stdin, share.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "apps/cli/command.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {

struct SendCommand {
  std::string text;
  std::string channel = std::string(kDefaultChannel);
  std::string author;
  std::vector<std::string> attributes;  // NAME=VALUE
  bool skip_invalid = false;
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  RetryOptions retry;

  // What all messages have in common: views into this command.
  NewMessage MessageWithoutText() const;
};

// `send -`: sends each line of stdin, and says which ones were not. Returns the
// exit code.
int SendLines(const SendCommand& command, Context& context);

}  // namespace messenger::app
