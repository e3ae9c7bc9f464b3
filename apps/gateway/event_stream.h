// The body of GET /v1/channels/{channel}/stream: a subscription as events.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "apps/gateway/callers.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/http.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/waiters.h"
#include "messenger/client.h"

namespace messenger::app {

// It asks for a frame when the one before has been sent: a browser that takes
// nothing costs one frame, and holds back nobody.
class EventStream final : public BodyStream,
                          public Waiter,
                          public std::enable_shared_from_this<EventStream> {
 public:
  // Called once, on any thread: with the stream, as soon as the server has let
  // it in, or does not answer at once; or with why it does not let it in. A
  // browser comes back after a stream that ends, but not after such an answer.
  using Opened = absl::AnyInvocable<void(
      std::variant<std::shared_ptr<EventStream>, Problem>)>;

  static void Open(Gateway* gateway, std::shared_ptr<Caller> caller,
                   const std::string& channel, Start start, Opened opened);
  EventStream(Gateway* gateway, std::shared_ptr<Caller> caller,
              std::string channel, Start start, Opened opened);
  ~EventStream() override;

  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void Next(Piece done) override;
  void Cancel() override;
  void Drain() override;
  void OnServerAway(const std::string& reason) override;

 private:
  void AskForFrame();
  void OnFrame(const absl::StatusOr<ReadFrame>& frame);
  // Tells whoever has opened it, once.
  void TellOpened(std::optional<Problem> refusal = std::nullopt);
  // Whether there is nothing to say until the next frame; else what it is.
  bool WaitsForFrame() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Text TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The last words; null if there are none.
  Text End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Gateway* const gateway_;
  const std::shared_ptr<Waiters> waiters_;
  // For as long as it reads.
  const std::shared_ptr<Caller> caller_;
  const std::string channel_;
  const std::shared_ptr<const Subscription> subscription_;
  absl::Mutex mu_;
  Opened opened_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  // Waits for a piece, if there is one.
  Piece done_ ABSL_GUARDED_BY(mu_);
  // What was to be said while nobody waited for it.
  std::string text_ ABSL_GUARDED_BY(mu_);
  // The next frame has been asked for, as the first one is by Open. It may come
  // while nobody waits for it, since something else was said.
  bool asked_ ABSL_GUARDED_BY(mu_) = true;
};

}  // namespace messenger::app
