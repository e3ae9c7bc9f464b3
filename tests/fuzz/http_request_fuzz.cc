// What the gateway takes apart itself: the target of a request, its headers,
// the JSON of its body.
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "apps/common/base64.h"
#include "apps/common/json.h"
#include "apps/gateway/credential.h"
#include "apps/gateway/http.h"
#include "apps/gateway/message_body.h"
#include "apps/gateway/origin_guard.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/read_query.h"
#include "fuzz/check.h"
#include "fuzz/targets.h"
#include "messenger/message.h"

namespace messenger::fuzz {
namespace http_request_fuzz {
namespace {

using app::Json;

// An answer that is JSON, whatever was wrong.
void CheckProblem(const app::Problem& problem) {
  Check(problem.status >= 400 && problem.status < 600, "a problem of no error");
  Check(!problem.detail.empty(), "a problem without words");
  const app::Response response = app::ToResponse(problem);
  Check(Json::parse(response.body).at("status") == problem.status,
        "a problem with another status");
}

void CheckBody(std::string_view body) {
  auto parsed = app::ParseMessageBody(body, "fuzz");
  if (const auto* const problem = std::get_if<app::Problem>(&parsed)) {
    CheckProblem(*problem);
    return;
  }
  const auto& messages = std::get<app::MessageBody>(parsed).messages;
  const Json json = Json::parse(body);
  Check(json.is_array() ? json.size() == messages.size() : messages.size() == 1,
        "another number of messages");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CheckOk(CheckMessage(messages[i]), "a message that cannot be sent");
    const Json& one = json.is_array() ? json[i] : json;
    Check(one.value("text", "") == std::string_view(messages[i].text) &&
              one.value("author", "") == std::string_view(messages[i].author),
          "another text");
    // One text stands for the bytes.
    Check(one.value("data", "") == app::FormatBase64(messages[i].data) &&
              one.value("content_type", "") ==
                  std::string_view(messages[i].content_type),
          "other data");
  }
}

void CheckBase64(std::string_view text) {
  const auto bytes = app::ParseBase64(text);
  if (bytes.ok()) {
    Check(app::FormatBase64(*bytes) == text, "two texts of the same bytes");
  } else {
    Check(absl::IsInvalidArgument(bytes.status()), "another error");
  }
  const auto back = app::ParseBase64(app::FormatBase64(text));
  Check(back.ok() && *back == text, "base64 does not come back");
}

// With the Content-Type that it says it has.
void CheckRequest(const app::Request& request) {
  const auto parsed = app::ParseBodyOfRequest(request, "fuzz");
  if (const auto* const problem = std::get_if<app::Problem>(&parsed)) {
    CheckProblem(*problem);
    return;
  }
  const auto& body = std::get<app::MessageBody>(parsed);
  for (const NewMessage& message : body.messages) {
    CheckOk(CheckMessage(message), "a message that cannot be sent");
  }
  const auto json = app::ParseMessageBody(request.body, "fuzz");
  if (std::holds_alternative<app::MessageBody>(json)) return;
  Check(body.messages.size() == 1 && body.messages[0].data == request.body,
        "other data than the body");
}

template <typename Parsed>
void CheckQuery(const Parsed& parsed) {
  if (const auto* const problem = std::get_if<app::Problem>(&parsed)) {
    CheckProblem(*problem);
    return;
  }
  const auto& query = std::get<app::ReadQuery>(parsed);
  Check(query.limit >= 1 && query.limit <= app::kMaxPage, "a limit too large");
  Check(query.wait <= app::kMaxWait, "a wait too long");
  Check(query.start.kind != Start::Kind::kSequence || query.start.number > 0,
        "a sequence 0");
}

// Lines "name: value".
app::Headers ParseHeaders(std::string_view text) {
  app::Headers headers;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t colon = std::min(line.find(": "), line.size());
    headers.push_back(
        {.name = std::string(line.substr(0, colon)),
         .value = std::string(line.substr(std::min(colon + 2, line.size())))});
  }
  return headers;
}

void CheckHeaders(const app::Request& request) {
  const app::Headers& headers = request.headers;
  const app::OriginGuard guard({"chat.example"}, {"https://page.example"});
  if (const auto problem = guard.Check(request)) {
    CheckProblem(*problem);
  } else {
    const auto origin = app::FindHeader(headers, "Origin");
    Check(!origin || origin->starts_with("http"),
          "an origin that is no page's");
  }
  for (const app::Header& header : guard.CorsHeaders(headers)) {
    Check(header.value.find('\n') == std::string::npos, "a header of others");
  }
  if (app::CheckFraming(headers, /*is_http_1_0=*/false).ok()) {
    Check(app::FindHeaders(headers, "Content-Length").size() +
                  app::FindHeaders(headers, "Transfer-Encoding").size() <=
              1,
          "two ends");
  }
}

// Of a cookie, the token comes back as it was kept, unless a header overrules
// it.
void CheckCredential(app::Request request) {
  const auto found = app::CredentialOf(request);
  if (const auto* const problem = std::get_if<app::Problem>(&found)) {
    Check(problem->status == 401, "another status");
    CheckProblem(*problem);
    return;
  }
  const auto& credential = std::get<app::Credential>(found);
  Check(!credential.is_cookie || app::IsOfOwnPage(request),
        "a cookie of another page");
  if (credential.token.empty()) return;
  Check(app::CanBeToken(credential.token), "a token that none can be");
  const std::string kept = app::KeepToken(request, credential.token).value;
  request.headers = {
      {.name = "Cookie", .value = kept.substr(0, kept.find(';'))}};
  const auto again = app::CredentialOf(request);
  Check(std::get<app::Credential>(again).token == credential.token,
        "another token in the cookie");
}

void Run(Input input) {
  const std::string_view url = input.Bytes(input.Byte());
  const std::string_view lines = input.Bytes(input.Byte());
  app::Request request{.headers = ParseHeaders(lines)};
  auto target = app::ParseRequestTarget(url);
  const bool is_target = target.ok();
  if (is_target) request.target = *std::move(target);
  CheckHeaders(request);
  CheckCredential(request);
  if (is_target) {
    Check(!request.target.segments.empty(), "a path without segments");
    CheckQuery(app::ParsePageQuery(request.target, Timestamp{}));
    CheckQuery(app::ParseStreamQuery(request, Timestamp{}));
  }
  const std::string_view body = input.Rest();
  CheckBody(body);
  CheckBase64(body);
  request.body = std::string(body);
  CheckRequest(request);
  const auto postbox = app::ParsePostboxBody(body);
  if (const auto* const problem = std::get_if<app::Problem>(&postbox)) {
    CheckProblem(*problem);
  }
}

}  // namespace
}  // namespace http_request_fuzz

void FuzzHttpRequest(Input input) {
  http_request_fuzz::Run(input);
}

}  // namespace messenger::fuzz
