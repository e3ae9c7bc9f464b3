#include "messenger/client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "absl/synchronization/mutex.h"
#include "client/connection.h"
#include "client/executor.h"
#include "client/send_pipeline.h"
#include "client/subscription.h"
#include "messenger/v1/messenger.pb.h"
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

absl::Status Check(const ClientOptions& options) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  if (options.target.empty()) {
    return absl::InvalidArgumentError("target: empty; must be host:port");
  }
  for (const absl::Status& status :
       {CheckBounds("callback_threads", options.callback_threads, 1, 256),
        CheckBounds<std::size_t>("max_in_flight_messages",
                                 options.max_in_flight_messages, 1, kMiB),
        CheckBounds("max_in_flight_bytes", options.max_in_flight_bytes, kMiB,
                    1024 * kMiB),
        CheckBounds<std::size_t>("max_message_bytes", options.max_message_bytes,
                                 1, 16 * kMiB),
        CheckBounds<std::int64_t>("send_timeout", options.send_timeout.count(),
                                  1, INT32_MAX),
        CheckBounds<std::int64_t>("call_timeout", options.call_timeout.count(),
                                  1, INT32_MAX)}) {
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
  // `status` is an error if the client cannot be used.
  Impl(absl::Status status, const ClientOptions& options,
       std::shared_ptr<Connection> connection)
      : status_(std::move(status)),
        options_(options),
        connection_(std::move(connection)),
        executor_(std::make_shared<Executor>(options.callback_threads)),
        sends_(
            std::make_shared<SendPipeline>(connection_, executor_, options)) {}

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
    if (!executor_->RunningInside()) executor_->Stop();
  }

  const absl::Status& status() const { return status_; }
  SendPipeline& sends() { return *sends_; }

  std::shared_ptr<Subscription::Impl> Read(ReadOptions options,
                                           ReadCallbacks callbacks) {
    auto subscription = std::make_shared<Subscription::Impl>(
        connection_, executor_, std::move(options), std::move(callbacks));
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
    if (!status_.ok()) return status_;
    return connection_->Call(method, request, response, options_.call_timeout);
  }

  absl::Status CheckHealth() {
    if (!status_.ok()) return status_;
    return connection_->CheckHealth(options_.call_timeout);
  }

 private:
  const absl::Status status_;
  const ClientOptions options_;
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Executor> executor_;
  const std::shared_ptr<SendPipeline> sends_;

  absl::Mutex mu_;
  // To be ended with the client; those that have ended are purged now and then.
  std::vector<std::weak_ptr<Subscription::Impl>> subscriptions_
      ABSL_GUARDED_BY(mu_);
  std::size_t purge_at_ ABSL_GUARDED_BY(mu_) = 16;
};

Client Client::Connect(ClientOptions options) {
  absl::Status status = Check(options);
  if (!status.ok()) {
    options = ClientOptions();
    return Client(std::make_shared<Impl>(std::move(status), options, nullptr));
  }
  auto connection = Connection::ToTarget(options);
  return Client(
      std::make_shared<Impl>(absl::OkStatus(), options, std::move(connection)));
}

Client Client::FromFd(int fd, ClientOptions options) {
  options.target = "fd";  // not used
  absl::Status status = Check(options);
  if (status.ok() && fd < 0) {
    status = absl::UnavailableError("fd: not a connected socket");
  }
  if (!status.ok()) {
    if (fd >= 0) close(fd);
    options = ClientOptions();
    return Client(std::make_shared<Impl>(std::move(status), options, nullptr));
  }
  return Client(
      std::make_shared<Impl>(absl::OkStatus(), options, Connection::ToFd(fd)));
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<Receipt> Client::Send(const NewMessage& message) {
  if (!impl_->status().ok()) return impl_->status();
  return impl_->sends().Send(message);
}

void Client::SendAsync(const NewMessage& message, SendCallback done) {
  if (!impl_->status().ok()) {
    return impl_->sends().Report(impl_->status(), std::move(done));
  }
  impl_->sends().SendAsync(message, std::move(done));
}

absl::Status Client::Flush() {
  return impl_->sends().Flush();
}

Subscription Client::Read(ReadOptions options, ReadCallbacks callbacks) {
  return Subscription(impl_->Read(std::move(options), std::move(callbacks)));
}

absl::StatusOr<std::vector<ChannelInfo>> Client::ListChannels() {
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
  const auto name = wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  v1::DeleteChannelRequest request;
  request.set_channel(std::string(*name));
  v1::DeleteChannelResponse response;
  return impl_->Call("DeleteChannel", request, &response);
}

absl::StatusOr<std::chrono::nanoseconds> Client::Ping() {
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
  return impl_->CheckHealth();
}

}  // namespace messenger
