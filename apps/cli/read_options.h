// The command line of `messenger-cli read`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {

struct ReadCommand {
  ReadOptions read = {.channel = std::string(kDefaultChannel)};
  bool text_only = false;
};

void AddReadOptions(CLI::App& command, ReadCommand* options);

}  // namespace messenger::app
