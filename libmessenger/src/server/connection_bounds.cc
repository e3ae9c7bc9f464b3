#include "server/connection_bounds.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace messenger {
namespace {

constexpr std::array<std::uint8_t, 12> kIpv4Prefix = {0, 0, 0, 0, 0,    0,
                                                      0, 0, 0, 0, 0xFF, 0xFF};
constexpr std::size_t kNetworkBytes = 8;  // of an IPv6 address

bool IsIpv4(const std::array<std::uint8_t, 16>& bytes) {
  return std::equal(kIpv4Prefix.begin(), kIpv4Prefix.end(), bytes.begin());
}

}  // namespace

std::string PeerNetwork::Text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (IsIpv4(bytes)) {
    inet_ntop(AF_INET, bytes.data() + kIpv4Prefix.size(), text.data(),
              text.size());
    return text.data();
  }
  inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  return fmt::format("{}/{}", text.data(), 8 * kNetworkBytes);
}

std::optional<PeerNetwork> NetworkOf(const sockaddr_storage& address) {
  PeerNetwork network;
  auto& bytes = network.bytes;
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    std::copy(kIpv4Prefix.begin(), kIpv4Prefix.end(), bytes.begin());
    std::memcpy(bytes.data() + kIpv4Prefix.size(), &ipv4.sin_addr,
                sizeof ipv4.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_LOOPBACK(&ipv6.sin6_addr)) return std::nullopt;
    std::memcpy(bytes.data(), &ipv6.sin6_addr, bytes.size());
  } else {
    return std::nullopt;
  }
  if (!IsIpv4(bytes)) {
    std::fill(bytes.begin() + kNetworkBytes, bytes.end(), std::uint8_t{0});
  } else if (bytes[kIpv4Prefix.size()] == IN_LOOPBACKNET) {
    return std::nullopt;
  }
  return network;
}

std::size_t DefaultMaxConnections(std::size_t descriptors) {
  constexpr std::size_t kOthers = 256;
  const std::size_t for_connections =
      std::max(descriptors - std::min(descriptors, kOthers), descriptors / 2);
  return std::max<std::size_t>(for_connections / 2, 1);
}

std::optional<Refusal> ConnectionBounds::Add(const Network& network) {
  if (total_ >= max_total_) return Refusal::kTooMany;
  if (network) {
    const auto it = networks_.find(*network);
    if (it == networks_.end()) {
      networks_.emplace(*network, 1);
    } else if (it->second >= max_for_each_) {
      return Refusal::kTooManyFromNetwork;
    } else {
      ++it->second;
    }
  }
  ++total_;
  return std::nullopt;
}

void ConnectionBounds::Remove(const Network& network) {
  --total_;
  if (!network) return;
  const auto it = networks_.find(*network);
  if (--it->second == 0) networks_.erase(it);
}

void RefusalNotices::Add(Refusal refusal,
                         const ConnectionBounds::Network& network,
                         TimePoint now) {
  ++refused_.at(static_cast<std::size_t>(refusal));
  if (refusal == Refusal::kTooManyFromNetwork) last_ = network;
  if (due_ != TimePoint::max()) return;
  due_ = now + kFirstAfter;
  if (last_notice_) due_ = std::max(due_, *last_notice_ + kInterval);
}

std::string RefusalNotices::Take(const ConnectionBounds& bounds,
                                 TimePoint now) {
  if (now < due_) return {};
  const auto count = [this](Refusal refusal) {
    return refused_.at(static_cast<std::size_t>(refusal));
  };
  std::string reasons;
  const auto add = [&reasons](const std::string& reason) {
    reasons += reasons.empty() ? ": " : "; ";
    reasons += reason;
  };
  if (const auto n = count(Refusal::kTooMany); n > 0) {
    add(fmt::format("{} beyond max_connections ({})", n, bounds.max_total()));
  }
  if (const auto n = count(Refusal::kTooManyFromNetwork); n > 0) {
    add(
        fmt::format("{} beyond max_connections_per_address ({}), the last one "
                    "from {}",
                    n, bounds.max_for_each(),
                    last_ ? last_->Text() : std::string("this machine")));
  }
  if (const auto n = count(Refusal::kNoDescriptor); n > 0) {
    add(fmt::format("{} since there are no file descriptors left", n));
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t n : refused_) sum += n;
  refused_ = {};
  last_.reset();
  due_ = TimePoint::max();
  last_notice_ = now;
  return fmt::format("refused {} connection{}{}", sum, sum == 1 ? "" : "s",
                     reasons);
}

}  // namespace messenger
