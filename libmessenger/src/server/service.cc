// The methods, all of them raw: typed methods would answer malformed bytes
// with UNIMPLEMENTED before a handler sees them.
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "base/forked.h"
#include "base/narrow.h"
#include "base/out_of_memory.h"
#include "messenger/grpc.h"
#include "messenger/v1/messenger.grpc.pb.h"
#include "rpc/bytes.h"
#include "server/call.h"
#include "server/list_page.h"
#include "server/local_client.h"
#include "server/read_stream.h"
#include "server/send_stream.h"
#include "server/service_core.h"
#include "server/unary_send.h"
#include "wire/channels.h"
#include "wire/producers.h"

namespace messenger {
namespace {

using v1::MessengerServer;
using RawService = MessengerServer::WithRawCallbackMethod_SendMessage<
    MessengerServer::WithRawCallbackMethod_SendMessages<
        MessengerServer::WithRawCallbackMethod_ReadMessages<
            MessengerServer::WithRawCallbackMethod_ListChannels<
                MessengerServer::WithRawCallbackMethod_GetChannel<
                    MessengerServer::WithRawCallbackMethod_DeleteChannel<
                        MessengerServer::WithRawCallbackMethod_OpenProducer<
                            MessengerServer::
                                WithRawCallbackMethod_ListProducers<
                                    MessengerServer::
                                        WithRawCallbackMethod_DeleteProducer<
                                            MessengerServer::Service>>>>>>>>>;

// Of channels, and of producers.
constexpr std::size_t kMaxChannels = 1000;
constexpr std::size_t kMaxProducers = 500;

std::size_t PageSize(std::size_t asked, std::size_t most) {
  return asked == 0 ? most : std::min(asked, most);
}

// A producer's place in the list, as a token. A channel's name has no slash.
std::string TokenOf(const ProducerInfo& info) {
  return info.channel + "/" + info.name;
}
ProducerKey KeyOf(const std::string& token) {
  const std::size_t slash = std::min(token.find('/'), token.size());
  return {.channel = token.substr(0, slash),
          .name = token.substr(std::min(slash + 1, token.size()))};
}

// What `parse` makes of a request, if the call is admitted so far; nothing if
// it has been refused.
template <typename Parse>
auto Parsed(const Call& call, const grpc::ByteBuffer& request,
            grpc::ServerUnaryReactor* reactor, Parse parse)
    -> std::optional<typename decltype(parse({}))::value_type> {
  auto parsed = RefuseIfOutOfMemory([&]() -> decltype(parse({})) {
    if (absl::Status s = call.Admit(); !s.ok()) return s;
    const grpc::Slice bytes = rpc::Flatten(request);
    return parse(rpc::View(bytes));
  });
  if (parsed.ok()) return *std::move(parsed);
  reactor->Finish(call.Tell(parsed.status()));
  return std::nullopt;
}

// Whether the call is admitted to the channel; it has been refused if not.
bool IsAdmitted(const Call& call, const std::string& channel,
                grpc::ServerUnaryReactor* reactor) {
  const absl::Status refusal = call.Admit(channel);
  if (!refusal.ok()) reactor->Finish(call.Tell(refusal));
  return refusal.ok();
}

// The channel of a request of this type; nothing if the call has been refused.
std::optional<std::string> AdmittedChannel(const Call& call,
                                           const grpc::ByteBuffer& request,
                                           std::string_view type,
                                           grpc::ServerUnaryReactor* reactor) {
  auto name = Parsed(call, request, reactor, [&](std::string_view bytes) {
    return wire::ParseChannelRequest(bytes, type);
  });
  if (name && !IsAdmitted(call, *name, reactor)) name.reset();
  return name;
}

// Likewise the channel and the name of a producer.
std::optional<wire::ProducerRequest> AdmittedProducer(
    const Call& call, const grpc::ByteBuffer& request, std::string_view type,
    grpc::ServerUnaryReactor* reactor) {
  auto producer = Parsed(call, request, reactor, [&](std::string_view bytes) {
    return wire::ParseProducerRequest(bytes, type);
  });
  if (producer && !IsAdmitted(call, producer->channel, reactor)) {
    producer.reset();
  }
  return producer;
}

}  // namespace

absl::Status CheckBounds(const ServiceOptions& options) {
  using Options = ServiceOptions;
  Bounds<std::size_t> request = Options::kMaxRequestBytes;
  request.least = std::max(
      request.least, options.max_message_bytes + Options::kRequestOverhead);
  Bounds<std::size_t> frames = Options::kMaxFramesInFlightBytes;
  frames.least =
      2 * std::max(options.max_message_bytes, options.max_frame_bytes);
  Bounds<std::chrono::milliseconds> heartbeat = Options::kHeartbeatInterval;
  heartbeat.least = std::max(heartbeat.least, options.min_heartbeat_interval);
  return FirstError(
      {CheckBounds("max_message_bytes", options.max_message_bytes,
                   Options::kMaxMessageBytes),
       CheckBounds("max_request_bytes", options.max_request_bytes, request),
       CheckBounds("max_frame_bytes", options.max_frame_bytes,
                   Options::kMaxFrameBytes),
       CheckBounds("max_append_bytes", options.max_append_bytes,
                   Options::kMaxAppendBytes),
       CheckBounds("max_frames_in_flight_bytes",
                   options.max_frames_in_flight_bytes, frames),
       CheckBounds("min_heartbeat_interval", options.min_heartbeat_interval,
                   Options::kHeartbeatInterval),
       CheckBounds("max_heartbeat_interval", options.max_heartbeat_interval,
                   heartbeat),
       CheckBounds("stall_timeout", options.stall_timeout,
                   Options::kStallTimeout),
       CheckBounds("keepalive_time", options.keepalive_time,
                   Options::kKeepalive),
       CheckBounds("keepalive_timeout", options.keepalive_timeout,
                   Options::kKeepalive)});
}

namespace {

// Channel arguments for a server that has none of its own by these names. gRPC
// takes the first one of a name, and asks plugins when it has all that were set
// on the builder.
class DefaultArguments final : public grpc::ServerBuilderPlugin {
 public:
  using Arguments = std::vector<std::pair<std::string, int>>;

