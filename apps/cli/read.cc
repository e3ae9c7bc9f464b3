// messenger-cli read: print messages as they arrive.
#include <fmt/format.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apps/cli/bookmark_file.h"
#include "apps/cli/command.h"
#include "apps/cli/framing.h"
#include "apps/cli/printer.h"
#include "apps/common/command_line.h"
#include "apps/common/event.h"
#include "apps/common/exit_code.h"
#include "apps/common/position.h"
#include "apps/common/status_text.h"
#include "apps/common/time.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {
namespace {

constexpr const char* kReadFooter =
    R"(Without --from, --since, --last or --after it starts with the next message that
is sent. It goes on until Ctrl-C, unless --limit or --until-caught-up ends it.

Examples:
  messenger-cli read
      Follow the channel 'general'.
  messenger-cli read chat
      Follow the channel 'chat': the same as read --channel chat.
  messenger-cli read --last 10 --until-caught-up
      Show the last ten messages.
  messenger-cli read --since 10m | grep -i error
      What was said in the last ten minutes, and from now on.
  messenger-cli read --channel logs --from earliest --until-caught-up --text
      The whole channel as lines, as 'send -' was given them.
  messenger-cli read photos --last 1 --until-caught-up --data >photo.png
      The bytes of a message.
  messenger-cli read --channel events --from earliest --data --length-prefixed
      The data of each message behind its length, as 'send -' takes it.
  messenger-cli read --json --after 1234567890:42
      Resume after a message, by its "epoch" and "sequence".
  messenger-cli read --from earliest --bookmark done | ./handle-each-line
      All messages, and when it is started again, those it has not printed yet.
      (After a crash, those that it had printed last may come once more.)

Output:
  10:01:02 ann  hello {colour=red}    local time, author, text, attributes; the
                                      date stands on a line of its own where it
                                      changes. Data is told of, not shown:
                                      [12 bytes of image/png]. Further lines of
                                      a text are indented; what would drive a
                                      terminal, or look like another message,
                                      is escaped or stands between quotation
                                      marks.
  --json   {"channel":"general","epoch":"1234567890","sequence":42,
            "send_time":"2024-05-14T10:01:02.000000001Z","author":"ann",
            "text":"hello","attributes":[{"name":"colour","value":"red"}]}
           on one line, with "data", in base64, and "content_type" if it has
           them; and for messages that are not there any more
           {"gap":{"channel":"general","first_missing":1,"next":40,
            "reason":"retention"}}
Without --json, gaps are reported on stderr. Colours are used on a terminal,
unless NO_COLOR is set.

If the server goes away in the middle of it, it says so on stderr, waits for it,
and goes on where it was, without a hole and without a repetition. With
--give-up-after it ends with exit code 3 then, and says how to go on.)";

// ---- The command line

struct ReadCommand {
  ReadOptions read = {.channel = std::string(kDefaultChannel)};
  bool channel_given = false;
  // Only the text, or only the data, and what stands around each.
  bool text_only = false;
  bool data_only = false;
  std::optional<Framing> framing;
  RetryOptions retry;
  std::string bookmark;  // a path; empty: none
};

// From 1 on.
std::optional<std::uint64_t> ParseCount(std::string_view text) {
  const auto count = ParseNumber(text);
  return count == 0U ? std::nullopt : count;
}

std::optional<Start> ParseFrom(std::string_view text) {
  if (text == "earliest") return Start::Earliest();
  const auto sequence = ParseCount(text);
  if (!sequence) return std::nullopt;
  return Start::At(*sequence);
}

std::optional<Start> ParseSince(std::string_view text) {
  const auto now = Timestamp(std::chrono::system_clock::now());
  const auto time = ParseTime(text, now);
  if (!time) return std::nullopt;
  return Start::Since(*time);
}

