// messenger-cli send: one message, or each line of stdin.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apps/cli/command.h"
#include "apps/cli/errors.h"
#include "apps/cli/line_sender.h"
#include "apps/cli/options.h"
#include "apps/cli/progress.h"
#include "apps/cli/send_options.h"
#include "apps/cli/send_report.h"
#include "apps/common/event.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/standard_streams.h"
#include "apps/common/time.h"
#include "messenger/client.h"

namespace messenger::app {
namespace {

constexpr const char* kSendFooter =
    R"(Examples:
  messenger-cli send "hello, world"
  messenger-cli send --channel jobs --author cron --attribute id=42 "done"
  messenger-cli send -- "--help is a good start"
  messenger-cli send - --channel app-log < app.log
      Every line becomes a message, empty ones too, as it is but for its
      newline. 'messenger-cli read --text' gives the lines back.
  tail -F app.log | messenger-cli send - --channel app-log
      Each line is sent as soon as it is there.
  iconv -f latin1 -t utf-8 old.txt | messenger-cli send -
      Text must be UTF-8. A line that is not is refused by its number.

Output:
  general 12          channel and sequence: where the message is stored
  --json              {"channel":"general","sequence":12,"epoch":"1234567890",
                       "send_time":"2024-05-14T10:01:02.000000001Z",
                       "duplicate":false}
  with - and --json   {"channel":"general","sent":100,"refused":0,
                       "epoch":"1234567890","first_sequence":12,
                       "last_sequence":111,"seconds":0.05}
                      in any case at the end; without --json there is nothing
A message is printed as sent only when the server has acknowledged it. If that
cannot be printed, as on a full disk, the exit code is 1, and the error says that
the message is stored: do not send it again.

If the server goes away in the middle of 'send -', it says so on stderr, waits
for it, and goes on: each line is stored once, and in order.

Exit codes of 'send -':
  0   every line was acknowledged
  1   a line was refused: sending stopped there, or it was skipped
  3   the server was not there, or away for longer than --give-up-after; the
      error says which lines were acknowledged
  130 Ctrl-C; the error says which lines were acknowledged)";

constexpr std::chrono::milliseconds kProgressInterval{200};

// For the receipts that are still out when a signal comes.
constexpr std::chrono::milliseconds kGrace{1000};

void PrintReceipt(const Receipt& receipt, const std::string& channel, bool json,
                  std::string* out) {
  if (json) {
    AppendLine({{"channel", channel},
                {"sequence", receipt.position.sequence},
                {"epoch", EpochString(receipt.position.epoch)},
                {"send_time", FormatTime(receipt.send_time)},
                {"duplicate", receipt.duplicate}},
               out);
  } else {
    fmt::format_to(std::back_inserter(*out), "{} {}\n", channel,
                   receipt.position.sequence);
  }
}

int SendText(const SendCommand& command, const CommonOptions& common,
             Context& context) {
  NewMessage message = command.MessageWithoutText();
  message.text = command.text;
  // Whoever has typed it is to know at once.
  const RetryOptions never = {.give_up_after = std::chrono::milliseconds(0)};
  ClientOptions options = ConnectTo(common);
  options.retry = never;
  options.max_message_bytes = command.max_message_bytes;
  Client client = Client::Connect(std::move(options));
  const auto receipt = client.Send(message);
  if (!receipt.ok()) return Fail(receipt.status(), common.server);
  PrintReceipt(*receipt, command.channel, common.json,
               &context.output.buffer());
  context.done = fmt::format("the message is stored: {} {}", command.channel,
                             receipt->position.sequence);
  return kOk;
}

void PrintSummary(const SendState& state, const std::string& channel,
                  double seconds, std::string* out) {
  Json epoch;
  Json first;
  Json last;
  if (state.acknowledged > 0) {
    epoch = EpochString(state.first_receipt->position.epoch);
    first = state.first_receipt->position.sequence;
    last = state.last_receipt->position.sequence;
  }
  AppendLine({{"channel", channel},
              {"sent", state.acknowledged},
              {"refused", state.skipped + (state.refused ? 1 : 0)},
              {"epoch", epoch},
              {"first_sequence", first},
              {"last_sequence", last},
              {"seconds", seconds}},
             out);
}

// Sends in a thread of its own, so that progress is shown, and a signal obeyed,
// while a server does not answer.
int SendLines(const SendCommand& command, const CommonOptions& common,
              Context& context) {
  const Interrupt& interrupt = context.interrupt;
  context.interrupt.Defer();
  Progress progress;
  ClientOptions options = ConnectTo(common);
  options.retry = command.retry;
  options.on_notice = [&progress](std::string_view notice) {
    progress.PrintError(notice);
  };
  options.max_message_bytes = command.max_message_bytes;
  options.send_timeout = std::chrono::milliseconds(0);
  options.call_timeout = CallTimeout(command.retry);
  Client client = Client::Connect(std::move(options));
  LineSender sender(std::move(client), command,
                    [&progress](const FailedLine& line) {
                      progress.PrintError(Describe(line));
                    });
  Event done;
  std::thread thread([&] {
    sender.Run();
    done.Set();
  });
  while (!WaitForAny({{done.fd(), POLLIN}, {interrupt.fd(), POLLIN}},
                     kProgressInterval)) {
    progress.Show(sender.state().acknowledged);
  }
  sender.Stop();
  const bool finished =
      interrupt.signal() == 0 || WaitForAny({{done.fd(), POLLIN}}, kGrace);

  const SendState state = sender.state();
  const int signal = interrupt.signal();
  const int exit_code = ExitCodeOf(state, signal);
  progress.Close(state.acknowledged, command.channel);
  const std::string report = Report(state, signal, common.server);
  if (!report.empty()) PrintError(report);
  if (common.json) {
    PrintSummary(state, command.channel, progress.seconds(),
                 &context.output.buffer());
    context.done = Acknowledged(state);
  }
  if (!finished) {
    // The thread waits for the server: there is no way to end but at once.
    context.output.Flush();
    std::_Exit(exit_code);
  }
  thread.join();
  return exit_code;
}

// What is wrong with the message, whatever its text, is wrong usage.
int RunSend(const SendCommand& command, const CommonOptions& common,
            Context& context) {
  const absl::Status status =
      CheckMessage(command.MessageWithoutText(), command.max_message_bytes);
  if (!status.ok()) {
    PrintError(MessageOf(status));
    return kUsage;
  }
  if (!command.from_stdin()) return SendText(command, common, context);
  if (!IsInherited(STDIN_FILENO)) {
    PrintError("stdin is closed");
    return kFailed;
  }
  return SendLines(command, common, context);
}

}  // namespace

void AddSend(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("send", "Send a message, or the lines of stdin");
  command->footer(kSendFooter);
  const auto options = std::make_shared<SendCommand>();
  AddSendOptions(*command, options.get());
  AddServer(*command, common);
  AddJson(*command, common, "Print the receipt, or with - a summary, as JSON");
  command->callback([options, common, run] {
    *run = [options, common](Context& context) {
      return RunSend(*options, *common, context);
    };
  });
}

}  // namespace messenger::app
