#include "apps/gateway/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace messenger::app {
namespace {

// The byte that two hexadecimal digits stand for.
std::optional<unsigned char> ParseByte(std::string_view digits) {
  unsigned char byte = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, byte, 16);
  if (digits.size() != 2 || error != std::errc() || rest != end) {
    return std::nullopt;
  }
  return byte;
}

absl::StatusOr<std::string> Decode(std::string_view text, bool is_query) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && is_query) {
      decoded.push_back(' ');
    } else if (text[i] != '%') {
      decoded.push_back(text[i]);
    } else {
      const auto byte = ParseByte(text.substr(i + 1, 2));
      if (!byte) {
        return absl::InvalidArgumentError(fmt::format(
            "the URL has a '%' without two hexadecimal digits after it: '{}'",
            text));
      }
      decoded.push_back(static_cast<char>(*byte));
      i += 2;
    }
  }
  return decoded;
}

absl::Status ParsePath(std::string_view path, Target* target) {
  target->path = path;
  path.remove_prefix(1);
  while (true) {
    const std::size_t end = path.find('/');
    auto segment = Decode(path.substr(0, end), /*is_query=*/false);
    if (!segment.ok()) return segment.status();
    target->segments.push_back(*std::move(segment));
    if (end == std::string_view::npos) return absl::OkStatus();
    path.remove_prefix(end + 1);
  }
}

absl::Status ParseQuery(std::string_view query, Target* target) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (field.empty()) continue;
    const std::size_t equals = std::min(field.find('='), field.size());
    auto name = Decode(field.substr(0, equals), /*is_query=*/true);
    if (!name.ok()) return name.status();
    auto value = Decode(field.substr(std::min(equals + 1, field.size())), true);
    if (!value.ok()) return value.status();
    target->query.emplace_back(*std::move(name), *std::move(value));
  }
  return absl::OkStatus();
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(absl::string_view(a.data(), a.size()),
                                absl::string_view(b.data(), b.size()));
}

std::vector<std::string_view> FindHeaders(const Headers& headers,
                                          std::string_view name) {
  std::vector<std::string_view> values;
  for (const Header& header : headers) {
    if (EqualsIgnoringCase(header.name, name)) values.push_back(header.value);
  }
  return values;
}

std::optional<std::string_view> FindHeader(const Headers& headers,
                                           std::string_view name) {
  for (const Header& header : headers) {
    if (EqualsIgnoringCase(header.name, name)) return header.value;
  }
  return std::nullopt;
}

absl::StatusOr<Target> ParseRequestTarget(std::string_view text) {
  const std::string_view whole = text;
  // A proxy's form. Whose URL it is, the Host says, too.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    text.remove_prefix(std::min(text.find('/', scheme.size()), text.size()));
    if (text.empty()) text = "/";
    break;
  }
  if (!text.starts_with('/')) {
    return absl::InvalidArgumentError(fmt::format(
        "the target of the request, '{}', must begin with '/'", whole));
  }
  text = text.substr(0, text.find('#'));
  Target target;
  const std::size_t end = std::min(text.find('?'), text.size());
  if (absl::Status status = ParsePath(text.substr(0, end), &target);
      !status.ok()) {
    return status;
  }
  const std::string_view query = text.substr(std::min(end + 1, text.size()));
  if (absl::Status status = ParseQuery(query, &target); !status.ok()) {
    return status;
  }
  return target;
}

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 431:
      return "Request Header Fields Too Large";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

absl::Status CheckFraming(const Headers& headers, bool is_http_1_0) {
  const auto lengths = FindHeaders(headers, "Content-Length");
  const auto codings = FindHeaders(headers, "Transfer-Encoding");
  const auto hosts = FindHeaders(headers, "Host");
  if (lengths.size() > 1) {
    return absl::InvalidArgumentError(
        fmt::format("Content-Length: {} of them, at most 1", lengths.size()));
  }
  if (!lengths.empty() && lengths.front().find_first_not_of("0123456789") !=
                              std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("Content-Length: '{}' is no number", lengths.front()));
  }
  if (!codings.empty() && !lengths.empty()) {
    return absl::InvalidArgumentError(
        "Transfer-Encoding and Content-Length: only one of them");
  }
  if (codings.size() > 1 || (!codings.empty() && is_http_1_0) ||
      (!codings.empty() && !EqualsIgnoringCase(codings.front(), "chunked"))) {
    return absl::InvalidArgumentError(fmt::format(
        "Transfer-Encoding: '{}'; it may only be 'chunked', once, in HTTP/1.1",
        fmt::join(codings, ", ")));
  }
  if (hosts.size() > 1 || (hosts.empty() && !is_http_1_0)) {
    return absl::InvalidArgumentError(
        fmt::format("Host: {} of them, exactly 1", hosts.size()));
  }
  return absl::OkStatus();
}

}  // namespace messenger::app
