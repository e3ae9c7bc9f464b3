// What all calls of one service share.
#pragma once

#include <grpcpp/support/status.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"
#include "messenger/server.h"
#include "messenger/stats.h"
#include "server/append_gate.h"
#include "server/fan_out.h"
#include "server/frames_in_flight.h"
#include "server/serving_state.h"
#include "wire/send.h"

namespace messenger {

class SendStream;

// INVALID_ARGUMENT names an option that is out of bounds.
absl::Status CheckBounds(const ServiceOptions& options);

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
  // Outlives the service for as long as the log has appends under way.
  const std::shared_ptr<AppendGate>& append_gate() { return append_gate_; }
  FramesInFlight& frames() { return frames_; }
  ServingState& serving() { return serving_; }

  // Ends all streams, and refuses new calls.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Where calls count: see base/counters.h.
  ServiceStats& counters() { return counters_; }
  ServiceStats Stats() ABSL_LOCKS_EXCLUDED(mu_);

  bool draining() const { return draining_; }

  // How a call ends: every error that a client is told goes through here, by
  // Call::Tell. Where the log lies is the operator's business, whom the log has
  // told.
  grpc::Status Tell(const absl::Status& status) const;

  // The send streams there are, for Drain. One that is added finds out by
  // itself that the service drains already.
  void AddSendStream(const std::shared_ptr<SendStream>& stream)
      ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveSendStream(SendStream* stream) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const std::shared_ptr<MessageLog> log_;
  const ServiceOptions options_;
  FanOut fan_out_;
  const std::shared_ptr<AppendGate> append_gate_;
  FramesInFlight frames_;
  ServingState serving_;
  std::atomic<bool> draining_{false};
  alignas(ABSL_CACHELINE_SIZE) ServiceStats counters_;

  absl::Mutex mu_;
  absl::flat_hash_map<SendStream*, std::shared_ptr<SendStream>> send_streams_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
