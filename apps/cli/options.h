// Options that several commands take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/command.h"
#include "messenger/client.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace messenger::app {

// The server's address without --server: $MESSENGER_SERVER_ADDR, else
// localhost.
std::string DefaultServer();

// The author without --author: $MESSENGER_AUTHOR, else the login name, else
// nobody.
std::string DefaultAuthor();

// The server, and the way to it.
ClientOptions ConnectTo(const CommonOptions& common);

// --server and --http-proxy.
void AddServer(CLI::App& app, CommonOptions* common);
void AddJson(CLI::App& app, CommonOptions* common,
             const std::string& description);
CLI::Option* AddChannel(CLI::App& app, std::string* channel,
                        const std::string& description);

// --give-up-after.
void AddGiveUpAfter(CLI::App& app, RetryOptions* retry);

// A decimal number and nothing else.
std::optional<std::uint64_t> ParseNumber(std::string_view text);

}  // namespace messenger::app
