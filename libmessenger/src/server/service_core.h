// What all calls of one service share.
#pragma once

#include <grpcpp/support/status.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"
#include "messenger/server.h"
#include "messenger/stats.h"
#include "security/access.h"
#include "server/append_gate.h"
#include "server/fan_out.h"
#include "server/frames_in_flight.h"
#include "server/serving_state.h"
#include "wire/send.h"

namespace messenger {

// A call that goes on for as long as it is admitted.
//
// Thread safety: both from any thread.
class LiveCall {
 public:
  virtual ~LiveCall() = default;
  LiveCall(const LiveCall&) = delete;
  LiveCall& operator=(const LiveCall&) = delete;

  // Finds out whether it is admitted still, and ends if not, when it can say
  // why.
  virtual void Reconsider() = 0;
  // The same, at once and without a word.
  virtual void ReconsiderAtOnce() = 0;

 protected:
  LiveCall() = default;
};

// INVALID_ARGUMENT names an option that is out of bounds.
absl::Status CheckBounds(const ServiceOptions& options);

// Lives from before the first call until after the last one's OnDone.
//
// Thread safety: all members may be called from any thread.
class ServiceCore {
 public:
  ServiceCore(std::shared_ptr<MessageLog> log, const ServiceOptions& options,
              std::unique_ptr<Access> access);
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
  Access& access() { return *access_; }

  // Ends all streams, and refuses new calls.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Where calls count: see base/counters.h.
  ServiceStats& counters() { return counters_; }
  ServiceStats Stats() ABSL_LOCKS_EXCLUDED(mu_);

  bool draining() const { return draining_; }

  // Counts an error that a call ends with, and tells the operator if it is his
  // concern; without a caller it is not.
  void NoteRefusal(const absl::Status& status, const Caller* caller);

  // How a call ends: every error that a client is told goes through here, by
  // Call::Tell. Where the log lies is the operator's business, whom the log has
  // told.
  grpc::Status Tell(const absl::Status& status) const;

  // The calls that are to reconsider: for Drain, and when the rules change. One
  // that is added finds out by itself what is so already.
  void Add(const std::shared_ptr<LiveCall>& call) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(LiveCall* call) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  std::vector<std::shared_ptr<LiveCall>> LiveCalls() ABSL_LOCKS_EXCLUDED(mu_);

  alignas(ABSL_CACHELINE_SIZE) ServiceStats counters_;
  const std::shared_ptr<MessageLog> log_;
  const ServiceOptions options_;
  FanOut fan_out_;
  const std::shared_ptr<AppendGate> append_gate_;
  FramesInFlight frames_;
  ServingState serving_;
  std::atomic<bool> draining_{false};
  const std::unique_ptr<Access> access_;

  absl::Mutex mu_;
  absl::flat_hash_map<LiveCall*, std::shared_ptr<LiveCall>> live_calls_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
