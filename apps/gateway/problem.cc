#include "apps/gateway/problem.h"

#include <string_view>
#include <utility>

#include "messenger/error.h"

namespace messenger::app {
namespace {

int HttpStatusOf(const absl::Status& status, std::string_view why) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      // How the gateway reaches its server is nothing that its callers can
      // change.
      return why == reason::kProtected || why == reason::kEncryptionRequired
                 ? 502
                 : 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
      return 503;
    default:
      return 502;
  }
}

// Whether a token has come, and was refused.
bool IsOfToken(const Problem& problem) {
  const auto why = problem.more.find("reason");
  return why != problem.more.end() &&
         (*why == reason::kTokenInvalid || *why == reason::kTokenExpired);
}

// What the status says, but for what callers need not know of the server: the
// names in its certificate.
std::string DetailOf(const absl::Status& status, std::string_view why) {
  if (why == reason::kHandshakeFailed) {
    return "the gateway and its server do not agree on a connection; the "
           "gateway's log says why";
  }
  return std::string(status.message());
}

// Values may be as long as a message; an error shows where they begin.
Json Shortened(const Json& value) {
  constexpr std::size_t kMost = 200;
  const auto* const text = value.get_ptr<const std::string*>();
  if (text == nullptr || text->size() <= kMost) return value;
  return text->substr(0, kMost) + "…";
}

}  // namespace

Response JsonResponse(const Json& json, int status) {
  Response response{.status = status};
  AppendLine(json, &response.body);
  return response;
}

Response ToResponse(const Problem& problem) {
  Json json = {{"type", "about:blank"},
               {"title", ReasonOf(problem.status)},
               {"status", problem.status},
               {"detail", problem.detail}};
  if (!problem.field.empty()) {
    json["field"] = problem.field;
    json["value"] = Shortened(problem.value);
  }
  if (!problem.limit.is_null()) json["limit"] = problem.limit;
  json.update(problem.more);
  Response response = JsonResponse(json, problem.status);
  response.content_type = "application/problem+json";
  if (problem.status == 503) {
    constexpr const char* kSeconds = "1";
    response.headers.push_back({.name = "Retry-After", .value = kSeconds});
  }
  if (problem.status == 401) {
    response.headers.push_back({.name = "WWW-Authenticate",
                                .value = IsOfToken(problem)
                                             ? "Bearer error=\"invalid_token\""
                                             : "Bearer"});
  }
  return response;
}

Problem ProblemOf(const absl::Status& status) {
  std::string why = messenger::ReasonOf(status);
  Problem problem = {.status = HttpStatusOf(status, why),
                     .detail = DetailOf(status, why)};
  if (!why.empty()) problem.more["reason"] = std::move(why);
  return problem;
}

}  // namespace messenger::app
