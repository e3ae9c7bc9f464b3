#include "apps/gateway/gateway.h"

#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "apps/common/status_text.h"
#include "apps/gateway/credential.h"

namespace messenger::app {
namespace {

// Threads for the calls that block, and how many of these may be under way.
constexpr int kBlockingThreads = 4;
constexpr int kMaxBlockingCalls = 64;
// They make the texts of events. One of them may wait, to read the postbox on.
constexpr std::size_t kCallbackThreads = 3;

// The window of the client has room for more than that, so that a request is
// refused as a whole, and before anything of it is sent.
constexpr std::size_t kMaxMessages = 32'768;

// Tokens that the server is asked about, or that wait for that. A healthy
// server answers some thousand of them a second.
constexpr std::size_t kMaxTokenChecks = 100;

// No token has this form: a server that takes it, takes anything.
constexpr const char* kNoToken = "-";

// How often it is seen to that tokens are forgotten.
constexpr std::chrono::seconds kSweepInterval{1};

ClientOptions OptionsOfClient(const GatewayOptions& options) {
  ClientOptions client = {.target = options.server,
                          .on_notice = options.on_notice,
                          .max_in_flight_messages = 2 * kMaxMessages,
                          .max_in_flight_bytes = 4 * kMaxBytesOnTheWay,
                          .when_full = WhenFull::kRefuse,
                          .max_message_bytes = options.max_message_bytes,
                          .send_timeout = options.timeout,
                          .call_timeout = options.timeout,
                          // Callers are told these errors.
                          .name_in_errors = "the server"};
  SetSecurity(options.security, &client);
  return client;
}

Response TooManyCalls() {
  return ToResponse(
      {.status = 503,
       .detail = "too many calls wait for the server; try again"});
}

}  // namespace

absl::Status CheckOptions(const GatewayOptions& options) {
  return Client::Connect(OptionsOfClient(options)).status();
}

Gateway::Gateway(GatewayOptions options, boost::asio::any_io_executor executor)
    : options_(std::move(options)),
      executor_(std::move(executor)),
      messages_(kMaxMessages),
      bytes_(kMaxBytesOnTheWay),
      blocking_(kBlockingThreads),
      cancelling_(1),
      postbox_(options_.postbox),
      callers_({.client = OptionsOfClient(options_),
                .callback_threads = kCallbackThreads,
                .max_tokens = options_.max_tokens}),
      reader_(&callers_.own()->client(), &postbox_, options_.on_notice,
              [this](const std::optional<std::string>& reason) {
                waiters_->SetServerAway(reason);
              }),
      checks_(
          {.ask = [this](const std::string& token) { return AskAbout(token); },
           .post =
               [this](absl::AnyInvocable<void()> task) {
                 boost::asio::post(blocking_, std::move(task));
               },
           .max_tokens = kMaxTokenChecks,
           .timeout = options_.timeout,
           .on_notice = options_.on_notice}),
      sweep_(executor_) {
  SweepCallers();
}

Gateway::~Gateway() {
  // Nobody can be answered any more: what has not begun does not begin.
  blocking_.stop();
  blocking_.join();
  cancelling_.join();
}

void Gateway::FindCaller(const Request& request, Found done) {
  auto found = CredentialOf(request);
  if (auto* problem = std::get_if<Problem>(&found)) {
    done(std::move(*problem));
    return;
  }
  const std::string& token = std::get<Credential>(found).token;
  if (token.empty()) {
    done(callers_.own());
    return;
  }
  if (auto caller = callers_.Find(token)) {
    done(std::move(caller));
    return;
  }
  CheckToken(token, [this, token, done = std::move(done)](
                        std::optional<Problem> problem) mutable {
    if (problem) {
      done(*std::move(problem));
    } else {
      done(AddCaller(token));
    }
  });
}

std::variant<std::shared_ptr<Caller>, Problem> Gateway::AddCaller(
    const std::string& token) {
  auto caller = callers_.Add(token);
  if (caller.ok()) return *std::move(caller);
  if (told_no_room_.IsDue()) options_.on_notice(MessageOf(caller.status()));
  if (absl::IsResourceExhausted(caller.status())) {
    return ProblemOf(caller.status());
  }
  // The names of the gateway's files are not for its callers.
  return Problem{.status = 503,
                 .detail =
                     "the gateway cannot connect to its server in "
                     "another name at present; try again"};
}

void Gateway::CheckToken(const std::string& token, Checked done) {
  if (const absl::Status& status = callers_.CheckPassingOn(); !status.ok()) {
    if (!told_no_tokens_.exchange(true)) {
      options_.on_notice(MessageOf(status));
    }
    done(Problem{.status = 502,
                 .detail = "the gateway passes no tokens on to its server "
                           "without encryption"});
    return;
  }
  checks_.Check(
      token, [done = std::move(done)](const absl::Status& status) mutable {
        done(status.ok() ? std::nullopt : std::optional(ProblemOf(status)));
      });
}

void Gateway::CheckTokensCount(Checked done) {
  CheckToken(kNoToken, [done = std::move(done)](
                           std::optional<Problem> problem) mutable {
    if (!problem) {
      done(Problem{.status = 409,
                   .detail = "this server knows no tokens: there is nobody to "
                             "sign in as"});
    } else if (problem->status == 401) {
      done(std::nullopt);
    } else {
      done(std::move(problem));
    }
  });
}

// That its owner may do nothing yet is no reason not to know who it is.
absl::Status Gateway::AskAbout(const std::string& token) {
  absl::Status status = own_client().PingAs(token).status();
  return absl::IsPermissionDenied(status) && ProblemOf(status).status == 403
             ? absl::OkStatus()
             : status;
}

// Their clients end on a thread that may block.
void Gateway::SweepCallers() {
  sweep_.expires_after(kSweepInterval);
  sweep_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    boost::asio::post(cancelling_, [this] {
      callers_.TakeIdle(Callers::Clock::now()).clear();
    });
    SweepCallers();
  });
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
