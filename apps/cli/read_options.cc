#include "apps/cli/read_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/cli/options.h"
#include "apps/common/position.h"
#include "apps/common/time.h"

namespace messenger::app {
namespace {

std::optional<Start> ParseFrom(std::string_view text) {
  if (text == "earliest") return Start::Earliest();
  const auto sequence = ParseNumber(text);
  if (!sequence || *sequence == 0) return std::nullopt;
  return Start::At(*sequence);
}

std::optional<Start> ParseSince(std::string_view text) {
  const auto now = Timestamp(std::chrono::system_clock::now());
  const auto time = ParseTime(text, now);
  if (!time) return std::nullopt;
  return Start::Since(*time);
}

std::optional<Start> ParseLast(std::string_view text) {
  const auto count = ParseNumber(text);
  if (!count || *count == 0) return std::nullopt;
  return Start::Last(*count);
}

std::optional<Start> ParseAfter(std::string_view text) {
  const auto position = ParsePosition(text);
  if (!position) return std::nullopt;
  return Start::After(*position);
}

// A way to say where to start.
struct StartOption {
  const char* name;
  const char* value;
  std::optional<Start> (*parse)(std::string_view);
  const char* expected;
  const char* description;
};

constexpr auto kStartOptions = std::to_array<StartOption>({
    {"--from", "earliest|SEQ", ParseFrom, "earliest or a sequence from 1 on",
     "Start with the first message of the channel, or with\n"
     "this sequence; what is no longer there is a gap"},
    {"--since", "TIME|DURATION", ParseSince,
     "2024-05-14T10:00:00Z, '2024-05-14 10:00' (local time) or a duration "
     "like 10m, 1h30m or 2d",
     "Start with the first message sent at this time or\n"
     "later, or this long ago: 2024-05-14T10:00:00Z,\n"
     "'2024-05-14 10:00' (local), 10m, 1h30m, 2d"},
    {"--last", "N", ParseLast, "a number from 1 on",
     "Start with the last N messages"},
    {"--after", "EPOCH:SEQ", ParseAfter,
     "the epoch and the sequence of a message, as --json prints them, for "
     "example 1234567890:42",
     "Resume after the message with this epoch and\n"
     "sequence, as --json prints them"},
});

CLI::Option* AddStart(CLI::App& command, const StartOption& option,
                      Start* start) {
  return command
      .add_option_function<std::string>(
          option.name,
          [&option, start](const std::string& text) {
            const auto parsed = option.parse(text);
            if (!parsed) {
              throw CLI::ValidationError(
                  option.name,
                  fmt::format("'{}' is not {}", text, option.expected));
            }
            *start = *parsed;
          },
          option.description)
      ->option_text(option.value);
}

void AddStartOptions(CLI::App& command, Start* start) {
  std::vector<CLI::Option*> added;
  for (const StartOption& option : kStartOptions) {
    CLI::Option* const one = AddStart(command, option, start);
    for (CLI::Option* other : added) one->excludes(other);
    added.push_back(one);
  }
}

void AddLimit(CLI::App& command, std::optional<std::uint64_t>* limit) {
  command
      .add_option_function<std::string>(
          "--limit",
          [limit](const std::string& text) {
            *limit = ParseNumber(text);
            if (limit->value_or(0) == 0) {
              throw CLI::ValidationError(
                  "--limit",
                  fmt::format("'{}' is not a number from 1 on", text));
            }
          },
          "End after N messages")
      ->option_text("N");
}

}  // namespace

void AddReadOptions(CLI::App& command, ReadCommand* options) {
  AddChannelArgument(
      command,
      AddChannel(command, &options->read.channel,
                 "The channel to read (default general); it need\n"
                 "not exist yet"),
      &options->read.channel);
  AddStartOptions(command, &options->read.start);
  AddLimit(command, &options->read.limit);
  command.add_flag("--until-caught-up", options->read.until_caught_up,
                   "End once everything was printed that was stored\n"
                   "when the read began, instead of waiting for more");
  command.add_flag("--strict", options->read.strict,
                   "Fail, instead of reporting a gap, if messages are no\n"
                   "longer there");
  command
      .add_option("--bookmark", options->bookmark,
                  "Keep in this file what has been printed, and go on\n"
                  "after it: the options above say where to start if\n"
                  "there is no such file yet. It is replaced by way of\n"
                  "FILE.new, and must not be a symbolic link")
      ->option_text("FILE");
  AddGiveUpAfter(command, &options->retry);
  command.add_flag("--text", options->text_only,
                   "Print only the text: to a file or a pipe as it is,\n"
                   "what 'send -' was given; on a terminal, fit for it");
}

}  // namespace messenger::app
