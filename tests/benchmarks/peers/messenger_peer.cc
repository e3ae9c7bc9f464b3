// libmessenger through its public client.
#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "messenger/client.h"
#include "peers/peer.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr const char* kChannel = "bench";

class MessengerLive final : public LivePeer {
 public:
  explicit MessengerLive(const RunOptions& run)
      : options_(ClientOptionsFor(run.server)),
        author_(run.author),
        sender_(Client::Connect(options_)) {}

  void Subscribe(std::size_t readers, std::size_t connections,
                 OnText on_text) override {
    on_text_ = std::move(on_text);
    for (std::size_t i = 0; i < std::min(readers, connections); ++i) {
      clients_.push_back(Client::Connect(options_));
    }
    absl::BlockingCounter joined(static_cast<int>(readers));
    for (std::size_t i = 0; i < readers; ++i) {
      subscriptions_.push_back(clients_[i % clients_.size()].Read(
          {.channel = kChannel, .start = Start::NewOnly()},
          {.on_joined = [&](const Joined&) { joined.DecrementCount(); },
           .on_message =
               [this, i](const Message& message) {
                 on_text_(i, message.text, message.last_of_frame);
               }}));
    }
    joined.Wait();
  }

  void Publish(std::string_view text) override {
    sender_.SendAsync({.channel = kChannel, .author = author_, .text = text});
  }
  void Flush() override { Check(sender_.Flush(), "send"); }

 private:
  const ClientOptions options_;
  const std::string author_;
  OnText on_text_;
  Client sender_;
  std::vector<Client> clients_;
  std::vector<Subscription> subscriptions_;  // first to go
};

class MessengerStore final : public StorePeer {
 public:
  explicit MessengerStore(const RunOptions& run)
      : author_(run.author),
        client_(Client::Connect(ClientOptionsFor(run.server))) {}

  std::uint64_t SendFor(double seconds, std::string_view text) override {
    const Clock::time_point end = Clock::now() + ToDuration(seconds);
    std::uint64_t sent = 0;
    while (Clock::now() < end) {
      for (int i = 0; i < 64; ++i, ++sent) Send(text);
    }
    Check(client_.Flush(), "send");
    return sent;
  }

  void SendCount(std::uint64_t count, std::string_view text) override {
    for (std::uint64_t i = 0; i < count; ++i) Send(text);
    Check(client_.Flush(), "send");
  }

  void SendOne(std::string_view text) override {
    Check(client_.Send({.channel = kChannel, .author = author_, .text = text})
              .status(),
          "send");
  }

  void Replay(std::uint64_t count, OnText on_text) override {
    const Subscription subscription = client_.Read(
        {.channel = kChannel, .start = Start::Earliest(), .limit = count},
        {.on_message = [&](const Message& message) {
          on_text(0, message.text, message.last_of_frame);
        }});
    Check(subscription.Wait(), "replay");
  }

 private:
  void Send(std::string_view text) {
    client_.SendAsync({.channel = kChannel, .author = author_, .text = text});
  }

  const std::string author_;
  Client client_;
};

}  // namespace

std::unique_ptr<LivePeer> MakeMessengerLive(const RunOptions& run) {
  return std::make_unique<MessengerLive>(run);
}

std::unique_ptr<StorePeer> MakeMessengerStore(const RunOptions& run) {
  return std::make_unique<MessengerStore>(run);
}

}  // namespace messenger::bench
