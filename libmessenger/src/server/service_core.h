// What all calls of one service share.
#pragma once

#include <atomic>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"
#include "messenger/server.h"
#include "server/fan_out.h"
#include "server/frames_in_flight.h"
#include "wire/send.h"

namespace messenger {

class SendStream;

// Lives from before the first call until after the last one's OnDone.
//
// Thread safety: all members may be called from any thread.
class ServiceCore {
 public:
  ServiceCore(std::shared_ptr<MessageLog> log, const ServiceOptions& options);
  ~ServiceCore();
  ServiceCore(const ServiceCore&) = delete;
  ServiceCore& operator=(const ServiceCore&) = delete;

  MessageLog& log() { return *log_; }
  const ServiceOptions& options() const { return options_; }
  wire::SendLimits send_limits() const {
    return {.max_request_bytes = options_.max_request_bytes,
            .max_message_bytes = options_.max_message_bytes};
  }
  FanOut& fan_out() { return fan_out_; }
  FramesInFlight& frames() { return frames_; }

  // Ends all streams, and refuses new calls.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // UNAVAILABLE while draining.
  absl::Status CheckServing() const;

  // The send streams there are, for Drain. Add returns false while draining.
  bool AddSendStream(const std::shared_ptr<SendStream>& stream)
      ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveSendStream(SendStream* stream) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const std::shared_ptr<MessageLog> log_;
  const ServiceOptions options_;
  FanOut fan_out_;
  FramesInFlight frames_;
  std::atomic<bool> draining_{false};

  absl::Mutex mu_;
  absl::flat_hash_map<SendStream*, std::shared_ptr<SendStream>> send_streams_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
