#include "apps/gateway/gateway.h"

#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "apps/gateway/problem.h"

namespace messenger::app {
namespace {

// Threads for the calls that block, and how many of these may be under way.
constexpr int kBlockingThreads = 4;
constexpr int kMaxBlockingCalls = 64;
// They make the texts of events. One of them may wait, to read the postbox on.
constexpr int kCallbackThreads = 3;

// The window of the client has room for more than that, so that a request is
// refused as a whole, and before anything of it is sent.
constexpr std::size_t kMaxMessages = 32'768;

ClientOptions OptionsOfClient(const GatewayOptions& options) {
  return {.target = options.server,
          .callback_threads = kCallbackThreads,
          .on_notice = options.on_notice,
          .max_in_flight_messages = 2 * kMaxMessages,
          .max_in_flight_bytes = 4 * kMaxBytesOnTheWay,
          .when_full = WhenFull::kRefuse,
          .max_message_bytes = options.max_message_bytes,
          .send_timeout = options.timeout,
          .call_timeout = options.timeout};
}

Response TooManyCalls() {
  return ToResponse(
      {.status = 503,
       .detail = "too many calls wait for the server; try again"});
}

}  // namespace

Gateway::Gateway(GatewayOptions options, boost::asio::any_io_executor executor)
    : options_(std::move(options)),
      executor_(std::move(executor)),
      messages_(kMaxMessages),
      bytes_(kMaxBytesOnTheWay),
      blocking_(kBlockingThreads),
      cancelling_(1),
      postbox_(options_.postbox),
      client_(Client::Connect(OptionsOfClient(options_))),
      reader_(&client_, &postbox_, options_.on_notice,
              [this](const std::optional<std::string>& reason) {
                waiters_->SetServerAway(reason);
              }) {}

Gateway::~Gateway() {
  // Nobody can be answered any more: what has not begun does not begin.
  blocking_.stop();
  blocking_.join();
  cancelling_.join();
}

void Gateway::RespondBlocking(Respond respond,
                              absl::AnyInvocable<Response()> call) {
  if (++blocking_calls_ > kMaxBlockingCalls) {
    --blocking_calls_;
    respond(TooManyCalls());
    return;
  }
  const auto latest = std::chrono::steady_clock::now() + timeout();
  boost::asio::post(blocking_, [this, latest, respond = std::move(respond),
                                call = std::move(call)]() mutable {
    const bool is_late = std::chrono::steady_clock::now() >= latest;
    Response response = is_late ? TooManyCalls() : call();
    // Before the caller can ask again.
    --blocking_calls_;
    respond(std::move(response));
  });
}

void Gateway::CancelSoon(std::shared_ptr<const Subscription> subscription) {
  boost::asio::post(cancelling_, [subscription = std::move(subscription)] {
    subscription->Cancel();
  });
}

}  // namespace messenger::app
