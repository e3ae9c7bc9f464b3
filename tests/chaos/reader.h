// Those who read, and record what they are given.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "history.h"
#include "messenger/client.h"

namespace messenger::test::chaos {

using Clock = std::chrono::steady_clock;

// A fault that a reader plants into what it records: as if the library had made
// it.
enum class Plant : std::uint8_t { kNothing, kLose, kRepeat, kReorder, kChange };

// A read of one channel. Must outlive its subscription.
//
// Thread safety: all members may be called from any thread.
class Recorder {
 public:
  // The names of those who send must live as long.
  Recorder(std::string reader, std::size_t channel,
           const std::vector<std::string>& producers,
           Plant plant = Plant::kNothing);

  std::size_t channel() const { return channel_; }
  ReadCallbacks Callbacks();

  // Waits until it has got the message with this sequence; false after
  // `patience`, or when the read has ended without.
  bool AwaitSequence(std::uint64_t sequence,
                     std::chrono::milliseconds patience);

  // What is recorded; nothing is after that.
  Reading Take();

  // The server listens again since this moment.
  void NoteRestart(Clock::time_point time);
  // How long it then took until a message came, each time that one did.
  std::vector<Clock::duration> resume_times() const;
  // How often it has joined.
  std::uint64_t joins() const;

 private:
  void OnMessage(const Message& message);
  void OnState(const SubscriptionState& state);
  void OnEnd(const absl::Status& status);
  void PlantFault() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::size_t channel_;
  const std::vector<std::string>& producers_;
  const Plant plant_;
  mutable absl::Mutex mu_;
  absl::CondVar changed_;  // last_, ended_
  Reading reading_ ABSL_GUARDED_BY(mu_);
  bool taken_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t messages_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t joins_ ABSL_GUARDED_BY(mu_) = 0;
  // Until a message has come after that.
  std::optional<Clock::time_point> restart_ ABSL_GUARDED_BY(mu_);
  bool joined_since_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Clock::duration> resume_times_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::test::chaos
