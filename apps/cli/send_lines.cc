// messenger-cli send -: each line of stdin is a message.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "apps/cli/line_reader.h"
#include "apps/cli/send.h"
#include "apps/common/event.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "messenger/error.h"

namespace messenger::app {
namespace {

// ---- Sending

// A line that was not sent, or has no receipt, and why.
struct FailedLine {
  std::uint64_t number = 0;
  absl::Status status;
};

// What became of the lines so far.
struct SendState {
  // Lines handed to the client; the last one's number.
  std::uint64_t submitted = 0;
  std::uint64_t last_submitted = 0;
  // Lines with a receipt, without those after a line that failed; the last
  // one's number.
  std::uint64_t acknowledged = 0;
  std::uint64_t last_acknowledged = 0;
  // The receipts of the first and of the last one.
  std::optional<Receipt> first_receipt;
  std::optional<Receipt> last_receipt;
  // Lines that are not valid messages and were skipped; and the one that was
  // not, which ended it.
  std::uint64_t skipped = 0;
  std::optional<FailedLine> refused;
  // The first line that was sent and has no receipt.
  std::optional<FailedLine> failed;
  // The errno of a read of stdin that failed.
  int read_error = 0;
};

// Thread safety: `state` and `Stop` may be called from any thread.
class LineSender {
 public:
  // `on_skipped` is told of each invalid line that is skipped. `command` and
  // what `on_skipped` refers to must outlive this.
  LineSender(Client client, const SendCommand& command,
             std::function<void(const FailedLine&)> on_skipped);

  // Sends the lines of stdin, if the server is there, until they end, one of
  // them is refused or fails, or Stop; then waits until each that was sent has
  // a receipt or has failed.
  void Run();

  // Sends no more.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  SendState state() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void SendLines();
  bool SendLine(const Line& line);
  absl::Status Check(const Line& line);
  bool Refuse(FailedLine line) ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(std::uint64_t line, const absl::StatusOr<Receipt>& receipt)
      ABSL_LOCKS_EXCLUDED(mu_);