  explicit DefaultArguments(Arguments defaults)
      : defaults_(std::move(defaults)) {}

  std::string name() override { return "messenger"; }
  void InitServer(grpc::ServerInitializer* /*initializer*/) override {}
  void Finish(grpc::ServerInitializer* /*initializer*/) override {}
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}
  void UpdateChannelArguments(grpc::ChannelArguments* arguments) override {
    for (const auto& [name, value] : defaults_) {
      const grpc_channel_args set = arguments->c_channel_args();
      const auto is_name = [&name = name](const grpc_arg& argument) {
        return std::string_view(argument.key) == name;
      };
      if (std::ranges::none_of(std::span(set.args, set.num_args), is_name)) {
        arguments->SetInt(name, value);
      }
    }
  }

  // How a builder is given it.
  class Option final : public grpc::ServerBuilderOption {
   public:
    explicit Option(Arguments defaults) : defaults_(std::move(defaults)) {}

    void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
    void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                           plugins) override {
      plugins->push_back(std::make_unique<DefaultArguments>(defaults_));
    }

   private:
    const Arguments defaults_;
  };

 private:
  const Arguments defaults_;
};

}  // namespace

class Service::Impl final : public RawService {
 public:
  Impl(std::shared_ptr<MessageLog> log, const ServiceOptions& options,
       std::unique_ptr<Access> access)
      : core_(std::move(log), options, std::move(access)) {}

  ServiceCore& core() { return core_; }

