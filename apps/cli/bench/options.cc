#include "apps/cli/bench/options.h"

#include <fmt/format.h>

#include "apps/cli/bench/tag.h"
#include "apps/cli/options.h"
#include "apps/common/command_line.h"
#include "apps/common/position.h"

namespace messenger::app {
namespace {

template <typename Number>
CLI::Option* AddNumber(CLI::App& command, const std::string& name,
                       Number* value, Number least, Number most,
                       const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [name, value, least, most](const std::string& text) {
            const auto number = ParseNumber(text);
            if (!number || *number < least || *number > most) {
              throw CLI::ValidationError(
                  name, fmt::format("'{}' must be a number from {} to {}", text,
                                    least, most));
            }
            *value = static_cast<Number>(*number);
          },
          description)
      ->option_text("N");
}

}  // namespace

void AddBenchOptions(CLI::App& command, BenchKind kind, BenchOptions* options) {
  options->kind = kind;
  AddChannel(command, &options->channel,
             "Channel to send to (default: a new one, which is\n"
             "deleted at the end)");
  command.add_flag("--keep", options->keep, "Do not delete the new channel");
  AddNumber<std::size_t>(command, "--producers", &options->producers, 1, 1000,
                         "Clients that send, each on a connection and a\n"
                         "thread of its own (default 1)");
  AddNumber<std::size_t>(
      command, "--size", &options->size, kBenchTagBytes, 1'000'000,
      fmt::format("Bytes of a text, at least {}: it carries a\n"
                  "number (default 128)",
                  kBenchTagBytes));
  command
      .add_option_function<std::uint64_t>(
          "--count",
          [options](const std::uint64_t& count) { options->count = count; },
          "Messages to send (default: for as long as\n--duration says)")
      ->option_text("N")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  AddDuration(command, "--duration", &options->duration,
              "How long to send (default 5s)");
  const bool paced = kind == BenchKind::kLatency;
  if (paced) options->rate = 1000;
  command
      .add_option("--rate", options->rate,
                  paced ? "Messages a second, of all producers (default 1000)"
                        : "Messages a second, of all producers (default: as\n"
                          "many as go)")
      ->option_text("N")
      ->check(CLI::Range(0.001, 1e8));
  if (kind == BenchKind::kSend) {
    AddNumber<std::size_t>(command, "--in-flight", &options->in_flight, 1, 1000,
                           "Messages of each producer that wait for their\n"
                           "receipts (default: as many as go, in batches)");
    return;
  }
  options->readers = 1;
  AddNumber<std::size_t>(command, "--readers", &options->readers, 1, 100'000,
                         "Readers of the channel (default 1)");
  AddNumber<std::size_t>(command, "--connections", &options->connections, 1,
                         10'000,
                         "Connections that the readers share, at most\n"
                         "(default 4)");
  if (kind == BenchKind::kRead) {
    command.add_flag("--replay", options->replay,
                     "Send first, and time the reading from the oldest\n"
                     "message on (default: readers get messages as they\n"
                     "are sent)");
  }
}

}  // namespace messenger::app
