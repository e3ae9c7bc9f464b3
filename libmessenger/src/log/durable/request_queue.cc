#include "log/durable/request_queue.h"

#include <utility>

namespace messenger {
namespace {

// What a source may take of a round at its turn. Enough for what usually
// waits, so that sources are seldom cut short.
constexpr std::size_t kTurnSize = std::size_t{256} << 10;

// Of what is no append of a source, and takes turns with the sources.
constexpr std::uint64_t kOthers = 0;

constexpr std::size_t kMaxSpare = 64;

std::uint64_t SourceOf(const LogRequest& request) {
  const auto* const append = std::get_if<AppendRequest>(&request);
  return append == nullptr ? kOthers : append->batch.source;
}

// More than what is written for a named producer: there may be very many.
constexpr std::size_t kProducerSize = 1024;

std::size_t SizeOf(const LogRequest& request) {
  if (const auto* const append = std::get_if<AppendRequest>(&request)) {
    return append->size;
  }
  return std::holds_alternative<DeleteRequest>(request) ? 0 : kProducerSize;
}

AppendBatch Forget(AppendRequest* append) {
  append->cancelled = true;
  append->size = 0;
  return std::exchange(append->batch, {.source = append->batch.source});
}

}  // namespace

void RequestQueue::Push(LogRequest request) {
  const std::uint64_t source = SourceOf(request);
  if (auto* const append = std::get_if<AppendRequest>(&request)) {
    append->appender->source = source;
    if (append->appender->cancelled) Forget(append);
  }
  Lane*& lane = lanes_[source];
  if (lane == nullptr) {
    turns_.push_back(NewLane(source));
    lane = turns_.back().get();
  }
  lane->requests.push_back(std::move(request));
}

std::vector<LogRequest> RequestQueue::Take(std::size_t max_size) {
  std::vector<LogRequest> taken;
  std::size_t size = 0;
  while (!turns_.empty() && (taken.empty() || size < max_size)) {
    std::unique_ptr<Lane> lane = std::move(turns_.front());
    turns_.pop_front();
    std::size_t turn = 0;
    while (!lane->requests.empty() && turn < kTurnSize &&
           (taken.empty() || size + turn < max_size)) {
      turn += SizeOf(lane->requests.front());
      taken.push_back(std::move(lane->requests.front()));
      lane->requests.pop_front();
    }
    size += turn;
    if (lane->requests.empty()) {
      Drop(std::move(lane));
    } else {
      turns_.push_back(std::move(lane));
    }
  }
  return taken;
}

std::vector<AppendBatch> RequestQueue::Cancel(AppenderState* appender) {
  appender->cancelled = true;
  std::vector<AppendBatch> freed;
  const auto lane = lanes_.find(appender->source);
  if (lane == lanes_.end()) return freed;
  for (LogRequest& request : lane->second->requests) {
    auto* const append = std::get_if<AppendRequest>(&request);
    if (append != nullptr && append->appender.get() == appender) {
      freed.push_back(Forget(append));
    }
  }
  return freed;
}

std::unique_ptr<RequestQueue::Lane> RequestQueue::NewLane(
    std::uint64_t source) {
  std::unique_ptr<Lane> lane;
  if (spare_.empty()) {
    lane = std::make_unique<Lane>();
  } else {
    lane = std::move(spare_.back());
    spare_.pop_back();
  }
  lane->source = source;
  return lane;
}

void RequestQueue::Drop(std::unique_ptr<Lane> lane) {
  lanes_.erase(lane->source);
  if (spare_.size() < kMaxSpare) spare_.push_back(std::move(lane));
}

}  // namespace messenger
