#include "apps/cli/line_sender.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

namespace messenger::app {

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

}  // namespace messenger::app
