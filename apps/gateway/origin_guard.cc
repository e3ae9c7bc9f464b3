#include "apps/gateway/origin_guard.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "messenger/address.h"

namespace messenger::app {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

struct HostAndPort {
  std::string_view host;  // an IPv6 address with its brackets
  std::string_view port;  // empty if there is none
};

HostAndPort Split(std::string_view text) {
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos ||
      (bracket != std::string_view::npos && colon < bracket)) {
    return {.host = text, .port = {}};
  }
  return {.host = text.substr(0, colon), .port = text.substr(colon + 1)};
}

bool IsAddress(std::string_view host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  if (host.starts_with('[') && host.ends_with(']')) {
    const std::string address(host.substr(1, host.size() - 2));
    return inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1;
  }
  return inet_pton(AF_INET, std::string(host).c_str(), bytes.data()) == 1;
}

// Whether the page's origin is the gateway as the request calls it. Behind a
// proxy that speaks TLS, the page is https and the request is not.
bool IsSameOrigin(std::string_view origin, std::string_view host) {
  std::string_view default_port = "80";
  if (origin.starts_with(kHttp)) {
    origin.remove_prefix(kHttp.size());
  } else if (origin.starts_with(kHttps)) {
    origin.remove_prefix(kHttps.size());
    default_port = "443";
  } else {
    return false;
  }
  const auto [origin_host, origin_port] = Split(origin);
  const auto [called_host, called_port] = Split(host);
  const auto port_of = [default_port](std::string_view port) {
    return port.empty() ? default_port : port;
  };
  return EqualsIgnoringCase(origin_host, called_host) &&
         port_of(origin_port) == port_of(called_port);
}

// Whether a browser opens the chat page in a tab of its own: then the page that
// has the link learns nothing of it. A frame is another destination.
bool IsVisit(const Request& request) {
  const auto is = [&request](std::string_view name, std::string_view value) {
    return FindHeader(request.headers, name) == value;
  };
  return request.method == "GET" && request.target.path == "/" &&
         is("Sec-Fetch-Mode", "navigate") && is("Sec-Fetch-Dest", "document");
}

}  // namespace

OriginGuard::OriginGuard(std::vector<std::string> hosts,
                         std::vector<std::string> origins)
    : hosts_(std::move(hosts)), origins_(std::move(origins)) {}

// A page that has its own name lead here (DNS rebinding) is called by that
// name; an address is nobody's name.
bool OriginGuard::IsAllowedHost(std::string_view host) const {
  std::string_view name = Split(host).host;
  if (name.ends_with('.')) name.remove_suffix(1);
  return EqualsIgnoringCase(name, "localhost") || IsAddress(name) ||
         std::any_of(hosts_.begin(), hosts_.end(),
                     [name](const std::string& allowed) {
                       return EqualsIgnoringCase(name, allowed);
                     });
}

bool OriginGuard::IsAllowedOrigin(std::string_view origin) const {
  return std::any_of(origins_.begin(), origins_.end(),
                     [origin](const std::string& allowed) {
                       return EqualsIgnoringCase(origin, allowed);
                     });
}

std::optional<Problem> OriginGuard::Check(const Request& request) const {
  const Headers& headers = request.headers;
  const std::string_view host = FindHeader(headers, "Host").value_or("");
  if (!host.empty() && !IsAllowedHost(host)) {
    return Problem{
        .status = 421,
        .detail =
            "this gateway is not known by that name; --allow-host lets "
            "it be called so",
        .field = "Host",
        .value = std::string(host)};
  }
  const auto origins = FindHeaders(headers, "Origin");
  for (const std::string_view origin : origins) {
    if (!IsAllowedOrigin(origin) && !IsSameOrigin(origin, host)) {
      return Problem{.status = 403,
                     .detail =
                         "pages of another origin may not use this "
                         "gateway; --cors-origin lets them",
                     .field = "Origin",
                     .value = std::string(origin)};
    }
  }
  // Of a browser that sends no Origin with it, as for an image or a script.
  const auto site = FindHeader(headers, "Sec-Fetch-Site");
  if (origins.empty() && site && *site != "same-origin" && *site != "none" &&
      !IsVisit(request)) {
    return Problem{.status = 403,
                   .detail = "pages of another site may not use this gateway",
                   .field = "Sec-Fetch-Site",
                   .value = std::string(*site)};
  }
  return std::nullopt;
}

Headers OriginGuard::CorsHeaders(const Headers& request) const {
  if (origins_.empty()) return {};
  Headers headers = {{.name = "Vary", .value = "Origin"}};
  const auto origin = FindHeader(request, "Origin");
  if (!origin || !IsAllowedOrigin(*origin)) return headers;
  headers.push_back(
      {.name = "Access-Control-Allow-Origin", .value = std::string(*origin)});
  headers.push_back({.name = "Access-Control-Expose-Headers",
                     .value = "Allow, Retry-After, Messenger-Dropped, "
                              "WWW-Authenticate"});
  if (FindHeader(request, "Access-Control-Request-Method")) {
    headers.push_back({.name = "Access-Control-Allow-Methods",
                       .value = "GET, HEAD, POST, DELETE"});
    headers.push_back({.name = "Access-Control-Allow-Headers",
                       .value = "Authorization, Content-Type, Idempotency-Key, "
                                "Last-Event-ID"});
    headers.push_back({.name = "Access-Control-Max-Age", .value = "600"});
  }
  return headers;
}

bool IsOfOwnPage(const Request& request) {
  const auto host = FindHeader(request.headers, "Host").value_or("");
  const auto origins = FindHeaders(request.headers, "Origin");
  const auto site = FindHeader(request.headers, "Sec-Fetch-Site");
  return std::all_of(origins.begin(), origins.end(),
                     [host](std::string_view origin) {
                       return IsSameOrigin(origin, host);
                     }) &&
         (!site || *site == "same-origin" || *site == "none");
}

std::string CheckOriginOption(const std::string& origin) {
  std::string_view rest = origin;
  if (rest.starts_with(kHttp)) {
    rest.remove_prefix(kHttp.size());
  } else if (rest.starts_with(kHttps)) {
    rest.remove_prefix(kHttps.size());
  } else {
    rest = {};
  }
  if (!rest.empty() && rest.find_first_of("/?#* ") == std::string_view::npos) {
    return {};
  }
  return fmt::format(
      "'{}' is no origin; use, for example, https://chat.example or "
      "http://localhost:3000",
      origin);
}

std::string CheckHostOption(const std::string& host) {
  const auto parsed = ParseAddress(host + ":1");
  if (parsed.ok()) return {};
  return fmt::format(
      "'{}' is no name of a host; use, for example, "
      "chat.example, without a port",
      host);
}

}  // namespace messenger::app
