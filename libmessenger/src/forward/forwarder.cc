#include "messenger/forwarder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/bounds.h"
#include "base/cond_var.h"
#include "base/forked.h"
#include "base/status.h"
#include "base/utf8.h"
#include "forward/lane.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

absl::Status CheckForwarderName(std::string_view name) {
  if (!ForwarderOptions::kNameSize.Contain(name.size())) {
    return OutOfBounds("name", name.size(), ForwarderOptions::kNameSize,
                       " bytes");
  }
  if (name.find('/') != std::string_view::npos) {
    return absl::InvalidArgumentError("name: has a \"/\"");
  }
  if (!IsValidUtf8(name)) {
    return absl::InvalidArgumentError("name: not valid UTF-8");
  }
  return absl::OkStatus();
}

// Names the channels that have been left empty.
absl::Status CheckChannels(std::vector<ForwardedChannel>* channels) {
  if (channels->empty()) {
    return absl::InvalidArgumentError("channels: none; at least one is needed");
  }
  std::set<std::string> from;
  std::set<std::string> to;
  for (ForwardedChannel& channel : *channels) {
    for (std::string* const name : {&channel.from, &channel.to}) {
      const auto resolved = wire::ResolveChannelName(*name);
      if (!resolved.ok()) return resolved.status();
      *name = std::string(*resolved);
    }
    if (!from.insert(channel.from).second) {
      return absl::InvalidArgumentError(
          fmt::format("channels: \"{}\" is forwarded twice", channel.from));
    }
    if (!to.insert(channel.to).second) {
      return absl::InvalidArgumentError(
          fmt::format("channels: two are forwarded to \"{}\"", channel.to));
    }
  }
  return absl::OkStatus();
}

// What is wrong with the options of the source or the destination.
absl::Status CheckClient(std::string_view which, const Client& client) {
  absl::Status status = client.status();
  if (status.ok()) return status;
  return WithMessage(status, fmt::format("{}.{}", which, MessageOf(status)));
}

}  // namespace

class Forwarder::Impl {
 public:
  Impl(ForwarderOptions options, Client source, Client destination)
      : options_(std::move(options)),
        source_(std::move(source)),
        destination_(std::move(destination)) {
    for (const ForwardedChannel& channel : options_.channels) {
      lanes_.push_back(
          std::make_unique<Lane>(source_, destination_, options_, channel));
    }
    absl::MutexLock lock(&mu_);
    running_ = lanes_.size();
    for (const auto& lane : lanes_) {
      threads_.emplace_back([this, &lane = *lane] { OnEnd(lane.Run()); });
    }
  }

  ~Impl() {
    Stop();
    for (std::thread& thread : threads_) thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Stop() {
    for (const auto& lane : lanes_) lane->Stop();
  }

  bool AwaitEnd(std::optional<std::chrono::milliseconds> timeout)
      ABSL_LOCKS_EXCLUDED(mu_) {
    const auto deadline =
        timeout ? CondVar::After(*timeout) : CondVar::Clock::time_point::max();
    absl::MutexLock lock(&mu_);
    while (running_ > 0) {
      if (!ended_.WaitUntil(&mu_, deadline)) return running_ == 0;
    }
    return true;
  }

  absl::Status status() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return running_ == 0 ? status_ : absl::UnknownError("it runs");
  }

  std::vector<ForwardProgress> Progress() const {
    std::vector<ForwardProgress> progress;
    progress.reserve(lanes_.size());
    for (const auto& lane : lanes_) progress.push_back(lane->Progress());
    return progress;
  }

 private:
  void OnEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_) {
    if (!status.ok()) Stop();
    absl::MutexLock lock(&mu_);
    if (status_.ok()) status_ = status;
    --running_;
    ended_.SignalAll();
  }

  const ForwarderOptions options_;
  const Client source_;
  const Client destination_;
  std::vector<std::unique_ptr<Lane>> lanes_;

  absl::Mutex mu_;
  CondVar ended_;
  std::size_t running_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_;
};

absl::StatusOr<std::unique_ptr<Forwarder>> Forwarder::Start(
    ForwarderOptions options) {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (absl::Status s = CheckForwarderName(options.name); !s.ok()) return s;
  if (absl::Status s = CheckChannels(&options.channels); !s.ok()) return s;
  options.destination.producer_name.clear();
  options.destination.when_full = WhenFull::kBlock;
  // The largest there can be: the destination knows what it takes.
  options.destination.max_message_bytes = ClientOptions::kMaxMessageBytes.most;
  Client source = Client::Connect(options.source);
  if (absl::Status s = CheckClient("source", source); !s.ok()) return s;
  Client destination = Client::Connect(options.destination);
  if (absl::Status s = CheckClient("destination", destination); !s.ok()) {
    return s;
  }
  return std::unique_ptr<Forwarder>(new Forwarder(std::shared_ptr<Impl>(
      new Impl(std::move(options), std::move(source), std::move(destination)),
      DeleteUnlessForked())));
}

Forwarder::Forwarder(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Forwarder::~Forwarder() = default;

void Forwarder::Stop() {
  if (InForkedChild()) return;
  impl_->Stop();
}

bool Forwarder::AwaitEnd(
    std::optional<std::chrono::milliseconds> timeout) const {
  return InForkedChild() || impl_->AwaitEnd(timeout);
}

absl::Status Forwarder::status() const {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  return impl_->status();
}

std::vector<ForwardProgress> Forwarder::Progress() const {
  if (InForkedChild()) return {};
  return impl_->Progress();
}

}  // namespace messenger
