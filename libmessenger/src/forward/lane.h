// One channel that is forwarded.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "base/notice_pace.h"
#include "forward/plan.h"
#include "messenger/client.h"
#include "messenger/forwarder.h"
#include "messenger/message.h"

namespace messenger {

// Reads the channel of the source and sends it to the destination, in sessions.
// Each session finds out what the destination has, opens the producer, and goes
// on there, until something fails that may pass, or the source has begun
// another epoch: then comes the next one.
//
// Run is for one thread; the other members may be called from any thread.
class Lane {
 public:
  // Of the clients' options, those of the destination are completed for each
  // session. `options` must outlive it.
  Lane(Client source, Client destination, const ForwarderOptions& options,
       ForwardedChannel channel);

  // Blocks until Stop, the end, or what does not pass.
  absl::Status Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  ForwardProgress Progress() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Clock = std::chrono::steady_clock;

  // How a session ends.
  enum class End : std::uint8_t {
    kCaughtUp,  // and that was asked for
    kChanged,   // what it had found out holds no more
  };
  // A producer of the destination, and what it sends.
  struct Session {
    ForwardingPlan plan;
    std::optional<Client> sender;
    Subscription source;
    bool begun = false;  // something of the source was taken
  };

  // What the last one has left does not count any more.
  void BeginSession() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<End> RunSession() ABSL_LOCKS_EXCLUDED(mu_);
  // The epoch of the log that has the channel, whether it exists or not.
  absl::StatusOr<std::uint64_t> EpochOf(Client& client,
                                        const std::string& channel);
  // Whether the destination's log is another one than the session's, or has
  // lost something, so that this error says nothing of other forwarders.
  bool IsOfLostDestination(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // Begins to read at the position behind which the source goes on farthest.
  // The frame says where that is.
  absl::StatusOr<ReadFrame> OpenSource(Session* session);
  // False if another forwarder has got on meanwhile.
  absl::StatusOr<bool> OpenProducer(Session* session) ABSL_LOCKS_EXCLUDED(mu_);
  // Where it begins, before the first frame is taken.
  void SetPosition(const Session& session, const ReadFrame& first)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The first frame that says more than that the reader has joined.
  absl::StatusOr<ReadFrame> FirstFrame(const Subscription& source);
  // CANCELLED after Stop.
  absl::StatusOr<ReadFrame> Next(const Subscription& source)
      ABSL_LOCKS_EXCLUDED(mu_);

  // False if the plan holds no more.
  absl::StatusOr<bool> Take(const ReadFrame& frame, Session* session);
  absl::StatusOr<bool> TakeGap(const Gap& gap, Session* session);
  absl::Status Send(Session* session, const NewMessage& copy,
                    std::uint64_t number, const ForwardProgress& done)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Until all that was sent has its receipt.
  absl::Status AwaitReceipts() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Failure() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // DATA_LOSS if what was stored before cannot be there any more.
  absl::Status CheckStored(const Receipt& receipt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // A call of a client's that it does not make again by itself while the server
  // is away. Once more, until Wait says no.
  template <typename Call>
  auto Insist(Call call) -> decltype(call());
  void NoteProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // That it gets on again, if it was told that it does not.
  void TellIfBack() ABSL_LOCKS_EXCLUDED(mu_);

  // Whether to try again; waits first.
  bool Wait(const absl::Status& trouble) ABSL_LOCKS_EXCLUDED(mu_);

  Client source_;
  Client destination_;
  const ForwarderOptions& options_;
  const ForwardedChannel channel_;
  // Something was refused: what shares no request with others is known by its
  // refusal, and those before it are stored.
  bool one_by_one_ = false;
  std::uint64_t destination_epoch_ = 0;  // of the session

  // What the results of sends have to do with. They come on other threads, and
  // those of a session that has ended do not count.
  mutable absl::Mutex mu_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t session_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);      // of this session
  std::size_t messages_ ABSL_GUARDED_BY(mu_) = 0;  // without a receipt
  std::size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // Of the last copy that was stored in this session.
  Position last_stored_ ABSL_GUARDED_BY(mu_);
  ForwardProgress progress_ ABSL_GUARDED_BY(mu_);
  // Since there was progress.
  std::optional<Clock::time_point> trouble_since_ ABSL_GUARDED_BY(mu_);
  int tries_ ABSL_GUARDED_BY(mu_) = 0;
  NoticePace pace_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
