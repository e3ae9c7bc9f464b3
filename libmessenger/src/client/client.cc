#include "messenger/client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/bounds.h"
#include "base/counters.h"
#include "base/forked.h"
#include "base/status.h"
#include "base/target.h"
#include "client/channel_list.h"
#include "client/connection.h"
#include "client/credentials.h"
#include "client/producer_list.h"
#include "client/send_pipeline.h"
#include "client/send_window.h"
#include "client/subscription.h"
#include "client/thread_pool.h"
#include "client/timers.h"
#include "messenger/address.h"
#include "messenger/grpc.h"
#include "messenger/v1/messenger.pb.h"
#include "wire/channel_name.h"
#include "wire/producers.h"

namespace messenger {
namespace {

absl::Status Check(const ClientOptions& options) {
  using Options = ClientOptions;
  const RetryOptions& retry = options.retry;
  return FirstError(
      {CheckBounds("retry.initial_backoff", retry.initial_backoff,
                   RetryOptions::kBackoff),
       CheckBounds("retry.max_backoff", retry.max_backoff,
                   Bounds<std::chrono::milliseconds>{
                       retry.initial_backoff, RetryOptions::kBackoff.most}),
       CheckBounds(
           "retry.give_up_after",
           retry.give_up_after.value_or(RetryOptions::kGiveUpAfter.least),
           RetryOptions::kGiveUpAfter),
       CheckBounds("callback_threads", options.callback_threads,
                   Options::kCallbackThreads),
       CheckBounds("max_in_flight_messages", options.max_in_flight_messages,
                   Options::kMaxInFlightMessages),
       CheckBounds("max_in_flight_bytes", options.max_in_flight_bytes,
                   Options::kMaxInFlightBytes),
       CheckBounds("max_message_bytes", options.max_message_bytes,
                   Options::kMaxMessageBytes),
       options.producer_name.empty()
           ? absl::OkStatus()
           : wire::CheckProducerName("producer_name", options.producer_name),
       CheckBounds("send_timeout", options.send_timeout, Options::kSendTimeout),
       CheckBounds("call_timeout", options.call_timeout, Options::kCallTimeout),
       CheckBounds("keepalive_time", options.keepalive_time,
                   Options::kKeepalive),
       CheckBounds("keepalive_timeout", options.keepalive_timeout,
                   Options::kKeepalive)});
}

// Completes the addresses.
absl::Status CheckAddresses(ClientOptions* options) {
  absl::StatusOr<std::string> target = ParseTarget(options->target);
  if (!target.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("target: {}", MessageOf(target.status())));
  }
  options->target = *std::move(target);
  if (options->http_proxy.empty()) return absl::OkStatus();
  const absl::StatusOr<Address> proxy = ParseAddress(options->http_proxy);
  if (!proxy.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("http_proxy: {}", MessageOf(proxy.status())));
  }
  if (proxy->port == 0) {
    return absl::InvalidArgumentError(
        fmt::format("http_proxy: {:?}: the port is 0; must be 1 to 65535",
                    options->http_proxy));
  }
  if (!IsHostAndPort(options->target)) {
    return absl::InvalidArgumentError(fmt::format(
        "http_proxy: a proxy leads to HOST:PORT alone; the target is {:?}",
        options->target));
  }
  return absl::OkStatus();
}

// Those of the program's own encrypt, or not, as it pleases.
absl::Status CheckOwnCredentials(ClientOptions* options) {
  if (options->tls) {
    return absl::InvalidArgumentError(
        "tls: together with credentials; a client has one of them");
  }
  options->insecure_token = true;
  return CheckCredentials(*options);
}

}  // namespace

class Client::Impl {
 public:
  // With `connector`'s, if `status` is OK; otherwise that is what calls return.
  static std::shared_ptr<Impl> Make(
      const absl::Status& status, ClientOptions options,
      absl::FunctionRef<std::shared_ptr<Connector>()> connector);

  // `status` is an error if the client cannot be used.
  Impl(absl::Status status, const ClientOptions& options,
       std::shared_ptr<Connector> connector)
      : status_(std::move(status)),
        options_(options),
        connector_(std::move(connector)),
        pool_(options.executor
                  ? nullptr
                  : std::make_shared<ThreadPool>(options.callback_threads)),
        queue_(std::make_shared<RunQueue>(options.executor ? options.executor
                                                           : pool_)),
        feeds_(std::make_shared<Feeds>(
            ReadContext{.connector = connector_,
                        .timers = timers_,
                        .queue = queue_,
                        .retry = options.retry,
                        .join_timeout = options.call_timeout,
                        .share_tails = options.share_tails})),
        sends_(std::make_shared<SendPipeline>(connector_, timers_, queue_,
                                              options)) {}

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  ~Impl() {
    std::vector<std::shared_ptr<Subscription::Impl>> live;
    {
      absl::MutexLock lock(&mu_);
      for (const auto& weak : subscriptions_) {
        if (auto subscription = weak.lock()) {
          live.push_back(std::move(subscription));
        }
      }
    }
    for (const auto& subscription : live) subscription->StartCancel();
    sends_->Close();
    for (const auto& subscription : live) subscription->AwaitEnd();
    live.clear();
    // Inside a callback, what is left is kept alive by the tasks that need it.
    if (queue_->RunningInside()) return;
    feeds_->AwaitEnd();
    timers_->Stop();
    if (pool_) pool_->Stop();
  }

