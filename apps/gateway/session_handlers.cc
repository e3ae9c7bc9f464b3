// Signing in and out, for pages: the token goes into a cookie.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "apps/common/json.h"
#include "apps/gateway/credential.h"
#include "apps/gateway/handlers.h"
#include "apps/gateway/origin_guard.h"
#include "apps/gateway/problem.h"
#include "messenger/error.h"

namespace messenger::app {
namespace {

// A page of another origin has no cookie here, and must not give a visitor one.
bool IsRefused(const Request& request, Respond* respond) {
  if (IsOfOwnPage(request)) return false;
  (*respond)(ToResponse(
      {.status = 403,
       .detail = "pages of another origin send their token with each request, "
                 "as \"Authorization: Bearer TOKEN\""}));
  return true;
}

// {"token": "…"}; what is wrong does not show it.
std::variant<std::string, Problem> TokenOfBody(std::string_view body) {
  Problem problem{.detail = "the body must be {\"token\": \"…\"}",
                  .field = "token"};
  constexpr std::size_t kMostBytes = 16 << 10;
  if (body.size() > kMostBytes) return problem;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.size() != 1 || !json.contains("token") ||
      !json["token"].is_string()) {
    return problem;
  }
  auto token = json["token"].get<std::string>();
  if (CanBeToken(token)) return token;
  problem.status = 401;
  problem.detail = "token: is none";
  problem.more = {{"reason", reason::kTokenInvalid}};
  return problem;
}

// Whether it is the token of somebody: a server that knows no tokens takes any,
// and nobody must believe then to have signed in.
void CheckIdentity(Gateway* gateway, const std::string& token,
                   Gateway::Checked done) {
  gateway->CheckToken(token, [gateway, done = std::move(done)](
                                 std::optional<Problem> problem) mutable {
    if (problem) {
      done(std::move(problem));
    } else {
      gateway->CheckTokensCount(std::move(done));
    }
  });
}

Response SessionResponse(bool is_signed_in) {
  return JsonResponse({{"signed_in", is_signed_in}});
}

Response SignedOut(Headers forgets) {
  Response response = SessionResponse(false);
  response.headers = std::move(forgets);
  return response;
}

// The header says who asks, so that the page's cookie does not count.
void AnswerToHeader(Gateway* gateway, const std::string& token,
                    Respond respond) {
  gateway->CheckToken(
      token, [respond = std::move(respond)](
                 const std::optional<Problem>& problem) mutable {
        respond(problem ? ToResponse(*problem) : SessionResponse(false));
      });
}

}  // namespace

void PostSession(Gateway* gateway, const Request& request, Respond respond) {
  if (IsRefused(request, &respond)) return;
  const auto header = CredentialOfHeader(request);
  if (const auto* problem = std::get_if<Problem>(&header)) {
    respond(ToResponse(*problem));
    return;
  }
  const auto found = TokenOfBody(request.body);
  if (const auto* problem = std::get_if<Problem>(&found)) {
    respond(ToResponse(*problem));
    return;
  }
  const auto& token = std::get<std::string>(found);
  CheckIdentity(
      gateway, token,
      [cookie = KeepToken(request, token),
       respond = std::move(respond)](std::optional<Problem> problem) mutable {
        respond(problem ? ToResponse(*problem)
                        : Response{.status = 204,
                                   .content_type = {},
                                   .headers = {std::move(cookie)}});
      });
}

void GetSession(Gateway* gateway, const Request& request, Respond respond) {
  const auto header = CredentialOfHeader(request);
  if (const auto* problem = std::get_if<Problem>(&header)) {
    respond(ToResponse(*problem));
    return;
  }
  if (const auto& token = std::get<Credential>(header).token; !token.empty()) {
    AnswerToHeader(gateway, token, std::move(respond));
    return;
  }
  const auto cookie = CredentialOfCookie(request);
  if (std::holds_alternative<Problem>(cookie)) {
    respond(SignedOut(ForgetToken(request)));
    return;
  }
  const auto& token = std::get<Credential>(cookie).token;
  if (token.empty()) {
    respond(SessionResponse(false));
    return;
  }
  CheckIdentity(gateway, token,
                [forgets = ForgetToken(request), respond = std::move(respond)](
                    std::optional<Problem> problem) mutable {
                  if (!problem) {
                    respond(SessionResponse(true));
                  } else if (problem->status == 401) {
                    respond(SignedOut(std::move(forgets)));
                  } else if (problem->status == 409) {
                    // It may know tokens again.
                    respond(SessionResponse(false));
                  } else {
                    respond(ToResponse(*problem));
                  }
                });
}

void DeleteSession(Gateway* /*gateway*/, const Request& request,
                   Respond respond) {
  if (IsRefused(request, &respond)) return;
  respond(Response{
      .status = 204, .content_type = {}, .headers = ForgetToken(request)});
}

}  // namespace messenger::app
