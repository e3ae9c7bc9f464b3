// What the commands of messenger-cli have in common: what they run with, the
// options that several of them take, and how they wait.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "apps/cli/output.h"
#include "apps/common/client_security.h"
#include "apps/common/interrupt.h"
#include "messenger/client.h"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace messenger::app {

// Options of every command.
struct CommonOptions {
  std::string server;      // as ParseTarget returns it, once it is parsed
  std::string http_proxy;  // empty for none
  ClientSecurity security;
  bool json = false;
};

// What a command runs with.
struct Context {
  const CommonOptions& common;
  Interrupt& interrupt;
  Output& output;
  // What was done, to be said if the output cannot be written. Whoever sees the
  // exit code alone might do it again.
  std::string done = {};
};

// A command that was parsed, ready to run; returns the exit code.
using Run = std::function<int(Context&)>;

// Each adds a command to `app`. If the command line asks for it, parsing sets
// `*run`. `common` must outlive the run.
void AddSend(CLI::App& app, CommonOptions* common, Run* run);
void AddRead(CLI::App& app, CommonOptions* common, Run* run);
void AddChannels(CLI::App& app, CommonOptions* common, Run* run);
void AddProducers(CLI::App& app, CommonOptions* common, Run* run);
void AddForward(CLI::App& app, CommonOptions* common, Run* run);
void AddPing(CLI::App& app, CommonOptions* common, Run* run);
void AddBench(CLI::App& app, CommonOptions* common, Run* run);

// --server, --http-proxy and those of AddClientSecurity.
void AddServer(CLI::App& app, CommonOptions* common);
void AddJson(CLI::App& app, CommonOptions* common,
             const std::string& description);
CLI::Option* AddChannel(CLI::App& app, std::string* channel,
                        const std::string& description);

// The channel as an argument, too; `option` is its option.
CLI::Option* AddChannelArgument(CLI::App& app, const CLI::Option* option,
                                std::string* channel);

// What the library takes as ClientOptions::producer_name, and as
// SendOptions::idempotency_key.
inline constexpr std::size_t kMaxProducerNameBytes = 256;
inline constexpr std::size_t kMaxIdempotencyKeyBytes = 255;

// Checks a text that a log keeps as a name: 1 to `most` bytes of UTF-8.
CLI::Validator NameOfBytes(std::size_t most);

// --give-up-after.
void AddGiveUpAfter(CLI::App& app, RetryOptions* retry,
                    const std::string& description =
                        "End when the server has been away, or has taken\n"
                        "nothing, for so long, 0s: as soon as it is (default:\n"
                        "wait for it). At the beginning it must be there in\n"
                        "any case, within this time and 10s");

// The server, and the way to it.
ClientOptions ConnectTo(const CommonOptions& common);

// Prints why a command has failed. If it and the server do not agree on TLS,
// finds out why by a handshake of its own, for 3 s at most, and says so in
// another line.
void PrintFailure(const absl::Status& status, const std::string& text,
                  const ClientOptions& server);
// The same with the explanation of the status; returns the exit code.
int Fail(const absl::Status& status, const CommonOptions& common);

// Whether the server takes messages, as far as it says.
absl::Status CheckHealth(Client& client);

// Does `work` on a thread of its own, so that progress is shown, and a signal
// obeyed, while a server does not answer. Calls `watch` now and then, and
// `stop` once the work is done or a signal has come. False if the work is not
// done `grace` later: it waits for the server, and there is no way to end but
// at once.
bool RunWatched(const Interrupt& interrupt, std::function<void()> work,
                const std::function<void()>& watch,
                const std::function<void()>& stop,
                std::chrono::milliseconds grace);

}  // namespace messenger::app