  const absl::Status& status() const { return status_; }
  const ClientOptions& options() const { return options_; }
  SendPipeline& sends() { return *sends_; }

  // With the callbacks, if there are any.
  template <typename... Callbacks>
  std::shared_ptr<Subscription::Impl> Read(ReadOptions options,
                                           Callbacks... callbacks) {
    std::shared_ptr<Subscription::Impl> subscription(
        new Subscription::Impl(feeds_, std::move(options),
                               std::move(callbacks)...),
        DeleteUnlessForked());
    {
      absl::MutexLock lock(&mu_);
      if (subscriptions_.size() >= purge_at_) {
        std::erase_if(subscriptions_, [](const auto& weak) {
          const auto strong = weak.lock();
          return !strong || strong->ended();
        });
        purge_at_ = 2 * subscriptions_.size() + 16;
      }
      subscriptions_.push_back(subscription);
    }
    subscription->Start(status_);
    return subscription;
  }

  // `check` says what is wrong with the response.
  template <typename Request, typename Response, typename Check>
  absl::Status Call(const char* method, const Request& request,
                    Response* response, Check check) {
    return Call(method, request, response, check, options_.call_timeout);
  }
  template <typename Request, typename Response, typename Check>
  absl::Status Call(const char* method, const Request& request,
                    Response* response, Check check,
                    std::chrono::milliseconds timeout) {
    return WithConnection([&](Connection& connection) {
      absl::Status status = connection.Call(method, request, response, timeout);
      return status.ok() ? check() : status;
    });
  }

  // One page after the other, all within the time of a call.
  template <typename Request, typename Response, typename List>
  absl::Status ListPages(const char* method, std::string_view what,
                         Request request, List* list);

  ClientStats Stats() {
    return {.sends = sends_->Stats(),
            .reads = Snapshot(feeds_->counters()),
            .connections = connector_ ? connector_->connections() : 0};
  }

  // With the client's own token, or this one.
  absl::StatusOr<std::chrono::nanoseconds> Ping(
      const std::optional<std::string>& token = std::nullopt) {
    // The smallest question that only this service answers.
    v1::ListChannelsRequest request;
    request.set_page_size(1);
    v1::ListChannelsResponse response;
    const auto start = std::chrono::steady_clock::now();
    absl::Status status = WithConnection([&](Connection& connection) {
      absl::Status s = connection.Call("ListChannels", request, &response,
                                       options_.call_timeout, token);
      return s.ok() ? ChannelList().Add(response) : s;
    });
    if (!status.ok()) return status;
    return std::chrono::steady_clock::now() - start;
  }

  absl::Status CheckHealth() {
    return WithConnection([&](Connection& connection) {
      return connection.CheckHealth(options_.call_timeout);
    });
  }

 private:
  // Makes a call, whose failure makes room for another connection.
  template <typename MakeCall>
  absl::Status WithConnection(MakeCall call) {
    if (!status_.ok()) return status_;
    const std::shared_ptr<Connection> connection = connector_->Get();
    absl::Status status = call(*connection);
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
      connector_->Discard(connection);
    }
    return connector_->WithAddress(status);
  }

  const absl::Status status_;
  const ClientOptions options_;
  const std::shared_ptr<Connector> connector_;
  const std::shared_ptr<Timers> timers_ = std::make_shared<Timers>();
  const std::shared_ptr<ThreadPool> pool_;  // null if the program has its own
  const std::shared_ptr<RunQueue> queue_;
  const std::shared_ptr<Feeds> feeds_;
  const std::shared_ptr<SendPipeline> sends_;

  absl::Mutex mu_;
  // To be ended with the client; those that have ended are purged now and then.
  std::vector<std::weak_ptr<Subscription::Impl>> subscriptions_
      ABSL_GUARDED_BY(mu_);
  std::size_t purge_at_ ABSL_GUARDED_BY(mu_) = 16;
};

