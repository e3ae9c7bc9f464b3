#include "network.h"

#include <fmt/format.h>

#include <stdexcept>

namespace messenger::test::chaos {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::FaultProxy;
using testing::NetworkFaults;

// A heartbeat that stays out is noticed after some two seconds: some stalls are
// over before that, others are not.
constexpr milliseconds kShortStall{100};
constexpr milliseconds kLongStall{4000};

// Where nobody listens: before the first server.
constexpr std::string_view kNowhere = "127.0.0.1:1";

}  // namespace

std::string_view Network::NameOf(Fault fault) {
  constexpr std::array<std::string_view, kFaults> kNames = {
      "connections reset",
      "connections ended",
      "connections reset, and refused for a while",
      "stalls in both directions",
      "stalls to the server",
      "stalls to the clients",
      "delays",
      "tiny fragments",
      "slow networks",
  };
  return kNames[static_cast<std::size_t>(fault)];
}

Network::Network(std::size_t proxies, std::uint64_t seed) : random_(seed) {
  for (std::size_t i = 0; i < proxies; ++i) {
    auto proxy = FaultProxy::Start(kNowhere);
    if (!proxy.ok()) throw std::runtime_error(proxy.status().ToString());
    (*proxy)->RemoveTarget();
    proxies_.push_back({.proxy = *std::move(proxy)});
  }
}

void Network::SetTarget(int port) {
  for (const Proxy& proxy : proxies_) {
    const absl::Status status =
        proxy.proxy->SetTarget(fmt::format("127.0.0.1:{}", port));
    if (!status.ok()) throw std::runtime_error(status.ToString());
  }
}

void Network::RemoveTarget() {
  for (const Proxy& proxy : proxies_) proxy.proxy->RemoveTarget();
}

const std::string& Network::address(std::size_t client) const {
  return proxies_[client % proxies_.size()].proxy->address();
}

void Network::SetFor(Proxy* proxy, const NetworkFaults& faults,
                     milliseconds least, milliseconds most) {
  proxy->proxy->Set(faults);
  proxy->until = Clock::now() + milliseconds(random_.Between(
                                    static_cast<std::uint64_t>(least.count()),
                                    static_cast<std::uint64_t>(most.count())));
}

void Network::Disturb() {
  Proxy* const proxy = &proxies_[random_.Between(0, proxies_.size() - 1)];
  const auto fault = static_cast<Fault>(random_.Between(0, kFaults - 1));
  ++counts_[static_cast<std::size_t>(fault)];
  switch (fault) {
    case Fault::kReset:
      return proxy->proxy->ResetConnections();
    case Fault::kClose:
      return proxy->proxy->CloseConnections();
    case Fault::kRefuse:
      SetFor(proxy, {.refuse_connections = true}, milliseconds(50),
             milliseconds(1000));
      return proxy->proxy->ResetConnections();
    case Fault::kHalfOpen:
      return SetFor(proxy, {.stall_to_server = true, .stall_to_client = true},
                    kShortStall, kLongStall);
    case Fault::kStallToServer:
      return SetFor(proxy, {.stall_to_server = true}, kShortStall, kLongStall);
    case Fault::kStallToClient:
      return SetFor(proxy, {.stall_to_client = true}, kShortStall, kLongStall);
    case Fault::kDelay:
      return SetFor(proxy,
                    {.delay = microseconds(random_.Between(100, 50'000))},
                    milliseconds(500), milliseconds(2000));
    case Fault::kFragments:
      return SetFor(proxy, {.max_fragment_bytes = random_.Between(1, 64)},
                    milliseconds(300), milliseconds(1000));
    case Fault::kSlow:
      return SetFor(proxy,
                    {.bytes_per_second = random_.Between(50'000, 500'000)},
                    milliseconds(500), milliseconds(2000));
    case Fault::kCount:
      break;
  }
}

void Network::Calm() {
  const Clock::time_point now = Clock::now();
  for (Proxy& proxy : proxies_) {
    if (proxy.until > now) continue;
    proxy.proxy->Set({});
    proxy.until = Clock::time_point::max();
  }
}

void Network::Heal() {
  for (Proxy& proxy : proxies_) {
    proxy.proxy->Set({});
    proxy.until = Clock::time_point::max();
  }
}

std::uint64_t Network::connections() const {
  std::uint64_t all = 0;
  for (const Proxy& proxy : proxies_) {
    all += proxy.proxy->counters().connections;
  }
  return all;
}

std::uint64_t Network::bytes() const {
  std::uint64_t all = 0;
  for (const Proxy& proxy : proxies_) {
    const FaultProxy::Counters counters = proxy.proxy->counters();
    all += counters.bytes_to_server + counters.bytes_to_client;
  }
  return all;
}

}  // namespace messenger::test::chaos
