// Those who send, and record what came of it.
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
#include "support/seed.h"

namespace messenger::test::chaos {

struct SenderOptions {
  std::string name;
  std::uint64_t messages = 0;
  double rate = 0;  // messages a second; 0: as fast as it can
  std::uint64_t seed = 0;
  // Some of it are conditional appends, and some has a timeout.
  bool conditional = false;
};

// Sends to channels at random, most of it with SendAsync, on a thread of its
// own. The last of several channels is left to conditional appends, mostly, so
// that the conditions of more of them hold. Conditional appends expect what it
// knows to be the last message, or will be when all that it has sent is there:
// never more than what there will be.
//
// Thread safety: none, but for what it does itself.
class Sender {
 public:
  // The channels must live as long.
  Sender(Client client, const std::vector<std::string>& channels,
         SenderOptions options);
  // Fails what is not acknowledged.
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Waits until all is sent, though not acknowledged; false after `patience`.
  bool AwaitSent(std::chrono::milliseconds patience);
  // Waits until all results have come; false after `patience`.
  bool AwaitResults(std::chrono::milliseconds patience);

  // Once AwaitSent was true: no result is recorded any more.
  Producer Take();

 private:
  void Run();
  void SendOne(std::uint64_t number);
  std::size_t PickChannel(bool conditional);
  // How the next message is sent; where to is recorded.
  SendOptions Prepare(std::uint64_t number);
  void Note(std::uint64_t number, bool async,
            const absl::StatusOr<Receipt>& result);
  void NoteFailure(const absl::Status& status, Sent* sent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::vector<std::string>& channels_;
  const SenderOptions options_;
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