// In a forked child there are none, nor are they needed: see CheckNotForked.
std::shared_ptr<Client::Impl> Client::Impl::Make(
    const absl::Status& status, ClientOptions options,
    absl::FunctionRef<std::shared_ptr<Connector>()> connector) {
  WatchForks();
  if (InForkedChild()) return nullptr;
  if (!status.ok()) options = ClientOptions();
  return {new Impl(status, options, status.ok() ? connector() : nullptr),
          DeleteUnlessForked()};
}

Client Client::Connect(ClientOptions options) {
  absl::Status status = Check(options);
  if (status.ok()) status = CheckAddresses(&options);
  if (status.ok()) status = CheckCredentials(options);
  return Client(Impl::Make(status, options,
                           [&] { return Connector::ToTarget(options); }));
}

Client Connect(ClientOptions options,
               std::shared_ptr<grpc::ChannelCredentials> credentials) {
  absl::Status status = Check(options);
  if (status.ok()) status = CheckAddresses(&options);
  if (status.ok()) status = CheckOwnCredentials(&options);
  if (status.ok() && !credentials) {
    status = absl::InvalidArgumentError("credentials: null");
  }
  return Client(Client::Impl::Make(status, options, [&] {
    return Connector::ToTarget(options, credentials);
  }));
}

Client ConnectOver(std::shared_ptr<grpc::Channel> channel,
                   ClientOptions options) {
  absl::Status status = Check(options);
  if (status.ok()) status = CheckOwnCredentials(&options);
  if (status.ok() && !channel) {
    status = absl::InvalidArgumentError("channel: null");
  }
  return Client(Client::Impl::Make(
      status, options, [&] { return Connector::Over(channel, options); }));
}

Client Client::FromFd(int fd, ClientOptions options) {
  absl::Status status = Check(options);
  if (status.ok() && fd < 0) {
    status = absl::UnavailableError("fd: not a connected socket");
  }
  if (status.ok()) status = CheckOwnCredentials(&options);
  bool taken = false;
  Client client(Impl::Make(status, options, [&] {
    taken = true;
    return Connector::ToFd(fd, options);
  }));
  if (!taken && fd >= 0) close(fd);
  return client;
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<Receipt> Client::Send(const NewMessage& message,
                                     const SendOptions& options) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_->status().ok()) return impl_->status();
  return impl_->sends().Send(message, options);
}

void Client::SendAsync(const NewMessage& message, SendCallback done,
                       const SendOptions& options) {
  if (absl::Status s = CheckNotForked(); !s.ok()) {
    if (done) done(std::move(s));
    return;
  }
  if (!impl_->status().ok()) {
    return impl_->sends().Report(impl_->status(), std::move(done));
  }
  impl_->sends().SendAsync(message, std::move(done), options);
}

absl::StatusOr<Receipt> Client::SendAs(const ProducerId& producer_id,
                                       std::uint64_t producer_sequence,
                                       const NewMessage& message,
                                       SendOptions options) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_->status().ok()) return impl_->status();
  if (producer_id == ProducerId{}) {
    return absl::InvalidArgumentError(
        "producer_id: is all zero; must be 16 random bytes");
  }
  if (producer_sequence == 0) {
    return absl::InvalidArgumentError(
        "producer_sequence: 0; must be 1 or more");
  }
  if (!options.timeout) options.timeout = impl_->options().call_timeout;
  return impl_->sends().Send(
      message, options,
      SendTerms::Number{.producer_id = producer_id,
                        .producer_sequence = producer_sequence});
}

absl::Status Client::Flush(std::optional<std::chrono::milliseconds> timeout) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->sends().Flush(timeout);
}

absl::Status Client::FlushCallbacks(
    std::optional<std::chrono::milliseconds> timeout) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->sends().FlushCallbacks(timeout);
}

Subscription Client::Read(ReadOptions options, ReadCallbacks callbacks) {
  if (absl::Status s = CheckNotForked(); !s.ok()) {
    if (callbacks.on_state) {
      callbacks.on_state(
          {.kind = SubscriptionState::Kind::kEnded, .reason = s});
    }
    if (callbacks.on_end) callbacks.on_end(s);
    return {};
  }
  return Subscription(impl_->Read(std::move(options), std::move(callbacks)));
}

Subscription Client::Pull(ReadOptions options) {
  if (!CheckNotForked().ok()) return {};
  return Subscription(impl_->Read(std::move(options)));
}

