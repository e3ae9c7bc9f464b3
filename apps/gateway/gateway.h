// What the answers to all requests share: the client, the postbox, and the
// threads for calls that block.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "apps/gateway/budget.h"
#include "apps/gateway/frame_texts.h"
#include "apps/gateway/http.h"
#include "apps/gateway/postbox.h"
#include "apps/gateway/waiters.h"
#include "messenger/client.h"

namespace messenger::app {

// Of all messages on their way to the server, as the bodies of their requests
// count them. So no body may be larger.
inline constexpr std::size_t kMaxBytesOnTheWay = std::size_t{16} << 20;

struct GatewayOptions {
  std::string server = "localhost:51075";
  // How long a request waits for the server before it is 503.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  // Most bytes of a message, encoded: what the server takes.
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  PostboxLimits postbox = {};
  // Told what an operator should know; called from any thread.
  std::function<void(std::string_view)> on_notice = nullptr;
};

// Thread safety: all members may be called from any thread. What runs on
// `executor` must have ended before it is destroyed.
class Gateway {
 public:
  Gateway(GatewayOptions options, boost::asio::any_io_executor executor);
  ~Gateway();

  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  Client& client() { return client_; }
  Postbox& postbox() { return postbox_; }
  const PostboxReader& postbox_reader() const { return reader_; }
  const std::shared_ptr<Waiters>& waiters() { return waiters_; }
  std::chrono::milliseconds timeout() const { return options_.timeout; }
  std::size_t max_message_bytes() const { return options_.max_message_bytes; }
  const boost::asio::any_io_executor& executor() const { return executor_; }
  // For messages on their way to the server, and their bytes.
  Budget& messages() { return messages_; }
  Budget& bytes() { return bytes_; }
  FrameTexts& frame_texts() { return frame_texts_; }

  // Answers with what `call` returns, which may block: on a thread for such
  // calls. If too many wait for one, or this one has for `timeout`, the answer
  // is that.
  void RespondBlocking(Respond respond, absl::AnyInvocable<Response()> call);

  // Cancels a subscription soon. (Cancel waits for callbacks.) Both are kept
  // until then.
  void CancelSoon(std::shared_ptr<const Subscription> subscription);

  // Ends what waits for messages.
  void Drain() { waiters_->Drain(); }

 private:
  const GatewayOptions options_;
  const boost::asio::any_io_executor executor_;
  const std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
  Budget messages_;
  Budget bytes_;
  FrameTexts frame_texts_;
  std::atomic<int> blocking_calls_ = 0;
  // The last callbacks of the client may still post to them.
  boost::asio::thread_pool blocking_;
  boost::asio::thread_pool cancelling_;
  Postbox postbox_;
  Client client_;
  PostboxReader reader_;
};

}  // namespace messenger::app
