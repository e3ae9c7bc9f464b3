// NATS core and JetStream, through libnats.
#include <fmt/format.h>
#include <nats/nats.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "peers/peer.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr const char* kSubject = "bench";
constexpr int kPatienceMs = 60'000;

void CheckNats(natsStatus status, const char* what) {
  if (status == NATS_OK) return;
  const char* const more = nats_GetLastError(nullptr);
  throw std::runtime_error(fmt::format("nats: {}: {}: {}", what,
                                       natsStatus_GetText(status),
                                       more == nullptr ? "" : more));
}

struct DestroyNats {
  void operator()(natsConnection* c) const { natsConnection_Destroy(c); }
  void operator()(natsOptions* o) const { natsOptions_Destroy(o); }
  void operator()(natsSubscription* s) const { natsSubscription_Destroy(s); }
  void operator()(natsMsg* m) const { natsMsg_Destroy(m); }
  void operator()(jsCtx* js) const { jsCtx_Destroy(js); }
};
template <typename T>
using NatsPtr = std::unique_ptr<T, DestroyNats>;

NatsPtr<natsConnection> Connect(const Endpoint& server,
                                const NatsLiveOptions& live) {
  natsOptions* options = nullptr;
  CheckNats(natsOptions_Create(&options), "options");
  const NatsPtr<natsOptions> owner(options);
  CheckNats(natsOptions_SetURL(options, ("nats://" + server.address).c_str()),
            "url");
  if (!server.ca_file.empty()) {
    CheckNats(
        natsOptions_LoadCATrustedCertificates(options, server.ca_file.c_str()),
        "the CA's certificate");
    CheckNats(natsOptions_SetSecure(options, true), "TLS");
  }
  CheckNats(natsOptions_UseGlobalMessageDelivery(options, live.pool),
            "options");
  CheckNats(natsOptions_SetSendAsap(options, live.send_asap), "options");
  natsConnection* connection = nullptr;
  CheckNats(natsConnection_Connect(&connection, options), "connect");
  return NatsPtr<natsConnection>(connection);
}

std::string_view TextOf(natsMsg* message) {
  return {natsMsg_GetData(message),
          static_cast<std::size_t>(natsMsg_GetDataLength(message))};
}

class NatsLive final : public LivePeer {
 public:
  NatsLive(const Endpoint& server, const NatsLiveOptions& options)
      : server_(server), options_(options), sender_(Connect(server, options)) {}

  void Subscribe(std::size_t readers, std::size_t connections,
                 OnText on_text) override {
    on_text_ = std::move(on_text);
    nats_SetMessageDeliveryPoolSize(2);
    for (std::size_t i = 0; i < std::min(readers, connections); ++i) {
      connections_.push_back(Connect(server_, options_));
    }
    readers_.reserve(readers);
    for (std::size_t i = 0; i < readers; ++i) {
      readers_.push_back({this, i});
      natsSubscription* subscription = nullptr;
      natsConnection* const c = connections_[i % connections_.size()].get();
      CheckNats(natsConnection_Subscribe(&subscription, c, kSubject, &OnMessage,
                                         &readers_.back()),
                "subscribe");
      subscriptions_.emplace_back(subscription);
      // No message is dropped: the sender keeps to its window.
      CheckNats(natsSubscription_SetPendingLimits(subscription, -1, -1),
                "pending limits");
    }
    for (const auto& c : connections_) {
      CheckNats(natsConnection_FlushTimeout(c.get(), kPatienceMs), "flush");
    }
  }

  void Publish(std::string_view text) override {
    CheckNats(natsConnection_Publish(sender_.get(), kSubject, text.data(),
                                     static_cast<int>(text.size())),
              "publish");
  }
  void Flush() override {
    CheckNats(natsConnection_FlushTimeout(sender_.get(), kPatienceMs), "flush");
  }

 private:
  struct Reader {
    NatsLive* owner;
    std::size_t number;
  };

  static void OnMessage(natsConnection* /*connection*/,
                        natsSubscription* /*subscription*/, natsMsg* message,
                        void* closure) {
    const auto* const reader = static_cast<const Reader*>(closure);
    reader->owner->on_text_(reader->number, TextOf(message), true);
    natsMsg_Destroy(message);
  }

  const Endpoint server_;
  const NatsLiveOptions options_;
  OnText on_text_;
  NatsPtr<natsConnection> sender_;
  std::vector<NatsPtr<natsConnection>> connections_;
  std::vector<Reader> readers_;
  std::vector<NatsPtr<natsSubscription>> subscriptions_;  // first to go
};

