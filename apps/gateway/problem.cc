#include "apps/gateway/problem.h"

#include <string_view>
#include <utility>

#include "messenger/error.h"

namespace messenger::app {
namespace {

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
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
  return response;
}

Problem ProblemOf(const absl::Status& status) {
  Problem problem = {.status = HttpStatusOf(status.code()),
                     .detail = std::string(status.message())};
  if (std::string reason = messenger::ReasonOf(status); !reason.empty()) {
    problem.more["reason"] = std::move(reason);
  }
  return problem;
}

}  // namespace messenger::app
