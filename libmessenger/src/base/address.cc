#include "messenger/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "base/status.h"
#include "base/target.h"

namespace messenger {
namespace {

// Of a path of a Unix socket, and of a name of a host.
constexpr std::size_t kMaxPathSize = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::size_t kMaxNameSize = 253;

// What is wrong with a part of an address.
absl::Status Wrong(std::string_view why) {
  return absl::InvalidArgumentError(std::string(why));
}

// The same with the whole address before it.
absl::Status WrongAddress(std::string_view text, const absl::Status& why) {
  return absl::InvalidArgumentError(
      fmt::format("{:?}: {}", text, MessageOf(why)));
}

bool IsDigit(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c));
}

bool IsOfName(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == '-';
}

// Perhaps with a zone: fe80::1%eth0.
bool IsIpv6(std::string_view host) {
  const std::size_t percent = host.find('%');
  if (percent != std::string_view::npos) {
    const std::string_view zone = host.substr(percent + 1);
    if (zone.empty() || !std::all_of(zone.begin(), zone.end(), IsOfName)) {
      return false;
    }
  }
  in6_addr address{};
  return inet_pton(AF_INET6, std::string(host.substr(0, percent)).c_str(),
                   &address) == 1;
}

absl::Status CheckName(std::string_view host) {
  const auto* const bad = std::find_if_not(host.begin(), host.end(), IsOfName);
  if (bad != host.end()) {
    return Wrong(fmt::format(
        "the host has {:?} at byte {}; a name has A-Z a-z 0-9 . _ - alone",
        *bad, bad - host.begin()));
  }
  if (host.size() > kMaxNameSize) {
    return Wrong(fmt::format("the host has {} bytes; a name has at most {}",
                             host.size(), kMaxNameSize));
  }
  const bool is_numeric = std::all_of(
      host.begin(), host.end(), [](char c) { return IsDigit(c) || c == '.'; });
  in_addr address{};
  // The system would make an address of any number.
  if (is_numeric &&
      inet_pton(AF_INET, std::string(host).c_str(), &address) != 1) {
    return Wrong(fmt::format("the host {} is no IPv4 address", host));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::uint16_t> ParsePortFrom(std::string_view text,
                                            std::uint16_t least) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error == std::errc() && rest == end && port >= least) return port;
  return Wrong(
      fmt::format("the port {:?} is no number from {} to 65535", text, least));
}

// HOST:PORT, or HOST alone, taken apart.
struct Split {
  std::string_view host;
  std::optional<std::string_view> port;
};

absl::StatusOr<Split> SplitAddress(std::string_view text) {
  constexpr std::string_view kForm =
      "it is not HOST:PORT, such as localhost:51075 or [::1]:51075";
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return Wrong(kForm);
    const std::string_view host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) return Wrong(kForm);
    if (!IsIpv6(host)) {
      return Wrong(fmt::format("[{}] is no IPv6 address", host));
    }
    if (rest.empty()) return Split{.host = host, .port = std::nullopt};
    return Split{.host = host, .port = rest.substr(1)};
  }
  // A path, or a scheme that is not known here.
  if (text.empty() || text.find('/') != std::string_view::npos) {
    return Wrong(kForm);
  }
  const std::size_t colon = text.find(':');
  const std::string_view host = text.substr(0, colon);
  if (host.empty() && !text.starts_with("::")) return Wrong(kForm);
  if (colon == std::string_view::npos || text.rfind(':') == colon) {
    if (absl::Status s = CheckName(host); !s.ok()) return s;
    if (colon == std::string_view::npos) {
      return Split{.host = host, .port = std::nullopt};
    }
    return Split{.host = host, .port = text.substr(colon + 1)};
  }
  if (IsIpv6(text)) return Split{.host = text, .port = std::nullopt};
  return Wrong(
      "an IPv6 address with a port is in brackets, such as "
      "[::1]:51075");
}

// As a client takes it.
absl::StatusOr<Address> ParseRemote(std::string_view text) {
  const absl::StatusOr<Split> split = SplitAddress(text);
  if (!split.ok()) return split.status();
  Address address = {.host = std::string(split->host), .port = kDefaultPort};
  if (split->port) {
    const auto port = ParsePortFrom(*split->port, 1);
    if (!port.ok()) return port.status();
    address.port = *port;
  }
  return address;
}

// Of a target in the scheme of that name; in full.
using ParseInScheme = absl::StatusOr<std::string> (*)(std::string_view rest);

absl::StatusOr<std::string> ParseDns(std::string_view rest) {
  std::string_view name_server;
  if (rest.starts_with("//")) {
    const std::size_t slash = rest.find('/', 2);
    if (slash == std::string_view::npos) {
      return Wrong("it is not dns:///HOST:PORT");
    }
    name_server = rest.substr(0, slash + 1);
    rest.remove_prefix(slash + 1);
  }
  const absl::StatusOr<Address> address = ParseRemote(rest);
  if (!address.ok()) return address.status();
  return std::string(name_server) + address->ToString();
}

