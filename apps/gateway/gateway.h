// What the answers to all requests share: in whose name they ask the server,
// the postbox, and the threads for calls that block.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "apps/common/client_security.h"
#include "apps/gateway/budget.h"
#include "apps/gateway/callers.h"
#include "apps/gateway/http.h"
#include "apps/gateway/postbox.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/seldom.h"
#include "apps/gateway/token_checks.h"
#include "apps/gateway/waiters.h"
#include "messenger/client.h"

namespace messenger::app {

// Of all messages on their way to the server, as the bodies of their requests
// count them. So no body may be larger.
inline constexpr std::size_t kMaxBytesOnTheWay = std::size_t{16} << 20;

struct GatewayOptions {
  std::string server = "localhost:51075";
  // Towards the server. Its identity is for callers that bring no token.
  ClientSecurity security = {};
  // Most tokens of callers that are in use at the same time.
  std::size_t max_tokens = 1000;
  // How long a request waits for the server before it is 503.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  // Most bytes of a message, encoded: what the server takes.
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  PostboxLimits postbox = {};
  // Told what an operator should know; called from any thread.
  std::function<void(std::string_view)> on_notice = nullptr;
};

// What is wrong with the options, as far as that can be told without the
// server.
absl::Status CheckOptions(const GatewayOptions& options);

// Thread safety: all members may be called from any thread. What runs on
// `executor` must have ended before it is destroyed.
class Gateway {
 public:
  Gateway(GatewayOptions options, boost::asio::any_io_executor executor);
  ~Gateway();

  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Called once, on any thread and perhaps at once.
  using Found =
      absl::AnyInvocable<void(std::variant<std::shared_ptr<Caller>, Problem>)>;
  using Checked = absl::AnyInvocable<void(std::optional<Problem>)>;

  // In whose name the request is made; or why there is nobody. The server is
  // asked about a token that is not known yet.
  void FindCaller(const Request& request, Found done);

  // What is wrong with a token: the server is asked in any case.
  void CheckToken(const std::string& token, Checked done);

  // Whether the server knows tokens at all: one that knows none takes any text
  // for one. Nothing if it does; the problem says that it does not, or why it
  // cannot be asked.
  void CheckTokensCount(Checked done);

  // The server has refused this caller's token.
  void Forget(const Caller& caller) { callers_.Forget(caller); }

  // The gateway itself.
  Client& own_client() { return callers_.own()->client(); }

  Postbox& postbox() { return postbox_; }
  const PostboxReader& postbox_reader() const { return reader_; }
  const std::shared_ptr<Waiters>& waiters() { return waiters_; }
  std::chrono::milliseconds timeout() const { return options_.timeout; }
  std::size_t max_message_bytes() const { return options_.max_message_bytes; }
  const boost::asio::any_io_executor& executor() const { return executor_; }
  // For messages on their way to the server, and their bytes.
  Budget& messages() { return messages_; }
  Budget& bytes() { return bytes_; }

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
  absl::Status AskAbout(const std::string& token);
  std::variant<std::shared_ptr<Caller>, Problem> AddCaller(
      const std::string& token);
  void SweepCallers();

  const GatewayOptions options_;
  const boost::asio::any_io_executor executor_;
  const std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
  Budget messages_;
  Budget bytes_;
  std::atomic<int> blocking_calls_ = 0;
  // That no token can be passed on, which is told when one comes.
  std::atomic<bool> told_no_tokens_ = false;
  Seldom told_no_room_;
  // The last callbacks of the clients may still post to them.
  boost::asio::thread_pool blocking_;
  boost::asio::thread_pool cancelling_;
  Postbox postbox_;
  Callers callers_;
  PostboxReader reader_;
  TokenChecks checks_;
  boost::asio::steady_timer sweep_;
};

}  // namespace messenger::app
