// What waits for the commit thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "log/message_log.h"

namespace messenger {

// Of one LogAppender.
struct AppenderState {
  bool failed = false;  // commit thread only
  // With the queue.
  std::uint64_t source = 0;
  bool cancelled = false;
};

struct AppendRequest {
  std::shared_ptr<AppenderState> appender;
  AppendBatch batch;
  AppendDone done;
  std::size_t size = 0;    // StoredSize
  bool cancelled = false;  // its batch is gone
};

struct DeleteRequest {
  std::string channel;
  absl::AnyInvocable<void(absl::Status)> done;
};

struct OpenProducerRequest {
  ProducerKey producer;
  std::string owner;
  ProducerDone done;
};

struct DeleteProducerRequest {
  ProducerKey producer;
  absl::AnyInvocable<void(absl::Status)> done;
};

using LogRequest = std::variant<AppendRequest, DeleteRequest,
                                OpenProducerRequest, DeleteProducerRequest>;

// The requests of one source keep their order. Sources take turns, so that one
// that has much to store does not keep the others waiting.
//
// Thread safety: none.
class RequestQueue {
 public:
  // What is no append is of a source of its own.
  void Push(LogRequest request);

  bool empty() const { return turns_.empty(); }

  // Takes requests until they have `max_size` bytes or none is left; at least
  // one.
  std::vector<LogRequest> Take(std::size_t max_size);

  // As LogAppender::Cancel. Returns what is to be freed, best without a lock.
  // The requests stay in the queue, so that their `done`s come in order.
  std::vector<AppendBatch> Cancel(AppenderState* appender);

 private:
  struct Lane {
    std::uint64_t source = 0;
    std::deque<LogRequest> requests;
  };
  std::unique_ptr<Lane> NewLane(std::uint64_t source);
  void Drop(std::unique_ptr<Lane> lane);

  // In the order of their turns; none is empty. By source as well.
  std::deque<std::unique_ptr<Lane>> turns_;
  absl::flat_hash_map<std::uint64_t, Lane*> lanes_;
  std::vector<std::unique_ptr<Lane>> spare_;  // empty ones, to be used again
};

}  // namespace messenger