std::optional<Start> ParseLast(std::string_view text) {
  const auto count = ParseCount(text);
  if (!count) return std::nullopt;
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

void AddStartOptions(CLI::App& command, Start* start) {
  std::vector<CLI::Option*> added;
  for (const StartOption& option : kStartOptions) {
    CLI::Option* const one =
        AddParsed(command, option.name, start, option.parse,
                  fmt::format("is not {}", option.expected), option.description)
            ->option_text(option.value);
    for (CLI::Option* other : added) one->excludes(other);
    added.push_back(one);
  }
}

void AddRawOptions(CLI::App& command, ReadCommand* options) {
  command.add_flag("--text", options->text_only,
                   "Print only the text: to a file or a pipe as it is,\n"
                   "what 'send -' was given; on a terminal, fit for it");
  command.add_flag("--data", options->data_only,
                   "Print only the data, as it is, to a file or a pipe:\n"
                   "back to back without one of the options below");
  command.add_flag_callback(
      "-0,--null", [options] { options->framing = Framing::kNull; },
      "With --text or --data, end each with a NUL");
  command.add_flag_callback(
      "--length-prefixed",
      [options] { options->framing = Framing::kLengthPrefixed; },
      "With --data, print before each its length, a varint,\n"
      "as in protobuf's delimited streams; 0 without data.\n"
      "Whatever the bytes are, they come apart again");
}

// What cannot be said together is wrong usage.
void CheckReadOptions(const CLI::App& command) {
  constexpr std::array kForms = {"--json", "--text", "--data"};
  const char* form = nullptr;
  for (const char* const name : kForms) {
    if (command.count(name) == 0) continue;
    if (form != nullptr) throw CLI::ExcludesError(form, name);
    form = name;
  }
  const bool is_null = command.count("--null") > 0;
  const bool is_prefixed = command.count("--length-prefixed") > 0;
  if (is_null && is_prefixed) {
    throw CLI::ExcludesError("--null", "--length-prefixed");
  }
  if (is_null && command.count("--text") + command.count("--data") == 0) {
    throw CLI::RequiresError("--null", "--text or --data");
  }
  if (is_prefixed && command.count("--data") == 0) {
    throw CLI::RequiresError("--length-prefixed", "--data");
  }
}

void AddReadOptions(CLI::App& command, ReadCommand* options) {
  AddChannelArgument(
      command,
      AddChannel(command, &options->read.channel,
                 "The channel to read (default general); it need\n"
                 "not exist yet"),
      &options->read.channel);
  AddStartOptions(command, &options->read.start);
  AddParsed(command, "--limit", &options->read.limit, ParseCount,
            "is not a number from 1 on", "End after N messages")
      ->option_text("N");
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
  AddRawOptions(command, options);
}

// ---- From the subscription to the output

// Prints what a subscription delivers. Output is flushed, and then the bookmark
// is set, whenever nothing more is at hand.
//
// The callbacks run on the client's threads; everything else may be used once
// the subscription has ended.
class Reading {
 public:
  // `bookmark` may be null.
  Reading(std::string channel, Printer& printer, Output& output,
          const BookmarkFile* bookmark)
      : channel_(std::move(channel)),
        printer_(printer),
        output_(output),
        bookmark_(bookmark) {}

  ReadCallbacks Callbacks();

  // A notice of the client's. Not worth mentioning before the first connection:
  // there is an error then.
  void OnNotice(std::string_view notice) const;

  // Readable when there is no more to do: the subscription has ended, or it
  // cannot reach the server to begin with, or the output or the bookmark cannot
  // be written.
  int done_fd() const { return done_.fd(); }

  // Why there is no more to do. OK if it is the output: see there.
  const absl::Status& end() const { return end_; }

 private:
  void OnState(const SubscriptionState& state);
  void OnMessage(const Message& message);
  void OnGap(const Gap& gap);
  // Writes what was printed; then the next one would begin after `sequence`.
  void Flush(std::uint64_t sequence);
  void End(const absl::Status& status);

  const std::string channel_;
  Printer& printer_;
  Output& output_;
  const BookmarkFile* const bookmark_;
  std::atomic<bool> was_joined_{false};
  GapReport gaps_;
  std::uint64_t epoch_ = 0;
  bool ended_ = false;
  absl::Status end_;
  Event done_;
};

ReadCallbacks Reading::Callbacks() {
  return {
      .on_message = [this](const Message& message) { OnMessage(message); },
      .on_gap = [this](const Gap& gap) { OnGap(gap); },
      .on_state = [this](const SubscriptionState& state) { OnState(state); },
      .on_end =
          [this](const absl::Status& status) {
            output_.Flush();
            const std::string gaps = gaps_.Rest();
            if (!gaps.empty()) PrintError(gaps);
            End(status);
          },
  };
}

void Reading::OnNotice(std::string_view notice) const {
  if (was_joined_) PrintError(notice);
}

void Reading::OnState(const SubscriptionState& state) {
  if (state.joined) {
    const bool first = !was_joined_.exchange(true);
    epoch_ = state.joined->epoch;
    if (first) Flush(state.joined->next_sequence - 1);
  } else if (state.kind == SubscriptionState::Kind::kWaiting && !was_joined_) {
    End(state.reason);
  }
}

void Reading::OnMessage(const Message& message) {
  if (ended_ || !output_.ok()) return;
  printer_.Print(message, &output_.buffer());
  if (message.last_of_frame) {
    Flush(message.sequence);
  } else if (!output_.MaybeFlush()) {
    done_.Set();
  }
}

void Reading::OnGap(const Gap& gap) {
  if (!printer_.PrintGap(gap, &output_.buffer())) {
    const std::string line = gaps_.Add(gap, GapReport::Clock::now());
    if (!line.empty()) PrintError(line);
  }
  Flush(gap.next - 1);
}

void Reading::Flush(std::uint64_t sequence) {
  if (!output_.Flush()) return done_.Set();
  if (bookmark_ == nullptr) return;
  const absl::Status saved =
      bookmark_->Save({.channel = channel_,
                       .position = {.epoch = epoch_, .sequence = sequence}});
  if (!saved.ok()) End(saved);
}

void Reading::End(const absl::Status& status) {
  if (!std::exchange(ended_, true)) end_ = status;
  done_.Set();
}

// ---- The command

Colours ChooseColours(const Output& output) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool unwanted = no_color != nullptr && *no_color != '\0';
  const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  return output.is_terminal() && !unwanted && !dumb ? Colours::kYes
                                                    : Colours::kNo;
}