class NatsStore final : public StorePeer {
 public:
  NatsStore(const Endpoint& server, bool in_memory)
      : connection_(Connect(server, {.pool = false})) {
    jsOptions options;
    CheckNats(jsOptions_Init(&options), "options");
    // What `nats bench` recommends is 500; more is faster with small messages.
    options.PublishAsync.MaxPending = 4096;
    options.PublishAsync.StallWait = kPatienceMs;
    options.PublishAsync.ErrHandler = &OnPublishError;
    options.PublishAsync.ErrHandlerClosure = this;
    jsCtx* js = nullptr;
    CheckNats(natsConnection_JetStream(&js, connection_.get(), &options),
              "jetstream");
    js_.reset(js);
    jsStreamConfig config;
    CheckNats(jsStreamConfig_Init(&config), "config");
    const char* subject = kSubject;
    config.Name = "BENCH";
    config.Subjects = &subject;
    config.SubjectsLen = 1;
    config.Storage = in_memory ? js_MemoryStorage : js_FileStorage;
    jsErrCode error{};
    const natsStatus added =
        js_AddStream(nullptr, js_.get(), &config, nullptr, &error);
    CheckNats(added, "add stream");
  }

  std::uint64_t SendFor(double seconds, std::string_view text) override {
    const Clock::time_point end = Clock::now() + ToDuration(seconds);
    std::uint64_t sent = 0;
    while (Clock::now() < end) {
      for (int i = 0; i < 64; ++i, ++sent) Send(text);
    }
    Complete();
    return sent;
  }

  void SendCount(std::uint64_t count, std::string_view text) override {
    for (std::uint64_t i = 0; i < count; ++i) Send(text);
    Complete();
  }

  void SendOne(std::string_view text) override {
    CheckNats(js_Publish(nullptr, js_.get(), kSubject, text.data(),
                         static_cast<int>(text.size()), nullptr, nullptr),
              "publish");
  }

  // With an ordered consumer, which is pushed to without acknowledgements.
  void Replay(std::uint64_t count, OnText on_text) override {
    Reading reading = {.left = count, .on_text = std::move(on_text)};
    jsSubOptions options;
    CheckNats(jsSubOptions_Init(&options), "options");
    options.Ordered = true;
    natsSubscription* subscription = nullptr;
    CheckNats(
        js_Subscribe(&subscription, js_.get(), kSubject, &Reading::OnMessage,
                     &reading, nullptr, &options, nullptr),
        "subscribe");
    const NatsPtr<natsSubscription> owner(subscription);
    CheckNats(natsSubscription_SetPendingLimits(subscription, -1, -1),
              "pending limits");
    reading.done.WaitForNotification();
    CheckNats(natsSubscription_Unsubscribe(subscription), "unsubscribe");
  }

 private:
  struct Reading {
    std::uint64_t left;
    OnText on_text;
    absl::Notification done;

    static void OnMessage(natsConnection* /*connection*/,
                          natsSubscription* /*subscription*/, natsMsg* message,
                          void* closure) {
      auto* const self = static_cast<Reading*>(closure);
      if (self->left > 0) {
        self->on_text(0, TextOf(message), true);
        if (--self->left == 0) self->done.Notify();
      }
      natsMsg_Destroy(message);
    }
  };

  static void OnPublishError(jsCtx* /*js*/, jsPubAckErr* /*error*/,
                             void* closure) {
    static_cast<NatsStore*>(closure)->failed_ = true;
  }

  void Send(std::string_view text) {
    CheckNats(js_PublishAsync(js_.get(), kSubject, text.data(),
                              static_cast<int>(text.size()), nullptr),
              "publish");
  }

  void Complete() {
    jsPubOptions options;
    CheckNats(jsPubOptions_Init(&options), "options");
    options.MaxWait = kPatienceMs;
    CheckNats(js_PublishAsyncComplete(js_.get(), &options), "complete");
    if (failed_) throw std::runtime_error("nats: a publish was refused");
  }

  std::atomic<bool> failed_{false};
  NatsPtr<natsConnection> connection_;
  NatsPtr<jsCtx> js_;
};

}  // namespace

std::unique_ptr<LivePeer> MakeNatsLive(const Endpoint& server,
                                       const NatsLiveOptions& options) {
  return std::make_unique<NatsLive>(server, options);
}

std::unique_ptr<StorePeer> MakeNatsStore(const Endpoint& server,
                                         bool in_memory) {
  return std::make_unique<NatsStore>(server, in_memory);
}

}  // namespace messenger::bench
