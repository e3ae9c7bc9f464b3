// messenger-cli send -: each line, or other record, of stdin is a message.
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
#include "apps/cli/record_reader.h"
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

// A record that was not sent, or has no receipt, and why.
struct FailedRecord {
  std::uint64_t number = 0;  // 0: it is not about one of them
  absl::Status status;
};

// What became of the records so far.
struct SendState {
  // Records handed to the client; the last one's number.
  std::uint64_t submitted = 0;
  std::uint64_t last_submitted = 0;
  // Records with a receipt, without those after one that failed; the last one's
  // number.
  std::uint64_t acknowledged = 0;
  std::uint64_t last_acknowledged = 0;
  // Of these, those that the named producer had stored before.
  std::uint64_t duplicates = 0;
  // The receipts of the first and of the last one.
  std::optional<Receipt> first_receipt;
  std::optional<Receipt> last_receipt;
  // Records that are not valid messages and were skipped; and the one that was
  // not, which ended it.
  std::uint64_t skipped = 0;
  std::optional<FailedRecord> refused;
  // The first one that was sent and has no receipt.
  std::optional<FailedRecord> failed;
  // The errno of a read of stdin that failed.
  int read_error = 0;
};

// Thread safety: `state` and `Stop` may be called from any thread.
class RecordSender {
 public:
  // `on_skipped` is told of each invalid record that is skipped. `command` and
  // what `on_skipped` refers to must outlive this.
  RecordSender(Client client, const SendCommand& command,
               std::function<void(const FailedRecord&)> on_skipped);

  // Sends the records of stdin, if the server is there, until they end, one of
  // them is refused or fails, or Stop; then waits until each that was sent has
  // a receipt or has failed.
  void Run();

  // Sends no more.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  SendState state() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Status Open();
  void SendRecords();
  bool SendRecord(const Record& record);
  absl::Status Check(const Record& record);
  bool Refuse(FailedRecord record) ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(std::uint64_t record, const absl::StatusOr<Receipt>& receipt)
      ABSL_LOCKS_EXCLUDED(mu_);

  Client client_;
  const SendCommand& command_;
  const std::function<void(const FailedRecord&)> on_skipped_;
  NewMessage message_;
  // What the named producer had stored before.
  std::uint64_t stored_before_ = 0;
  Event stop_;  // wakes the wait for input

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  SendState state_ ABSL_GUARDED_BY(mu_);
  // Of those that were submitted.
  std::uint64_t done_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

RecordSender::RecordSender(Client client, const SendCommand& command,
                           std::function<void(const FailedRecord&)> on_skipped)
    : client_(std::move(client)),
      command_(command),
      on_skipped_(std::move(on_skipped)),
      message_(command.MessageWithoutContent()) {}

void RecordSender::Run() {
  if (absl::Status status = Open(); !status.ok()) {
    absl::MutexLock lock(&mu_);
    state_.failed = {.status = std::move(status)};
    return;
  }
  SendRecords();
  absl::MutexLock lock(&mu_);
  while (done_ < state_.submitted) changed_.Wait(&mu_);
}

// Whether the server is there, and takes what this sends.
absl::Status RecordSender::Open() {
  if (command_.producer_name.empty()) return client_.Ping().status();
  const auto producer = client_.OpenProducer(command_.channel);
  if (!producer.ok()) return producer.status();
  stored_before_ = producer->last_producer_sequence;
  return absl::OkStatus();
}

void RecordSender::SendRecords() {
  const auto reader = RecordReader::Make(
      command_.framing, STDIN_FILENO, stop_.fd(), command_.max_message_bytes);
  Record record;
  RecordReader::Result result;
  do {
    result = reader->Next(&record);
  } while (result == RecordReader::Result::kRecord && SendRecord(record));
  absl::MutexLock lock(&mu_);
  if (result == RecordReader::Result::kFailed) {
    state_.read_error = reader->error();
  } else if (result == RecordReader::Result::kMalformed) {
    state_.refused = {.number = record.number, .status = reader->malformed()};
  }
}

// False if it was the last one to send.
bool RecordSender::SendRecord(const Record& record) {
  (command_.as_data ? message_.data : message_.text) = record.bytes;
  if (absl::Status status = Check(record); !status.ok()) {
    return Refuse({.number = record.number, .status = std::move(status)});
  }
  {
    absl::MutexLock lock(&mu_);
    if (state_.failed || stopped_) return false;
    ++state_.submitted;
    state_.last_submitted = record.number;
  }
  SendOptions options;
  if (!command_.producer_name.empty()) {
    options.producer_sequence = record.number;
  }
  client_.SendAsync(
      message_,
      [this, number = record.number](const absl::StatusOr<Receipt>& receipt) {
        OnDone(number, receipt);
      },
      options);
  return true;
}

absl::Status RecordSender::Check(const Record& record) {
  if (record.too_long) {
    return absl::InvalidArgumentError(fmt::format(
        "longer than the limit of {} bytes", command_.max_message_bytes));
  }
  return CheckMessage(message_, command_.max_message_bytes);
}

// False if sending ends with it.
bool RecordSender::Refuse(FailedRecord record) {
  if (command_.skip_invalid) on_skipped_(record);
  absl::MutexLock lock(&mu_);
  if (command_.skip_invalid) {
    ++state_.skipped;
  } else {
    state_.refused = std::move(record);
  }
  return command_.skip_invalid;
}

void RecordSender::OnDone(std::uint64_t record,
                          const absl::StatusOr<Receipt>& receipt) {
  absl::MutexLock lock(&mu_);
  if (++done_ == state_.submitted) changed_.Signal();
  if (state_.failed) return;
  if (!receipt.ok()) {
    state_.failed = {.number = record, .status = receipt.status()};
    stop_.Set();
    return;
  }
  ++state_.acknowledged;
  state_.last_acknowledged = record;
  if (record <= stored_before_) ++state_.duplicates;
  state_.last_receipt = *receipt;
  if (!state_.first_receipt) state_.first_receipt = *receipt;
}

void RecordSender::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
  }
  stop_.Set();
}

