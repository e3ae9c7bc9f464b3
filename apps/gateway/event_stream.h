// The body of GET /v1/channels/{channel}/stream: a subscription as events.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gateway/drain_list.h"
#include "gateway/gateway.h"
#include "gateway/http.h"
#include "messenger/client.h"

namespace messenger::app {

// It asks for a frame when the one before has been sent: a browser that takes
// nothing costs one frame, and holds back nobody.
class EventStream final : public BodyStream,
                          public Drainable,
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

 private:
  void OnFrame(absl::StatusOr<ReadFrame> frame);

  Gateway* const gateway_;
  const std::shared_ptr<DrainList> drain_list_;
  const std::string channel_;
  const std::shared_ptr<const Subscription> subscription_;
  absl::Mutex mu_;
  bool begun_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  Piece done_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