absl::StatusOr<std::string> ParseList(std::string_view rest) {
  std::string list;
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    const absl::StatusOr<Address> address = ParseRemote(rest.substr(0, comma));
    if (!address.ok()) return address.status();
    list += (list.empty() ? "" : ",") + address->ToString();
    more = comma != std::string_view::npos;
    if (more) rest.remove_prefix(comma + 1);
  }
  return list;
}

absl::StatusOr<std::string> ParsePath(std::string_view rest) {
  std::string_view path = rest;
  if (path.starts_with("//")) path.remove_prefix(2);
  if (path.empty()) return Wrong("the path is empty");
  if (path.size() > kMaxPathSize) {
    return Wrong(
        fmt::format("the path has {} bytes; a Unix socket's has at "
                    "most {}",
                    path.size(), kMaxPathSize));
  }
  return std::string(rest);
}

constexpr std::array<std::pair<std::string_view, ParseInScheme>, 5> kSchemes = {
    {
        {"dns:", ParseDns},
        {"ipv4:", ParseList},
        {"ipv6:", ParseList},
        {"unix:", ParsePath},
        {"unix-abstract:", ParsePath},
    }};

}  // namespace

std::string Address::ToString() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", host, port)
                 : fmt::format("{}:{}", host, port);
}

absl::StatusOr<std::uint16_t> ParsePort(std::string_view text) {
  return ParsePortFrom(text, 0);
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  const absl::StatusOr<Split> split = SplitAddress(text);
  if (!split.ok()) return WrongAddress(text, split.status());
  if (!split->port) {
    // Without brackets, it may have been meant to have one.
    const bool bare =
        !text.starts_with('[') && text.find(':') != std::string_view::npos;
    return WrongAddress(
        text, Wrong(bare ? "an IPv6 address is in brackets, such as [::1]:51075"
                         : "it is not HOST:PORT: the port is missing"));
  }
  const auto port = ParsePort(*split->port);
  if (!port.ok()) return WrongAddress(text, port.status());
  return Address{.host = std::string(split->host), .port = *port};
}

absl::StatusOr<std::string> ParseTarget(std::string_view target) {
  for (const auto& [scheme, parse] : kSchemes) {
    if (!target.starts_with(scheme)) continue;
    absl::StatusOr<std::string> rest = parse(target.substr(scheme.size()));
    if (!rest.ok()) return WrongAddress(target, rest.status());
    return std::string(scheme) + *rest;
  }
  const absl::StatusOr<Address> address = ParseRemote(target);
  if (!address.ok()) return WrongAddress(target, address.status());
  return address->ToString();
}

bool IsHostAndPort(std::string_view target) {
  return std::none_of(kSchemes.begin(), kSchemes.end(),
                      [target](const auto& scheme) {
                        return target.starts_with(scheme.first);
                      });
}

std::vector<Address> AddressesOf(std::string_view target) {
  if (target.starts_with("unix")) {
    const std::string_view rest =
        target.substr(std::string_view("unix").size());
    if (rest.starts_with(':') || rest.starts_with("-abstract:")) return {};
  }
  for (const auto& [scheme, parse] : kSchemes) {
    if (target.starts_with(scheme)) target.remove_prefix(scheme.size());
  }
  // Of dns://SERVER/HOST:PORT.
  if (target.starts_with("//")) {
    target.remove_prefix(target.rfind('/') + 1);
  }
  std::vector<Address> addresses;
  for (bool more = true; more;) {
    const std::size_t comma = target.find(',');
    auto address = ParseAddress(target.substr(0, comma));
    if (address.ok()) addresses.push_back(*std::move(address));
    more = comma != std::string_view::npos;
    if (more) target.remove_prefix(comma + 1);
  }
  return addresses;
}

std::vector<std::string> HostsOf(std::string_view target) {
  std::vector<std::string> hosts;
  for (Address& address : AddressesOf(target)) {
    hosts.push_back(std::move(address.host));
  }
  return hosts;
}

bool IsOfThisMachine(std::string_view target) {
  if (target.starts_with("dns://") && !target.starts_with("dns:///")) {
    return false;
  }
  return std::ranges::all_of(HostsOf(target), [](const std::string& host) {
    return host == "localhost" || host == "::1" ||
           (host.starts_with("127.") &&
            host.find_first_not_of("0123456789.") == std::string::npos);
  });
}

std::string TargetUri(std::string_view target) {
  std::string uri = IsHostAndPort(target) ? "dns:///" : "";
  for (const char c : target) {
    if (IsOfName(c) || c == '/' || c == ':' || c == ',') {
      uri += c;
    } else {
      fmt::format_to(std::back_inserter(uri), "%{:02X}",
                     static_cast<unsigned char>(c));
    }
  }
  return uri;
}

}  // namespace messenger