SendState RecordSender::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

// ---- What is said of it

constexpr std::string_view kAgain =
    "send all of it again, under the same --producer-name";

// Says it of lines, or of records.
class Reporter {
 public:
  explicit Reporter(const SendCommand& command)
      : is_lines_(command.framing == Framing::kLines),
        is_named_(!command.producer_name.empty()),
        field_(command.as_data ? "data" : "text") {}

  std::string_view noun() const { return is_lines_ ? "line" : "record"; }

  // "1 line", "2 lines"
  std::string Count(std::uint64_t count) const {
    return fmt::format("{} {}{}", count, noun(), count == 1 ? "" : "s");
  }

  // "12 lines (5 of them stored before)"
  std::string Sent(const SendState& state) const {
    std::string text = Count(state.acknowledged);
    if (state.duplicates > 0) {
      text += fmt::format(" ({} of them stored before)", state.duplicates);
    }
    return text;
  }

  // "line 17: not valid UTF-8: byte 0xff at offset 3"
  std::string Describe(const FailedRecord& record) const {
    return fmt::format("{} {}: {}", noun(), record.number,
                       MessageOf(record.status, field_));
  }

  // "Lines 1 to 16 were acknowledged; line 17 may have been stored or not."
  std::string Acknowledged(const SendState& state) const;

  // Why not all were sent, which ones were, and how to go on. Empty if nothing
  // went wrong. `signal` is the one that ended it, or 0.
  std::string Report(const SendState& state, int signal,
                     std::string_view server) const;

 private:
  // A sentence for those up to `last`: "Lines 1 to 16 were sent"
  std::string UpTo(std::uint64_t last, std::string_view done) const;
  std::string ReportRefused(const FailedRecord& record) const;
  std::string ReportFailed(const SendState& state,
                           std::string_view server) const;

  const bool is_lines_;
  const bool is_named_;
  const std::string_view field_;
};

std::string Reporter::UpTo(std::uint64_t last, std::string_view done) const {
  if (last == 0) return fmt::format("No {} was {}", noun(), done);
  const std::string_view name = is_lines_ ? "Line" : "Record";
  if (last == 1) return fmt::format("{} 1 was {}", name, done);
  return fmt::format("{}s 1 to {} were {}", name, last, done);
}

std::string Reporter::Acknowledged(const SendState& state) const {
  std::string report = UpTo(state.last_acknowledged, "acknowledged");
  const std::uint64_t first = state.last_acknowledged + 1;
  const std::uint64_t last = state.last_submitted;
  if (first == last) {
    report += fmt::format("; {} {} may have been stored or not", noun(), first);
  } else if (first < last) {
    report += fmt::format("; {}s {} to {} may have been stored or not", noun(),
                          first, last);
  }
  return report + ".";
}

std::string Reporter::ReportRefused(const FailedRecord& record) const {
  const std::string sent =
      record.number == 1
          ? fmt::format("{}. No {} was sent.", Describe(record), noun())
          : fmt::format("{}. {}; {} {} and the rest were not.",
                        Describe(record), UpTo(record.number - 1, "sent"),
                        noun(), record.number);
  const bool is_utf8_error = ReasonOf(record.status) == reason::kInvalidUtf8;
  const std::string_view what_to_do =
      !is_utf8_error ? "Shorten it"
      : is_lines_    ? "Convert the input (for example: iconv -f latin1 -t "
                       "utf-8), or send it as bytes (--data),"
                     : "Send the records as bytes (--data)";
  if (is_named_) return fmt::format("{} {} and {}", sent, what_to_do, kAgain);
  if (!is_lines_) return fmt::format("{} {}.", sent, what_to_do);
  return fmt::format("{} {} and go on with: tail -n +{}", sent, what_to_do,
                     record.number);
}