std::unique_ptr<Printer> MakePrinter(const ReadCommand& command, bool json,
                                     const Output& output) {
  if (json) return MakeJsonPrinter(command.read.channel);
  if (command.data_only) return MakeDataPrinter(command.framing);
  if (command.text_only) {
    return output.is_terminal()
               ? MakePrintableTextPrinter()
               : MakeTextPrinter(command.framing.value_or(Framing::kLines));
  }
  return MakeReadablePrinter(ChooseColours(output));
}

// Says how to go on if the server went away in the middle of it.
int FailRead(const absl::Status& status, const Subscription& subscription,
             const CommonOptions& common) {
  const auto position = subscription.position();
  if (!IsServerAway(status) || !position) return Fail(status, common);
  PrintFailure(
      status,
      fmt::format("lost {}. Go on with: --after {}",
                  WithServer(status, common.server), PositionString(*position)),
      ConnectTo(common));
  return ExitCodeOf(status);
}

// Where to go on, if the bookmark says so.
absl::Status ApplyBookmark(const BookmarkFile& file, bool channel_given,
                           ReadOptions* options) {
  const absl::StatusOr<std::optional<Bookmark>> bookmark = file.Load();
  if (!bookmark.ok()) return bookmark.status();
  if (!*bookmark) return absl::OkStatus();
  const std::string& channel = (*bookmark)->channel;
  if (channel_given && channel != options->channel) {
    return absl::InvalidArgumentError(
        fmt::format("--channel is {}, but the bookmark is of {}",
                    options->channel, channel));
  }
  options->channel = channel;
  options->start = Start::After((*bookmark)->position);
  return absl::OkStatus();
}

int RunRead(ReadCommand command, Context& context) {
  if (command.data_only && context.output.is_terminal()) {
    PrintError("--data: stdout is a terminal, which the bytes would drive");
    return kUsage;
  }
  std::optional<BookmarkFile> bookmark;
  if (!command.bookmark.empty()) {
    bookmark.emplace(command.bookmark);
    if (absl::Status s =
            ApplyBookmark(*bookmark, command.channel_given, &command.read);
        !s.ok()) {
      PrintError(MessageOf(s));
      return absl::IsInvalidArgument(s) ? kUsage : kFailed;
    }
  }
  context.interrupt.Defer();
  const auto printer =
      MakePrinter(command, context.common.json, context.output);
  Reading reading(command.read.channel, *printer, context.output,
                  bookmark ? &*bookmark : nullptr);
  ClientOptions options = ConnectTo(context.common);
  options.retry = command.retry;
  options.on_notice = [&reading](std::string_view notice) {
    reading.OnNotice(notice);
  };
  Client client = Client::Connect(std::move(options));
  const Subscription subscription =
      client.Read(command.read, reading.Callbacks());

  WaitForAny({{reading.done_fd(), POLLIN},
              {context.interrupt.fd(), POLLIN},
              {context.output.fd(), 0}});  // the reader of a pipe has gone
  subscription.Cancel();
  if (const int signal = context.interrupt.signal(); signal != 0) {
    return ExitCodeOfSignal(signal);
  }
  // If it was the output that ended it, main has the last word.
  if (reading.end().ok() || absl::IsCancelled(reading.end())) return kOk;
  return FailRead(reading.end(), subscription, context.common);
}

}  // namespace

void AddRead(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("read", "Print messages as they arrive");
  command->footer(kReadFooter);
  const auto options = std::make_shared<ReadCommand>();
  AddServer(*command, common);
  AddReadOptions(*command, options.get());
  AddJson(*command, common, "Print messages and gaps as JSON, one a line");
  command->callback([command, options, run] {
    CheckReadOptions(*command);
    options->channel_given =
        command->count("--channel") + command->count("CHANNEL") > 0;
    *run = [options](Context& context) { return RunRead(*options, context); };
  });
}

}  // namespace messenger::app