  grpc::ServerUnaryReactor* SendMessage(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override {
    return UnarySend::Start(Call(&core_, &ServiceStats::send_message, *context),
                            *request, response);
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SendMessages(
      grpc::CallbackServerContext* context) override {
    return SendStream::Start(
        Call(&core_, &ServiceStats::send_messages, *context), context);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* ReadMessages(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override {
    return ReadStream::Start(
        Call(&core_, &ServiceStats::read_messages, *context), context,
        *request);
  }

  grpc::ServerUnaryReactor* ListChannels(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const Call call(&core_, &ServiceStats::list_channels, *context);
    const auto list =
        Parsed(call, *request, reactor, wire::ParseListChannelsRequest);
    if (!list) return reactor;
    const std::size_t size = PageSize(list->page_size, kMaxChannels);
    ListPage<ChannelInfo>::Get(
        {.size = size,
         .fetch =
             [this, token = list->page_token](const ChannelInfo* last,
                                              std::size_t max, auto done) {
               core_.log().ListChannels(last == nullptr ? token : last->name,
                                        max, std::move(done));
             },
         .is_visible =
             [call](const ChannelInfo& channel) {
               return call.MayUse(channel.name);
             },
         .piece = call.depends_on_rules() ? kMaxChannels : size},
        [this, call, reactor, response, size](const auto& channels) {
          reactor->Finish(call.Tell(this->Respond(channels, size, response)));
        });
    return reactor;
  }

  grpc::ServerUnaryReactor* GetChannel(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const Call call(&core_, &ServiceStats::get_channel, *context);
    if (const auto name =
            AdmittedChannel(call, *request, "GetChannelRequest", reactor)) {
      core_.log().GetChannel(
          *name, [this, call, reactor, response](const auto& channel) {
            reactor->Finish(call.Tell(this->Respond(channel, response)));
          });
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* DeleteChannel(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const Call call(&core_, &ServiceStats::delete_channel, *context);
    if (const auto name =
            AdmittedChannel(call, *request, "DeleteChannelRequest", reactor)) {
      *response = rpc::MakeBuffer(std::string());
      core_.log().DeleteChannel(*name,
                                [call, reactor](const absl::Status& status) {
                                  reactor->Finish(call.Tell(status));
                                });
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* OpenProducer(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const Call call(&core_, &ServiceStats::open_producer, *context);
    const auto producer =
        AdmittedProducer(call, *request, "OpenProducerRequest", reactor);
    if (!producer) return reactor;
    const auto sender = call.AdmitSender(producer->channel);
    if (!sender.ok()) {
      reactor->Finish(call.Tell(sender.status()));
      return reactor;
    }
    core_.log().OpenProducer(
        producer->channel, producer->name, sender->identity,
        [call, reactor, response](const auto& opened) {
          reactor->Finish(call.Tell(Respond(opened, response)));
        });
    return reactor;
  }

  grpc::ServerUnaryReactor* ListProducers(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const Call call(&core_, &ServiceStats::list_producers, *context);
    const auto list =
        Parsed(call, *request, reactor, wire::ParseListProducersRequest);
    if (!list ||
        (!list->channel.empty() && !IsAdmitted(call, list->channel, reactor))) {
      return reactor;
    }
    const std::size_t size = PageSize(list->page_size, kMaxProducers);
    ListPage<ProducerInfo>::Get(
        {.size = size,
         .fetch =
             [this, channel = list->channel, token = KeyOf(list->page_token)](
                 const ProducerInfo* last, std::size_t max, auto done) {
               core_.log().ListProducers(
                   channel,
                   last == nullptr ? token
                                   : ProducerKey{.channel = last->channel,
                                                 .name = last->name},
                   max, std::move(done));
             },
         .is_visible =
             [call](const ProducerInfo& producer) {
               return call.MayUse(producer.channel);
             },
         .piece = call.depends_on_rules() ? kMaxProducers : size},
        [call, reactor, response, size](const auto& producers) {
          reactor->Finish(call.Tell(Respond(producers, size, response)));
        });
    return reactor;
  }

  grpc::ServerUnaryReactor* DeleteProducer(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
      grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const Call call(&core_, &ServiceStats::delete_producer, *context);
    if (const auto producer = AdmittedProducer(
            call, *request, "DeleteProducerRequest", reactor)) {
      *response = rpc::MakeBuffer(std::string());
      core_.log().DeleteProducer(producer->channel, producer->name,
                                 [call, reactor](const absl::Status& status) {
                                   reactor->Finish(call.Tell(status));
                                 });
    }
    return reactor;
  }

 private:
  absl::Status Respond(const absl::StatusOr<std::vector<ChannelInfo>>& channels,
                       std::size_t page_size, grpc::ByteBuffer* response) {
    if (!channels.ok()) return channels.status();
    return RefuseIfOutOfMemory([&] {
      v1::ListChannelsResponse list;
      for (const ChannelInfo& info : *channels) {
        FillIn(info, list.add_channels());
      }
      if (channels->size() == page_size) {
        list.set_next_page_token(channels->back().name);
      }
      *response = rpc::MakeBuffer(list.SerializeAsString());
      return absl::OkStatus();
    });
  }
  absl::Status Respond(const absl::StatusOr<ChannelInfo>& channel,
                       grpc::ByteBuffer* response) {
    if (!channel.ok()) return channel.status();
    return RefuseIfOutOfMemory([&] {
      v1::GetChannelResponse answer;
      FillIn(*channel, answer.mutable_channel());
      *response = rpc::MakeBuffer(answer.SerializeAsString());
      return absl::OkStatus();
    });
  }

  static absl::Status Respond(const absl::StatusOr<ProducerInfo>& producer,
                              grpc::ByteBuffer* response) {
    if (!producer.ok()) return producer.status();
    return RefuseIfOutOfMemory([&] {
      v1::OpenProducerResponse answer;
      FillIn(*producer, answer.mutable_producer());
      *response = rpc::MakeBuffer(answer.SerializeAsString());
      return absl::OkStatus();
    });
  }
  static absl::Status Respond(
      const absl::StatusOr<std::vector<ProducerInfo>>& producers,
      std::size_t page_size, grpc::ByteBuffer* response) {
    if (!producers.ok()) return producers.status();
    return RefuseIfOutOfMemory([&] {
      v1::ListProducersResponse list;
      for (const ProducerInfo& info : *producers) {
        FillIn(info, list.add_producers());
      }
      if (producers->size() == page_size) {
        list.set_next_page_token(TokenOf(producers->back()));
      }
      *response = rpc::MakeBuffer(list.SerializeAsString());
      return absl::OkStatus();
    });
  }

  static void FillIn(const ProducerInfo& info, v1::Producer* producer) {
    producer->set_channel(info.channel);
    producer->set_name(info.name);
    producer->set_producer_id(info.producer_id.data(), info.producer_id.size());
    producer->set_generation(info.generation);
    producer->set_last_producer_sequence(info.last_producer_sequence);
    producer->set_epoch(info.epoch);
    const auto since = info.last_used.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    producer->mutable_last_used()->set_seconds(seconds.count());
    producer->mutable_last_used()->set_nanos(
        Narrow<std::int32_t>((since - seconds).count()));
    producer->set_owner(info.owner);
  }
  void FillIn(const ChannelInfo& info, v1::Channel* channel) {
    channel->set_name(info.name);
    channel->set_epoch(info.epoch);
    channel->set_first_sequence(info.first_sequence);
    channel->set_head(info.head);
    channel->set_bytes(info.bytes);
    channel->set_readers(core_.fan_out().CountReaders(info.name));
  }

  ServiceCore core_;
};

absl::StatusOr<std::unique_ptr<Service>> Service::Create(
    std::shared_ptr<MessageLog> log, const ServiceOptions& options) {
  WatchForks();
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!log) return absl::InvalidArgumentError("log: null");
  if (absl::Status s = CheckBounds(options); !s.ok()) return s;
  absl::StatusOr<std::unique_ptr<Access>> access = Access::Open(options.access);
  if (!access.ok()) return access.status();
  return Create(std::move(log), options, *std::move(access));
}

std::unique_ptr<Service> Service::Create(std::shared_ptr<MessageLog> log,
                                         const ServiceOptions& options,
                                         std::unique_ptr<Access> access) {
  return std::unique_ptr<Service>(new Service(
      std::make_unique<Impl>(std::move(log), options, std::move(access))));
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() {
  if (InForkedChild()) static_cast<void>(impl_.release());
}

void Service::Register(grpc::ServerBuilder& builder) {
  // Twice the limit and something: a request that is a little too large still
  // arrives, and gets our error.
  constexpr std::size_t kMargin = std::size_t{1} << 20;
  // Connections whose clients ping more often are ended. Less than what a
  // client may be set to, since pings may catch up with one another on their
  // way.
  constexpr std::chrono::milliseconds kMinPingInterval =
      ServiceOptions::kKeepalive.least / 4;
  const ServiceOptions& options = impl_->core().options();
  builder.SetOption(
      std::make_unique<DefaultArguments::Option>(DefaultArguments::Arguments{
          {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
           Narrow<int>(2 * options.max_request_bytes + kMargin)},
          {GRPC_ARG_KEEPALIVE_TIME_MS,
           Narrow<int>(options.keepalive_time.count())},
          {GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
           Narrow<int>(options.keepalive_timeout.count())},
          {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
          {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
          {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
           Narrow<int>(kMinPingInterval.count())},
          {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0}}));
  // A small request must not become a large one behind the limit: none is
  // unpacked, and those that are packed are refused.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.RegisterService(impl_.get());
}

void Service::WatchServing(std::function<void(bool serving)> on_change) {
  if (!InForkedChild()) impl_->core().serving().Watch(std::move(on_change));
}

Client Service::LocalClient(grpc::Server& server, ClientOptions options) {
  const bool refused = InForkedChild() || impl_->core().draining();
  return ConnectLocally(refused ? nullptr : &server, std::move(options));
}

absl::Status Service::RefusalOf(const Caller& caller) {
  ServiceCore& core = impl_->core();
  absl::Status status = CheckTransport(*core.access().rules(), caller);
  if (!status.ok()) core.NoteRefusal(status, &caller);
  return status;
}

ServiceStats Service::Stats() const {
  return InForkedChild() ? ServiceStats() : impl_->core().Stats();
}

void Service::Drain() {
  if (!InForkedChild()) impl_->core().Drain();
}

}  // namespace messenger
