#include "messenger/client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/forked.h"
#include "client/connection.h"
#include "client/send_pipeline.h"
#include "client/subscription.h"
#include "client/thread_pool.h"
#include "client/timers.h"
#include "messenger/v1/messenger.pb.h"
#include "rpc/keepalive.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

template <typename Number>
absl::Status CheckBounds(std::string_view name, Number value, Number low,
                         Number high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: {}; must be {} to {}", name, value, low, high));
}

absl::Status CheckTime(std::string_view name, std::chrono::milliseconds value,
                       std::chrono::milliseconds low,
                       std::chrono::milliseconds high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: {} ms; must be {} ms to {} ms", name, value.count(),
                  low.count(), high.count()));
}

absl::Status Check(const ClientOptions& options) {
  using std::chrono_literals::operator""ms;
  using std::chrono_literals::operator""h;
  constexpr std::chrono::milliseconds kLongest = rpc::kMaxKeepalive;
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  if (options.target.empty()) {
    return absl::InvalidArgumentError("target: empty; must be host:port");
  }
  for (const absl::Status& status :
       {CheckTime("retry.initial_backoff", options.retry.initial_backoff, 1ms,
                  1h),
        CheckTime("retry.max_backoff", options.retry.max_backoff,
                  options.retry.initial_backoff, 1h),
        CheckTime("retry.give_up_after",
                  options.retry.give_up_after.value_or(0ms), 0ms, kLongest),
        CheckBounds("callback_threads", options.callback_threads, 1, 256),
        CheckBounds<std::size_t>("max_in_flight_messages",
                                 options.max_in_flight_messages, 1, kMiB),
        CheckBounds("max_in_flight_bytes", options.max_in_flight_bytes, kMiB,
                    1024 * kMiB),
        CheckBounds<std::size_t>("max_message_bytes", options.max_message_bytes,
                                 1, 16 * kMiB),
        CheckTime("send_timeout", options.send_timeout, 0ms, kLongest),
        CheckTime("call_timeout", options.call_timeout, 1ms, kLongest),
        CheckTime("keepalive_time", options.keepalive_time, rpc::kMinKeepalive,
                  kLongest),
        CheckTime("keepalive_timeout", options.keepalive_timeout,
                  rpc::kMinKeepalive, kLongest)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

ChannelInfo ToInfo(const v1::Channel& channel) {
  return {.name = channel.name(),
          .epoch = channel.epoch(),
          .first_sequence = channel.first_sequence(),
          .head = channel.head(),
          .bytes = channel.bytes(),
          .readers = channel.readers()};
}

}  // namespace

class Client::Impl {
 public:
  // With `connector`'s, if `status` is OK; otherwise that is what calls return.
  static std::shared_ptr<Impl> Make(
      absl::Status status, ClientOptions options,
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
        executor_(options.executor ? options.executor : pool_),
        sends_(std::make_shared<SendPipeline>(connector_, timers_, executor_,
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
    if (Strand(executor_).RunningInside()) return;
    timers_->Stop();
    if (pool_) pool_->Stop();
  }

  const absl::Status& status() const { return status_; }
  SendPipeline& sends() { return *sends_; }

  std::shared_ptr<Subscription::Impl> Read(ReadOptions options,
                                           ReadCallbacks callbacks) {
    const std::shared_ptr<Subscription::Impl> subscription(
        new Subscription::Impl(
            ReadContext{.connector = connector_,
                        .timers = timers_,
                        .executor = executor_,
                        .retry = options_.retry,
                        .join_timeout = options_.call_timeout},
            std::move(options), std::move(callbacks)),
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

  template <typename Request, typename Response>
  absl::Status Call(const char* method, const Request& request,
                    Response* response) {
    return WithConnection([&](Connection& connection) {
      return connection.Call(method, request, response, options_.call_timeout);
    });
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
    return status;
  }

  const absl::Status status_;
  const ClientOptions options_;
  const std::shared_ptr<Connector> connector_;
  const std::shared_ptr<Timers> timers_ = std::make_shared<Timers>();
  const std::shared_ptr<ThreadPool> pool_;  // null if the program has its own
  const std::shared_ptr<Executor> executor_;
  const std::shared_ptr<SendPipeline> sends_;

  absl::Mutex mu_;
  // To be ended with the client; those that have ended are purged now and then.
  std::vector<std::weak_ptr<Subscription::Impl>> subscriptions_
      ABSL_GUARDED_BY(mu_);
  std::size_t purge_at_ ABSL_GUARDED_BY(mu_) = 16;
};

// In a forked child there are none, nor are they needed: see CheckNotForked.
std::shared_ptr<Client::Impl> Client::Impl::Make(
    absl::Status status, ClientOptions options,
    absl::FunctionRef<std::shared_ptr<Connector>()> connector) {
  WatchForks();
  if (InForkedChild()) return nullptr;
  if (!status.ok()) options = ClientOptions();
  return {new Impl(status, options, status.ok() ? connector() : nullptr),
          DeleteUnlessForked()};
}

Client Client::Connect(ClientOptions options) {
  return Client(Impl::Make(Check(options), options,
                           [&] { return Connector::ToTarget(options); }));
}

Client Client::FromFd(int fd, ClientOptions options) {
  options.target = "fd";  // not used
  absl::Status status = Check(options);
  if (status.ok() && fd < 0) {
    status = absl::UnavailableError("fd: not a connected socket");
  }
  bool taken = false;
  Client client(Impl::Make(std::move(status), options, [&] {
    taken = true;
    return Connector::ToFd(fd, options);
  }));
  if (!taken && fd >= 0) close(fd);
  return client;
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<Receipt> Client::Send(const NewMessage& message,
                                     SendOptions options) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_->status().ok()) return impl_->status();
  return impl_->sends().Send(message, options);
}

void Client::SendAsync(const NewMessage& message, SendCallback done,
                       SendOptions options) {
  if (absl::Status s = CheckNotForked(); !s.ok()) {
    if (done) done(std::move(s));
    return;
  }
  if (!impl_->status().ok()) {
    return impl_->sends().Report(impl_->status(), std::move(done));
  }
  impl_->sends().SendAsync(message, std::move(done), options);
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

absl::StatusOr<std::vector<ChannelInfo>> Client::ListChannels() {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  std::vector<ChannelInfo> channels;
  v1::ListChannelsRequest request;
  v1::ListChannelsResponse response;
  do {
    absl::Status status = impl_->Call("ListChannels", request, &response);
    if (!status.ok()) return status;
    for (const v1::Channel& channel : response.channels()) {
      channels.push_back(ToInfo(channel));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return channels;
}

absl::StatusOr<ChannelInfo> Client::GetChannel(std::string_view channel) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  const auto name = wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  v1::GetChannelRequest request;
  request.set_channel(std::string(*name));
  v1::GetChannelResponse response;
  absl::Status status = impl_->Call("GetChannel", request, &response);
  if (!status.ok()) return status;
  return ToInfo(response.channel());
}

absl::Status Client::DeleteChannel(std::string_view channel) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  const auto name = wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  v1::DeleteChannelRequest request;
  request.set_channel(std::string(*name));
  v1::DeleteChannelResponse response;
  return impl_->Call("DeleteChannel", request, &response);
}

absl::StatusOr<std::chrono::nanoseconds> Client::Ping() {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  // The smallest question that only this service answers.
  v1::ListChannelsRequest request;
  request.set_page_size(1);
  v1::ListChannelsResponse response;
  const auto start = std::chrono::steady_clock::now();
  absl::Status status = impl_->Call("ListChannels", request, &response);
  if (!status.ok()) return status;
  return std::chrono::steady_clock::now() - start;
}

absl::Status Client::CheckHealth() {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->CheckHealth();
}

}  // namespace messenger