std::string Reporter::ReportFailed(const SendState& state,
                                   std::string_view server) const {
  const FailedRecord& record = *state.failed;
  if (!IsServerAway(record.status)) {
    std::string why = ExplainRefusal(record.status);
    if (record.number == 0) return why;
    return fmt::format("{} {}: {}. {}; the rest was not.", noun(),
                       record.number, why,
                       UpTo(state.last_acknowledged, "acknowledged"));
  }
  if (state.acknowledged == 0) {
    return fmt::format("{} No {} was acknowledged.",
                       Explain(record.status, server), noun());
  }
  std::string report = fmt::format(
      "lost {}. {}", WithServer(record.status, server), Acknowledged(state));
  if (is_named_) return fmt::format("{} To go on, {}", report, kAgain);
  if (!is_lines_) return report;
  report +=
      fmt::format(" Go on with: tail -n +{}", state.last_acknowledged + 1);
  if (state.last_submitted > state.last_acknowledged) {
    report += " (which may store some lines twice)";
  }
  return report;
}

std::string Reporter::Report(const SendState& state, int signal,
                             std::string_view server) const {
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
  return fmt::format("{} {} refused, {} sent", Count(state.skipped),
                     state.skipped == 1 ? "was" : "were", state.acknowledged);
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

  // Replaces the line by one that stays. `what` was sent: "12 lines".
  void Close(std::uint64_t sent, std::string_view what,
             std::string_view channel) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    line_.Leave(fmt::format("sent {} to {} in {:.2f} s, {:.0f}/s", what,
                            channel, seconds(), Rate(sent)));
  }

  bool watched() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return line_.watched();
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

// Null if the log does not remember.
Json SequenceOf(const Receipt& receipt) {
  const std::uint64_t sequence = receipt.position.sequence;
  return sequence == 0 ? Json() : Json(sequence);
}

void PrintSummary(const SendState& state, const std::string& channel,
                  double seconds, std::string* out) {
  Json epoch;
  Json first;
  Json last;
  if (state.acknowledged > 0) {
    epoch = EpochString(state.first_receipt->position.epoch);
    first = SequenceOf(*state.first_receipt);
    last = SequenceOf(*state.last_receipt);
  }
  AppendLine({{"channel", channel},
              {"sent", state.acknowledged},
              {"duplicates", state.duplicates},
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

int SendRecords(const SendCommand& command, Context& context) {
  const CommonOptions& common = context.common;
  // For the receipts that are still out when a signal comes.
  constexpr std::chrono::seconds kGrace(1);
  context.interrupt.Defer();
  const Reporter reporter(command);
  Progress progress;
  ClientOptions options = ConnectTo(common);
  options.retry = command.retry;
  options.on_notice = [&progress](std::string_view notice) {
    progress.PrintError(notice);
  };
  options.max_message_bytes = command.max_message_bytes;
  options.producer_name = command.producer_name;
  options.send_timeout = std::chrono::milliseconds(0);
  options.call_timeout = CallTimeout(command.retry);
  RecordSender sender(Client::Connect(std::move(options)), command,
                      [&](const FailedRecord& record) {
                        progress.PrintError(reporter.Describe(record));
                      });
  const bool finished = RunWatched(
      context.interrupt, [&sender] { sender.Run(); },
      [&] { progress.Show(sender.state().acknowledged); },
      [&sender] { sender.Stop(); }, kGrace);

  const SendState state = sender.state();
  const int signal = context.interrupt.signal();
  const int exit_code = ExitCodeOf(state, signal);
  progress.Close(state.acknowledged, reporter.Sent(state), command.channel);
  const std::string report = reporter.Report(state, signal, common.server);
  if (!report.empty()) {
    PrintFailure(state.failed ? state.failed->status : absl::OkStatus(), report,
                 ConnectTo(common));
  }
  if (state.duplicates > 0 && !common.json && !progress.watched()) {
    PrintError(fmt::format("sent {}", reporter.Sent(state)));
  }
  if (common.json) {
    PrintSummary(state, command.channel, progress.seconds(),
                 &context.output.buffer());
    context.done = reporter.Acknowledged(state);
  }
  if (!finished) {
    context.output.Flush();
    std::_Exit(exit_code);
  }
  return exit_code;
}

}  // namespace messenger::app
