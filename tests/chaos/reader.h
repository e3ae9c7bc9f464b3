// Those who read, and record what they are given.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <thread>
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
  // The same for one that is pulled. False after the end.
  bool OnFrame(const absl::StatusOr<ReadFrame>& frame);

  // From the next message on, whoever brings one is held up for so long.
  void Stall(std::chrono::milliseconds time);
  void EndStall();
  // The read is ended, and begun anew: its end is not recorded.
  void ExpectEnd();

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
  void OnGap(const Gap& gap);
  void PlantFault() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::size_t channel_;
  const std::vector<std::string>& producers_;
  const Plant plant_;
  mutable absl::Mutex mu_;
  absl::CondVar changed_;  // last_, ended_, stalls_until_, taken_
  Reading reading_ ABSL_GUARDED_BY(mu_);
  bool taken_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool end_expected_ ABSL_GUARDED_BY(mu_) = false;
  Clock::time_point stalls_until_ ABSL_GUARDED_BY(mu_);
  std::uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t messages_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t joins_ ABSL_GUARDED_BY(mu_) = 0;
  // Until a message has come after that.
  std::optional<Clock::time_point> restart_ ABSL_GUARDED_BY(mu_);
  bool joined_since_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Clock::duration> resume_times_ ABSL_GUARDED_BY(mu_);
};

// Reads a channel, from the earliest message on, for a recorder.
//
// Thread safety: none.
class Reader {
 public:
  // How it is given the messages.
  enum class Way : std::uint8_t { kOneByOne, kTogether, kPulled };

  // The recorder must live as long.
  Reader(Client client, std::string channel, Way way, Recorder* recorder);
  ~Reader() { End(); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Ends the read, and goes on with another one where it was.
  void BeginAnew();
  void End();

 private:
  void Begin();

  Client client_;
  const std::string channel_;
  const Way way_;
  Recorder* const recorder_;
  Start start_ = Start::Earliest();
  Subscription subscription_;
  std::thread puller_;
};

}  // namespace messenger::test::chaos
