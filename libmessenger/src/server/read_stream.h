// ReadMessages: one reader.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"
#include "rpc/pace.h"
#include "rpc/self_owned.h"
#include "server/call.h"
#include "server/fan_out.h"
#include "server/frames_in_flight.h"
#include "wire/read.h"

namespace messenger {

// A cursor in the log and at most one frame on its way, which is as large as
// the reader takes quickly. Whoever has the turn
// (see FanOut) reads the log and then passes the turn on: to the write that it
// starts, to the log's completion if it has to wait, to the parking list when
// it has caught up, or to nobody with the call's one Finish.
class ReadStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                         public FanOut::Reader,
                         public FramesInFlight::Frame,
                         public LiveCall,
                         public rpc::SelfOwned<ReadStream> {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(
      const Call& call, grpc::CallbackServerContext* context,
      const grpc::ByteBuffer& request);

  ReadStream(const Call& call, grpc::CallbackServerContext* context,
             const wire::ReadRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void OnWake() override { Run(); }
  TimePoint OnTimer(TimePoint now) override;
  bool MustNotPark() const override;

  void Reconsider() override;
  void ReconsiderAtOnce() override;

  std::shared_ptr<FramesInFlight::Frame> Share() override { return self(); }
  void GiveWay() override { CutOff(counters().crowded_out); }

 private:
  // Reads and sends until the turn is passed on.
  void Run();
  // Sends what was read; false if there was nothing to send: the turn is kept.
  bool Consume(absl::StatusOr<ReadResult> result);
  void Send(ReadResult result);
  // Without its messages, which are to follow: this is how a reader learns that
  // it has joined, or that it has to be patient.
  void SendAhead(ReadResult result);
  void SendFrame(const ReadResult& result);
  // What the first frame says besides.
  void Introduce(wire::FrameHeader* header);
  // There is nothing to come after what was read.
  bool Over() const {
    return remaining_ == 0 || next_sequence_ > last_sequence_;
  }
  // Finishes, if the stream must not go on; false if it may.
  bool EndIfOver();
  void SendHeartbeat();
  // Cancels the call, without the turn: the client has to resume. Counts that.
  void CutOff(std::uint64_t& counter) ABSL_LOCKS_EXCLUDED(context_mu_);
  // Puts the frame, with so many messages and their bytes, where its write
  // finds it, and watches that it goes on.
  void PrepareFrame(grpc::ByteBuffer* frame, std::uint64_t messages,
                    std::size_t bytes);
  ReadStats& counters() const { return call_.core().counters().reads; }

  const Call call_;
  const std::string channel_;
  const std::chrono::nanoseconds heartbeat_interval_;  // 0: none
  const bool until_caught_up_;
  const std::unique_ptr<LogReader> log_reader_;

  std::atomic<bool> cancelled_{false};
  std::atomic<bool> refused_{false};  // it was admitted, and is not any more

  // With the turn.
  bool joined_ = false;
  std::uint64_t remaining_;  // messages until the limit
  std::uint64_t last_sequence_ =
      UINT64_MAX;  // messages after it are not wanted
  std::uint64_t next_sequence_ = 0;
  std::uint64_t head_ = 0;       // as last sent
  grpc::ByteBuffer frame_;       // on its way
  std::size_t frame_bytes_ = 0;  // of messages in it
  // To be sent after it, if it has gone ahead.
  std::unique_ptr<ReadResult> held_;
  rpc::Pace pace_;

  // For OnTimer, which runs without the turn.
  std::atomic<TimePoint> last_frame_{TimePoint()};
  std::atomic<bool> writing_{false};
  std::atomic<bool> stall_timer_set_{false};
  absl::Mutex context_mu_;
  // Null after OnDone.
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(context_mu_);
};

}  // namespace messenger
