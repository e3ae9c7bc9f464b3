// Sends lines, many at a time, and knows what became of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "apps/cli/line_reader.h"
#include "apps/cli/send_options.h"
#include "apps/common/event.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {

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

}  // namespace messenger::app
