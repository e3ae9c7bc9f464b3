#include "apps/gateway/credential.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

#include "apps/gateway/origin_guard.h"
#include "messenger/error.h"

namespace messenger::app {
namespace {

constexpr std::size_t kMostTokenBytes = 4096;
constexpr std::chrono::seconds kKeptFor = std::chrono::hours(7 * 24);

// With the prefix, the browser takes it from nobody else, such as a page of
// another host of the same site; it does so over TLS only, if it is Secure and
// has the Path "/".
constexpr std::string_view kHostCookie = "__Host-messenger_token";
constexpr std::string_view kPlainCookie = "messenger_token";

// Whether the browser speaks TLS: to the gateway, or to a proxy before it.
bool IsOfEncryptedPage(const Request& request) {
  const auto origin = FindHeader(request.headers, "Origin");
  return request.peer.is_encrypted || (origin && origin->starts_with("https:"));
}

Header SetCookie(std::string_view name, std::string_view value,
                 std::chrono::seconds max_age, std::string_view more) {
  return {.name = "Set-Cookie",
          .value = fmt::format(
              "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}", name,
              value, max_age.count(), more)};
}

constexpr std::string_view kSecure = "; Secure";

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// "a=1; b=2"
std::optional<std::string_view> FindCookie(const Headers& headers,
                                           std::string_view name) {
  for (std::string_view list : FindHeaders(headers, "Cookie")) {
    while (!list.empty()) {
      const std::size_t end = std::min(list.find(';'), list.size());
      const std::string_view one = Trimmed(list.substr(0, end));
      list.remove_prefix(std::min(end + 1, list.size()));
      const std::size_t equals = std::min(one.find('='), one.size());
      if (equals < one.size() && one.substr(0, equals) == name) {
        return one.substr(equals + 1);
      }
    }
  }
  return std::nullopt;
}

// A token of RFC 9110: "Basic", "Digest".
bool IsScheme(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z') || kMarks.find(c) != std::string_view::npos;
  });
}

Problem NoToken(std::string detail) {
  return {.status = 401,
          .detail = std::move(detail),
          .more = {{"reason", reason::kTokenInvalid}}};
}

}  // namespace

// No blanks, nor what would end a cookie.
bool CanBeToken(std::string_view token) {
  return !token.empty() && token.size() <= kMostTokenBytes &&
         std::all_of(token.begin(), token.end(), [](char c) {
           return c > ' ' && c <= '~' && c != ';' && c != ',' && c != '"' &&
                  c != '\\';
         });
}

std::variant<Credential, Problem> CredentialOf(const Request& request) {
  auto found = CredentialOfHeader(request);
  const auto* const header = std::get_if<Credential>(&found);
  const bool is_none = header != nullptr && header->token.empty();
  return is_none ? CredentialOfCookie(request) : found;
}

// https://www.rfc-editor.org/rfc/rfc9110#name-authorization
std::variant<Credential, Problem> CredentialOfHeader(const Request& request) {
  const auto headers = FindHeaders(request.headers, "Authorization");
  if (headers.empty()) return Credential{};
  constexpr std::string_view kScheme = "Bearer";
  const std::string_view header = headers.front();
  const std::string_view scheme = header.substr(0, header.find(' '));
  const std::string_view rest = Trimmed(header.substr(scheme.size()));
  const bool is_one = headers.size() == 1;
  if (is_one && EqualsIgnoringCase(scheme, kScheme) && CanBeToken(rest)) {
    return Credential{.token = std::string(rest)};
  }
  if (is_one && !EqualsIgnoringCase(scheme, kScheme) && IsScheme(scheme) &&
      !rest.empty()) {
    return Credential{};
  }
  return NoToken(
      "Authorization: must be \"Bearer TOKEN\", once, with a blank between "
      "the two");
}

std::variant<Credential, Problem> CredentialOfCookie(const Request& request) {
  if (!IsOfOwnPage(request)) return Credential{};
  auto cookie = FindCookie(request.headers, kHostCookie);
  if ((!cookie || cookie->empty()) && !IsOfEncryptedPage(request)) {
    cookie = FindCookie(request.headers, kPlainCookie);
  }
  if (!cookie || cookie->empty()) return Credential{};
  if (!CanBeToken(*cookie)) return NoToken("the cookie has no token");
  return Credential{.token = std::string(*cookie), .is_cookie = true};
}

Header KeepToken(const Request& request, std::string_view token) {
  return IsOfEncryptedPage(request)
             ? SetCookie(kHostCookie, token, kKeptFor, kSecure)
             : SetCookie(kPlainCookie, token, kKeptFor, "");
}

// Over plain HTTP, browsers take no Secure ones, nor have any to forget.
Headers ForgetToken(const Request& request) {
  constexpr std::chrono::seconds kNoTime(0);
  return {SetCookie(kHostCookie, {}, kNoTime, kSecure),
          SetCookie(kPlainCookie, {}, kNoTime,
                    IsOfEncryptedPage(request) ? kSecure : "")};
}

}  // namespace messenger::app
