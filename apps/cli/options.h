// Options that several commands take.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "apps/cli/command.h"
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

// The channel as an argument, too; `option` is its option.
CLI::Option* AddChannelArgument(CLI::App& app, const CLI::Option* option,
                                std::string* channel);

// --give-up-after.
void AddGiveUpAfter(CLI::App& app, RetryOptions* retry);

// How long a first call may take, so that giving up does not come late.
std::chrono::milliseconds CallTimeout(const RetryOptions& retry);

}  // namespace messenger::app
