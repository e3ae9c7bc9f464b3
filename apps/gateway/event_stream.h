// The body of GET /v1/channels/{channel}/stream: a subscription as events.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/http.h"
#include "apps/gateway/waiters.h"
#include "messenger/client.h"

namespace messenger::app {

// It asks for a frame when the one before has been sent: a browser that takes
// nothing costs one frame, and holds back nobody.
class EventStream final : public BodyStream,
                          public Waiter,
                          public std::enable_shared_from_this<EventStream> {
 public:
  static std::shared_ptr<EventStream> Make(Gateway* gateway,
                                           const std::string& channel,
                                           Start start);
  EventStream(Gateway* gateway, std::string channel, Start start);
  ~EventStream() override;

  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void Next(Piece done) override;
  void Cancel() override;
  void Drain() override;
  void OnServerAway(const std::string& reason) override;

 private:
  void OnFrame(const absl::StatusOr<ReadFrame>& frame);
  // Whether there is nothing to say until the next frame; else what it is.
  bool WaitsForFrame() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Text TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The last words; null if there are none.
  Text End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Gateway* const gateway_;
  const std::shared_ptr<Waiters> waiters_;
  const std::string channel_;
  const std::shared_ptr<const Subscription> subscription_;
  absl::Mutex mu_;
  bool begun_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  // Waits for a piece, if there is one.
  Piece done_ ABSL_GUARDED_BY(mu_);
  // What was to be said while nobody waited for it.
  std::string text_ ABSL_GUARDED_BY(mu_);
  // The next frame has been asked for. It may come while nobody waits for it,
  // since something else was said.
  bool asked_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace messenger::app
