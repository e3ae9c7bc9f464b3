// Errors as HTTP tells them: application/problem+json (RFC 9457).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "apps/common/json.h"
#include "apps/gateway/http.h"

namespace messenger::app {

struct Problem {
  int status = 400;
  // A sentence: what is wrong, and the limit.
  std::string detail = {};
  // What is wrong with which value, if it is about one: "limit", "[3].author".
  std::string field = {};
  Json value = nullptr;
  Json limit = nullptr;
  // Anything else that a program may want to know, by name.
  Json more = Json::object();
};

// As HTTP does it: 503 says when to come back, and 401 that it takes a token,
// or another one (RFC 6750).
Response ToResponse(const Problem& problem);

// An error of the client library. What was asked for wrongly is 4xx, 401 and
// 403 among them: without a token that may have it (see credential.h). That the
// server is away, or has no room, 503 with Retry-After: the same request may
// succeed later; that it says what it should not, 502. `reason` is that of
// messenger/error.h, if it has one.
Problem ProblemOf(const absl::Status& status);

// Answers with a JSON value.
Response JsonResponse(const Json& json, int status = 200);

}  // namespace messenger::app
