#include "options.h"

#include <CLI/CLI.hpp>
#include <map>
#include <random>

namespace messenger::test::chaos {
namespace {

constexpr const char* kAbout =
    R"(Sends and reads through networks that fail, before a messenger-server that
is killed and started again, and checks that no message is lost, repeated or
out of order, and that the other promises are kept
(libmessenger/doc/guarantees.md).

The clients are those of the library as a program uses them, behind proxies that
reset and end connections, refuse them, hold bytes back in one direction or
both, delay them, break them into small pieces, and slow them down. Of those who
send, some send conditional appends, some are named producers, and some use
idempotency keys; these two go on through other clients. At the end
all is healed, the server is killed once more, and what it then has is compared
with what everybody has seen.

Prints how often what has happened, and how long readers took to go on. When a
promise was not kept, it prints what the clients have seen there, keeps the
directory, and exits with 1. The long runs are
  messenger_chaos_test --server messenger-server --messages 1000000 --rate 6000
  messenger_chaos_test --server messenger-server --messages 400000 --rate 6000
      --channels 1 --readers 2 --subscriptions 8 --restless)";

const std::map<std::string, Plant> kPlants = {{"lose", Plant::kLose},
                                              {"repeat", Plant::kRepeat},
                                              {"reorder", Plant::kReorder},
                                              {"change", Plant::kChange}};

}  // namespace

std::optional<ChaosOptions> ParseChaosOptions(int argc, char** argv,
                                              int* exit_code) {
  ChaosOptions options;
  options.seed = std::random_device()();
  CLI::App app(kAbout, "messenger_chaos_test");
  app.add_option("--server", options.server, "The messenger-server to kill")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--messages", options.messages, "How many are sent")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  app.add_option("--rate", options.rate,
                 "How many are sent a second, while nothing holds them up; 0: "
                 "as many as possible")
      ->check(CLI::Range(0, 100'000'000))
      ->capture_default_str();
  app.add_option("--producers", options.producers, "How many send")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--readers", options.readers,
                 "How many clients read, each all channels")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--channels", options.channels, "How many channels there are")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--subscriptions", options.subscriptions,
                 "How many subscriptions a client has to each channel: they "
                 "share streams")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--restless", options.restless,
               "Subscriptions stall now and then, so that the others go on "
               "without them, or are ended and begun anew; some are pulled, "
               "or get messages together");
  app.add_option("--seed", options.seed,
                 "Repeats the choices of a run, though not its timing; "
                 "default: another one each time");
  app.add_option_function<std::string>(
         "--plant",
         [&options](const std::string& fault) {
           options.plant = kPlants.at(fault);
         },
         "A fault in what one reader has recorded, which must be found")
      ->check(CLI::IsMember({"lose", "repeat", "reorder", "change"}));
  app.add_flag("--require-all", options.require_all,
               "Fail if something of it never went wrong, or was never "
               "noticed: for long runs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error);
    return std::nullopt;
  }
  return options;
}

}  // namespace messenger::test::chaos