template <typename Request, typename Response, typename List>
absl::Status Client::Impl::ListPages(const char* method, std::string_view what,
                                     Request request, List* list) {
  const auto deadline = Timers::Clock::now() + options_.call_timeout;
  do {
    const auto left = std::max(std::chrono::ceil<std::chrono::milliseconds>(
                                   deadline - Timers::Clock::now()),
                               std::chrono::milliseconds(1));
    Response page;
    absl::Status status = Call(
        method, request, &page, [&] { return list->Add(page); }, left);
    const bool late = absl::IsDeadlineExceeded(status) ||
                      (status.ok() && !page.next_page_token().empty() &&
                       Timers::Clock::now() >= deadline);
    if (late && list->size() > 0) {
      return connector_->WithAddress(absl::DeadlineExceededError(
          fmt::format("it has sent {} {} within {} ms, and there are more",
                      list->size(), what, options_.call_timeout.count())));
    }
    if (!status.ok()) return status;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ChannelInfo>> Client::ListChannels() {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  ChannelList list;
  absl::Status s =
      impl_->ListPages<v1::ListChannelsRequest, v1::ListChannelsResponse>(
          "ListChannels", "channels", {}, &list);
  if (!s.ok()) return s;
  return list.Take();
}

absl::StatusOr<ChannelInfo> Client::GetChannel(std::string_view channel) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  const auto name = wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  v1::GetChannelRequest request;
  request.set_channel(std::string(*name));
  v1::GetChannelResponse response;
  absl::StatusOr<ChannelInfo> info;
  absl::Status status = impl_->Call("GetChannel", request, &response, [&] {
    info = ToInfo(response.channel());
    if (info.ok() && info->name != *name) {
      info = absl::DataLossError(fmt::format(
          "channel {:?} was asked for, but {:?} arrived", *name, info->name));
    }
    return info.status();
  });
  if (!status.ok()) return status;
  return info;
}

absl::Status Client::DeleteChannel(std::string_view channel) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  const auto name = wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  v1::DeleteChannelRequest request;
  request.set_channel(std::string(*name));
  v1::DeleteChannelResponse response;
  return impl_->Call("DeleteChannel", request, &response,
                     [] { return absl::OkStatus(); });
}

absl::StatusOr<ProducerInfo> Client::OpenProducer(std::string_view channel) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_->status().ok()) return impl_->status();
  const auto name = wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  if (impl_->options().producer_name.empty()) {
    return absl::FailedPreconditionError(
        "producer_name: is empty (ClientOptions)");
  }
  if (absl::Status s = impl_->sends().CheckIdle(*name); !s.ok()) return s;
  v1::OpenProducerRequest request;
  request.set_channel(std::string(*name));
  request.set_name(impl_->options().producer_name);
  v1::OpenProducerResponse response;
  absl::StatusOr<ProducerInfo> info;
  absl::Status status = impl_->Call("OpenProducer", request, &response, [&] {
    info = ToInfo(response.producer());
    if (info.ok() && (info->channel != *name || info->name != request.name())) {
      info = absl::DataLossError(fmt::format(
          "producer {:?} of channel {:?} was asked for, but another arrived",
          request.name(), *name));
    }
    return info.status();
  });
  if (!status.ok()) return status;
  impl_->sends().SetNamedProducer(*info);
  return info;
}

absl::StatusOr<std::vector<ProducerInfo>> Client::ListProducers(
    std::optional<std::string_view> channel) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  v1::ListProducersRequest request;
  if (channel) {
    const auto name = wire::ResolveChannelName(*channel);
    if (!name.ok()) return name.status();
    request.set_channel(std::string(*name));
  }
  ProducerList list;
  absl::Status s =
      impl_->ListPages<v1::ListProducersRequest, v1::ListProducersResponse>(
          "ListProducers", "producers", std::move(request), &list);
  if (!s.ok()) return s;
  return list.Take();
}

absl::Status Client::DeleteProducer(std::string_view channel,
                                    std::string_view name) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  const auto resolved = wire::ResolveChannelName(channel);
  if (!resolved.ok()) return resolved.status();
  if (absl::Status s = wire::CheckProducerName("name", name); !s.ok()) return s;
  v1::DeleteProducerRequest request;
  request.set_channel(std::string(*resolved));
  request.set_name(std::string(name));
  v1::DeleteProducerResponse response;
  return impl_->Call("DeleteProducer", request, &response,
                     [] { return absl::OkStatus(); });
}

absl::Status Client::status() const {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->status();
}

absl::StatusOr<std::chrono::nanoseconds> Client::Ping() {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->Ping();
}

absl::StatusOr<std::chrono::nanoseconds> Client::PingAs(
    const std::string& token) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_->status().ok()) return impl_->status();
  ClientOptions options = impl_->options();
  options.token_file.clear();
  options.token = token;
  if (token.empty()) return absl::InvalidArgumentError("token: is empty");
  if (absl::Status s = CheckTokens(options); !s.ok()) return s;
  return impl_->Ping(token);
}

absl::Status Client::CheckHealth() {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->CheckHealth();
}

ClientStats Client::Stats() const {
  return InForkedChild() ? ClientStats() : impl_->Stats();
}

}  // namespace messenger
