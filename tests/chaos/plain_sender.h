// Those who send each message once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "history.h"
#include "messenger/client.h"
#include "sender.h"
#include "support/seed.h"

namespace messenger::test::chaos {

// One who may also send conditional appends: they expect what it knows to be
// the last message, or will be when all that it has sent is there: never more
// than what there will be.
class PlainSender : public Sender {
 public:
  // The channels must live as long. `conditional`: some of it are conditional
  // appends, and some has a timeout.
  PlainSender(Client client, const std::vector<std::string>& channels,
              SenderOptions options, bool conditional);
  ~PlainSender() override;
  PlainSender(const PlainSender&) = delete;
  PlainSender& operator=(const PlainSender&) = delete;

  bool AwaitSent(std::chrono::milliseconds patience) override;
  bool AwaitResults(std::chrono::milliseconds patience) override;
  Producer Take() override;

 private:
  void Run();
  void SendOne(std::uint64_t number);
  std::size_t Pick(bool conditional);
  // How the next message is sent; where to is recorded.
  SendOptions Prepare(std::uint64_t number);
  void Note(std::uint64_t number, bool async,
            const absl::StatusOr<Receipt>& result);
  void NoteFailure(const absl::Status& status, Sent* sent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::vector<std::string>& channels_;
  const SenderOptions options_;
  const bool sends_conditional_;
  Random random_;
  absl::Mutex mu_;
  absl::CondVar changed_;  // sent_, results_
  Producer producer_ ABSL_GUARDED_BY(mu_);
  bool sent_ ABSL_GUARDED_BY(mu_) = false;
  bool taken_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t results_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint32_t order_ ABSL_GUARDED_BY(mu_) = 0;
  // Conditional appends that are under way.
  std::uint64_t conditional_ ABSL_GUARDED_BY(mu_) = 0;
  // The channel of one that was refused: the next one goes there, while what
  // was told is the last one.
  std::optional<std::size_t> refused_ ABSL_GUARDED_BY(mu_);
  // Of each channel: the least that will be the last message, when all that
  // was sent has been stored or refused.
  std::vector<Position> last_ ABSL_GUARDED_BY(mu_);
  std::optional<Client> client_;
  std::thread thread_;
};

}  // namespace messenger::test::chaos