  Client client_;
  const SendCommand& command_;
  const std::function<void(const FailedLine&)> on_skipped_;
  NewMessage message_;
  Event stop_;  // wakes the wait for input

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  SendState state_ ABSL_GUARDED_BY(mu_);
  // Of the lines that were submitted.
  std::uint64_t done_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

LineSender::LineSender(Client client, const SendCommand& command,
                       std::function<void(const FailedLine&)> on_skipped)
    : client_(std::move(client)),
      command_(command),
      on_skipped_(std::move(on_skipped)),
      message_(command.MessageWithoutText()) {}

void LineSender::Run() {
  if (absl::Status status = client_.Ping().status(); !status.ok()) {
    absl::MutexLock lock(&mu_);
    state_.failed = {.number = 1, .status = std::move(status)};
    return;
  }
  SendLines();
  absl::MutexLock lock(&mu_);
  while (done_ < state_.submitted) changed_.Wait(&mu_);
}

void LineSender::SendLines() {
  LineReader reader(STDIN_FILENO, stop_.fd(), command_.max_message_bytes);
  Line line;
  LineReader::Result result;
  do {
    result = reader.Next(&line);
  } while (result == LineReader::Result::kLine && SendLine(line));
  if (result == LineReader::Result::kFailed) {
    absl::MutexLock lock(&mu_);
    state_.read_error = reader.error();
  }
}

// False if it was the last one to send.
bool LineSender::SendLine(const Line& line) {
  message_.text = line.text;
  if (absl::Status status = Check(line); !status.ok()) {
    return Refuse({.number = line.number, .status = std::move(status)});
  }
  {
    absl::MutexLock lock(&mu_);
    if (state_.failed || stopped_) return false;
    ++state_.submitted;
    state_.last_submitted = line.number;
  }
  client_.SendAsync(message_, [this, number = line.number](
                                  const absl::StatusOr<Receipt>& receipt) {
    OnDone(number, receipt);
  });
  return true;
}

absl::Status LineSender::Check(const Line& line) {
  if (line.too_long) {
    return absl::InvalidArgumentError(fmt::format(
        "longer than the limit of {} bytes", command_.max_message_bytes));
  }
  return CheckMessage(message_, command_.max_message_bytes);
}

// False if sending ends with it.
bool LineSender::Refuse(FailedLine line) {
  if (command_.skip_invalid) on_skipped_(line);
  absl::MutexLock lock(&mu_);
  if (command_.skip_invalid) {
    ++state_.skipped;
  } else {
    state_.refused = std::move(line);
  }
  return command_.skip_invalid;
}

void LineSender::OnDone(std::uint64_t line,
                        const absl::StatusOr<Receipt>& receipt) {
  absl::MutexLock lock(&mu_);
  if (++done_ == state_.submitted) changed_.Signal();
  if (state_.failed) return;
  if (!receipt.ok()) {
    state_.failed = {.number = line, .status = receipt.status()};
    stop_.Set();
    return;
  }
  ++state_.acknowledged;
  state_.last_acknowledged = line;
  state_.last_receipt = *receipt;
  if (!state_.first_receipt) state_.first_receipt = *receipt;
}

void LineSender::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
  }
  stop_.Set();
}

SendState LineSender::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

// ---- What is said of it

std::string Lines(std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("line {}", first)
                       : fmt::format("lines {} to {}", first, last);
}

// A sentence for the lines up to `last`: "Lines 1 to 16 were sent"
std::string UpTo(std::uint64_t last, std::string_view done) {
  if (last == 0) return fmt::format("No line was {}", done);
  if (last == 1) return fmt::format("Line 1 was {}", done);
  return fmt::format("Lines 1 to {} were {}", last, done);
}

// "Lines 1 to 16 were acknowledged; line 17 may have been stored or not."
std::string Acknowledged(const SendState& state) {
  std::string report = UpTo(state.last_acknowledged, "acknowledged");
  if (state.last_submitted > state.last_acknowledged) {
    report +=
        fmt::format("; {} may have been stored or not",
                    Lines(state.last_acknowledged + 1, state.last_submitted));
  }
  return report + ".";
}

// "line 17: not valid UTF-8: byte 0xff at offset 3"
std::string Describe(const FailedLine& line) {
  return fmt::format("line {}: {}", line.number,
                     MessageOf(line.status, "text"));
}

bool IsUtf8Error(const FailedLine& line) {
  return ReasonOf(line.status) == reason::kInvalidUtf8;
}

std::string ReportRefused(const FailedLine& line) {
  const std::string sent =
      line.number == 1
          ? fmt::format("{}. No line was sent.", Describe(line))
          : fmt::format("{}. {}; line {} and the rest were not.",
                        Describe(line), UpTo(line.number - 1, "sent"),
                        line.number);
  if (IsUtf8Error(line)) {
    return fmt::format(
        "{} Convert the input (for example: iconv -f latin1 -t utf-8) and go "
        "on with: tail -n +{}",
        sent, line.number);
  }
  return fmt::format("{} Shorten it and go on with: tail -n +{}", sent,
                     line.number);
}

std::string ReportFailed(const SendState& state, std::string_view server) {
  const FailedLine& line = *state.failed;
  if (!IsServerAway(line.status)) {
    return fmt::format("{}. {}; the rest was not.", Describe(line),
                       UpTo(state.last_acknowledged, "acknowledged"));
  }
  if (state.acknowledged == 0) {
    return Explain(line.status, server) + " No line was acknowledged.";
  }
  std::string report = fmt::format(
      "lost {}. {} Go on with: tail -n +{}", WithServer(line.status, server),
      Acknowledged(state), state.last_acknowledged + 1);
  if (state.last_submitted > state.last_acknowledged) {
    report += " (which may store some lines twice)";
  }
  return report;
}

// Why not all lines were sent, which ones were, and how to go on. Empty if
// nothing went wrong. `signal` is the one that ended it, or 0.
std::string Report(const SendState& state, int signal,
                   std::string_view server) {
  if (state.failed) return ReportFailed(state, server);
  if (state.read_error != 0) {
    return fmt::format("cannot read stdin: {}. {}",
                       std::generic_category().message(state.read_error),
                       Acknowledged(state));
  }
  if (signal != 0) {
    return fmt::format("interrupted. {}", Acknowledged(state));
  }
  if (state.refused) return ReportRefused(*state.refused);
  if (state.skipped == 0) return {};
  return fmt::format("{} {} refused, {} sent", state.skipped,
                     state.skipped == 1 ? "line was" : "lines were",
                     state.acknowledged);
}

// The exit code that goes with it.
int ExitCodeOf(const SendState& state, int signal) {
  if (signal != 0) return ExitCodeOfSignal(signal);
  if (state.failed) return app::ExitCodeOf(state.failed->status);
  const bool all_sent =
      state.read_error == 0 && !state.refused && state.skipped == 0;
  return all_sent ? kOk : kFailed;
}

// How far it has come, on a terminal, and not while the lines are typed on one.
//
// Thread safety: all members may be called from any thread.
class Progress {
 public:
  // "sent 123, 45/s".
  void Show(std::uint64_t sent) ABSL_LOCKS_EXCLUDED(mu_) {
    if (isatty(STDIN_FILENO) != 0) return;
    absl::MutexLock lock(&mu_);
    line_.Show(fmt::format("sent {}, {:.0f}/s", sent, Rate(sent)));
  }

  // Prints an error, without mixing it up with the line.
  void PrintError(std::string_view message) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    line_.Erase();
    app::PrintError(message);
  }

  // Replaces the line by one that stays.
  void Close(std::uint64_t sent, std::string_view channel)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    line_.Leave(fmt::format("sent {} {} to {} in {:.2f} s, {:.0f}/s", sent,
                            sent == 1 ? "line" : "lines", channel, seconds(),
                            Rate(sent)));
  }

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start_)
        .count();
  }

 private:
  double Rate(std::uint64_t sent) const {
    return static_cast<double>(sent) / std::max(seconds(), 1e-6);
  }

  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
  absl::Mutex mu_;
  ProgressLine line_ ABSL_GUARDED_BY(mu_);
};

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

// How long a first call may take, so that giving up does not come late.
std::chrono::milliseconds CallTimeout(const RetryOptions& retry) {
  const std::chrono::milliseconds most = ClientOptions().call_timeout;
  const std::chrono::milliseconds patience = retry.give_up_after.value_or(most);
  // Zero asks for one whole try.
  if (patience.count() == 0) return most;
  return std::clamp<std::chrono::milliseconds>(patience,
                                               std::chrono::seconds(1), most);
}

}  // namespace

int SendLines(const SendCommand& command, Context& context) {
  const CommonOptions& common = context.common;
  // For the receipts that are still out when a signal comes.
  constexpr std::chrono::seconds kGrace(1);
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
  LineSender sender(Client::Connect(std::move(options)), command,
                    [&progress](const FailedLine& line) {
                      progress.PrintError(Describe(line));
                    });
  const bool finished = RunWatched(
      context.interrupt, [&sender] { sender.Run(); },
      [&] { progress.Show(sender.state().acknowledged); },
      [&sender] { sender.Stop(); }, kGrace);

  const SendState state = sender.state();
  const int signal = context.interrupt.signal();
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
    context.output.Flush();
    std::_Exit(exit_code);
  }
  return exit_code;
}

}  // namespace messenger::app
