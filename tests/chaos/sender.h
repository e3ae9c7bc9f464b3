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
};

// Sends to channels at random, most of it with SendAsync, on a thread of its
// own.
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
  void Note(std::uint64_t number, bool async,
            const absl::StatusOr<Receipt>& result);

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
  std::optional<Client> client_;
  std::thread thread_;
};

}  // namespace messenger::test::chaos
