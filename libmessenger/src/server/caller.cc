#include "server/caller.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grpc/grpc_security_constants.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace messenger {
namespace {

std::string_view View(const grpc::string_ref& text) {
  return {text.data(), text.size()};
}

// What stands between `prefix` and the port; gRPC writes an IPv6 address as in
// a URI: "ipv6:%5B::1%5D:4711".
std::string HostOf(std::string_view peer, std::string_view prefix) {
  std::string host(peer.substr(prefix.size()));
  host.erase(std::min(host.rfind(':'), host.size()));
  constexpr std::string_view kOpening = "%5B";
  constexpr std::string_view kClosing = "%5D";
  if (host.starts_with(kOpening) && host.ends_with(kClosing)) {
    host = host.substr(kOpening.size(),
                       host.size() - kOpening.size() - kClosing.size());
  } else if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

constexpr std::string_view kIpv4 = "ipv4:";
constexpr std::string_view kIpv6 = "ipv6:";

// What follows "Bearer", in any case (RFC 6750, RFC 9110), be it a token or
// not; nothing if it is another scheme.
std::optional<std::string_view> BearerToken(std::string_view value) {
  constexpr std::string_view kScheme = "bearer";
  if (!absl::StartsWithIgnoreCase({value.data(), value.size()},
                                  {kScheme.data(), kScheme.size()})) {
    return std::nullopt;
  }
  value.remove_prefix(kScheme.size());
  if (!value.empty() &&
      absl::ascii_isalnum(static_cast<unsigned char>(value.front()))) {
    return std::nullopt;
  }
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

// The first name in a certificate that is one. gRPC has the same words for all
// alternative names of kinds that it does not know.
std::string IdentityIn(const grpc::AuthContext& auth) {
  for (const grpc::string_ref& name : auth.GetPeerIdentity()) {
    if (View(name) == "other types of SAN") continue;
    return CheckIdentity(View(name)).ok() ? std::string(View(name)) : "";
  }
  return {};
}

void AddToken(const grpc::ServerContextBase& context, Caller* caller) {
  const auto [begin, end] =
      context.client_metadata().equal_range("authorization");
  if (begin == end) return;
  const auto token = BearerToken(View(begin->second));
  // Of several, nobody can say which one counts.
  const bool is_one = std::next(begin) == end;
  caller->has_token = token || !is_one;
  if (is_one && token) caller->token = ParseToken(*token);
}

}  // namespace

Caller::Place WhereIs(std::string_view peer) {
  if (peer.starts_with("fd:")) return Caller::Place::kProcess;
  if (peer.starts_with("unix")) return Caller::Place::kMachine;
  if (peer.starts_with(kIpv4)) {
    return peer.substr(kIpv4.size()).starts_with("127.")
               ? Caller::Place::kMachine
               : Caller::Place::kNetwork;
  }
  if (peer.starts_with(kIpv6)) {
    const std::string host = HostOf(peer, kIpv6);
    return host == "::1" || host.starts_with("::ffff:127.")
               ? Caller::Place::kMachine
               : Caller::Place::kNetwork;
  }
  return Caller::Place::kNetwork;
}

std::string AddressOf(std::string_view peer) {
  for (const std::string_view prefix : {kIpv4, kIpv6}) {
    if (peer.starts_with(prefix)) return HostOf(peer, prefix);
  }
  return std::string(peer);
}

std::string PeerAt(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &ipv4.sin_addr, text.data(), text.size());
    return fmt::format("{}{}:{}", kIpv4, text.data(), ntohs(ipv4.sin_port));
  }
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
  inet_ntop(AF_INET6, &ipv6.sin6_addr, text.data(), text.size());
  return IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)
             ? fmt::format("{}{}:{}", kIpv4,
                           std::string_view(text.data()).substr(7),
                           ntohs(ipv6.sin6_port))
             : fmt::format("{}%5B{}%5D:{}", kIpv6, text.data(),
                           ntohs(ipv6.sin6_port));
}

Caller CallerOf(const grpc::ServerContextBase& context, std::string_view peer) {
  Caller caller = UnencryptedCaller(peer);
  AddToken(context, &caller);
  if (const auto auth = context.auth_context()) {
    for (const grpc::string_ref& level : auth->FindPropertyValues(
             GRPC_TRANSPORT_SECURITY_LEVEL_PROPERTY_NAME)) {
      caller.encrypted = View(level) == "TSI_PRIVACY_AND_INTEGRITY";
    }
    // A token counts more.
    if (!caller.has_token) caller.certificate = IdentityIn(*auth);
  }
  return caller;
}

Caller UnencryptedCaller(std::string_view peer) {
  return {.place = WhereIs(peer), .address = AddressOf(peer)};
}

}  // namespace messenger
