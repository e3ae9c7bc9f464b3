// The command line of `messenger-cli read`.
#pragma once

#include <string>

#include "messenger/client.h"
#include "messenger/message.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

struct ReadCommand {
  ReadOptions read = {.channel = std::string(kDefaultChannel)};
  bool channel_given = false;
  bool text_only = false;
  RetryOptions retry;
  std::string bookmark;  // a path; empty: none
};

void AddReadOptions(CLI::App& command, ReadCommand* options);

}  // namespace messenger::app
