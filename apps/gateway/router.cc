#include "apps/gateway/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "apps/gateway/handlers.h"
#include "apps/gateway/problem.h"
#include "messenger/message.h"

namespace messenger::app {
namespace {

using Handler = void (*)(Gateway* gateway, const Request& request,
                         Respond respond);

// A caller that the server does not know any more is forgotten.
Respond AndForget(Gateway* gateway, CallerPtr caller, Respond respond) {
  return [gateway, caller = std::move(caller),
          respond = std::move(respond)](Response response) mutable {
    if (response.status == 401) gateway->Forget(*caller);
    respond(std::move(response));
  };
}

// Finds out in whose name it asks.
template <void (*kHandler)(Gateway*, const CallerPtr&, const Request&, Respond)>
void ForCaller(Gateway* gateway, const Request& request, Respond respond) {
  gateway->FindCaller(
      request, [gateway, &request, respond = std::move(respond)](
                   std::variant<CallerPtr, Problem> found) mutable {
        if (const auto* problem = std::get_if<Problem>(&found)) {
          respond(ToResponse(*problem));
          return;
        }
        const CallerPtr& caller = std::get<CallerPtr>(found);
        kHandler(gateway, caller, request,
                 AndForget(gateway, caller, std::move(respond)));
      });
}

struct Route {
  std::string_view method;
  // The segments of the path; "*" is any name: of a channel, of a file, of
  // a message.
  std::vector<std::string_view> path;
  Handler handler;
};

const std::vector<Route>& Routes() {
  static const std::vector<Route> routes = {
      {"POST", {"sendMessage"}, ForCaller<PostSendMessage>},
      {"POST", {"getAndFlushMessages"}, PostGetAndFlushMessages},
      {"GET", {"v1", "channels"}, ForCaller<GetChannels>},
      {"GET", {"v1", "channels", "*"}, ForCaller<GetChannel>},
      {"DELETE", {"v1", "channels", "*"}, ForCaller<DeleteChannel>},
      {"GET", {"v1", "channels", "*", "messages"}, ForCaller<GetMessages>},
      {"POST", {"v1", "channels", "*", "messages"}, ForCaller<PostMessages>},
      {"GET",
       {"v1", "channels", "*", "messages", "*", "data"},
       ForCaller<GetData>},
      {"GET", {"v1", "channels", "*", "stream"}, ForCaller<GetStream>},
      {"POST", {"v1", "session"}, PostSession},
      {"GET", {"v1", "session"}, GetSession},
      {"DELETE", {"v1", "session"}, DeleteSession},
      {"GET", {""}, GetPage},
      {"GET", {"page", "*"}, GetPageFile},
      {"GET", {"openapi.json"}, GetOpenApi},
      {"GET", {"healthz"}, GetHealthz},
      {"GET", {"readyz"}, GetReadyz},
  };
  return routes;
}

bool Matches(const Route& route, const std::vector<std::string>& segments) {
  return std::equal(route.path.begin(), route.path.end(), segments.begin(),
                    segments.end(),
                    [](std::string_view pattern, const std::string& segment) {
                      return pattern == "*" || pattern == segment;
                    });
}

// HEAD is a GET whose body is not sent.
bool Takes(const Route& route, std::string_view method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

std::string AllowedMethods(const std::vector<std::string>& segments) {
  std::string allowed;
  for (const Route& route : Routes()) {
    if (!Matches(route, segments)) continue;
    allowed += route.method;
    allowed += route.method == "GET" ? ", HEAD, " : ", ";
  }
  return allowed.empty() ? allowed : allowed + "OPTIONS";
}

std::optional<Problem> CheckChannel(const std::vector<std::string>& segments) {
  constexpr std::size_t kPlace = 2;
  if (segments.size() <= kPlace) return std::nullopt;
  const std::string& channel = segments[kPlace];
  // The library takes it for the default; here it is a slip.
  absl::Status status = channel.empty()
                            ? absl::InvalidArgumentError(
                                  "channel: is empty, must have 1 to 128 "
                                  "characters")
                            : CheckMessage({.channel = channel});
  if (status.ok()) return std::nullopt;
  Problem problem = ProblemOf(status);
  problem.field = "channel";
  problem.value = channel;
  return problem;
}

}  // namespace

std::optional<Response> Router::AnswerHead(const Request& head) const {
  if (auto refusal = peers_->Check(head)) return refusal;
  if (const auto problem = guard_->Check(head)) {
    return ToResponse(*problem);
  }
  const std::vector<std::string>& segments = head.target.segments;
  const std::string allowed = AllowedMethods(segments);
  if (allowed.empty()) {
    return ToResponse(
        {.status = 404,
         .detail = fmt::format("there is nothing at {}; /openapi.json "
                               "describes what there is",
                               head.target.path)});
  }
  if (head.method == "OPTIONS") {
    return Response{.status = 204,
                    .content_type = {},
                    .headers = {{.name = "Allow", .value = allowed}}};
  }
  if (std::none_of(Routes().begin(), Routes().end(), [&](const Route& route) {
        return Matches(route, segments) && Takes(route, head.method);
      })) {
    Response response = ToResponse(
        {.status = 405,
         .detail = fmt::format("{} does not take this method; it takes {}",
                               head.target.path, allowed),
         .field = "method",
         .value = head.method});
    response.headers.push_back({.name = "Allow", .value = allowed});
    return response;
  }
  if (const auto problem = CheckChannel(segments)) return ToResponse(*problem);
  return std::nullopt;
}

void Router::Answer(const Request& request, Respond respond) const {
  const auto route = std::find_if(
      Routes().begin(), Routes().end(), [&request](const Route& one) {
        return Matches(one, request.target.segments) &&
               Takes(one, request.method);
      });
  route->handler(gateway_, request, std::move(respond));
}

Headers Router::CommonHeaders(const Headers& request) const {
  Headers headers = {
      {.name = "Cache-Control", .value = "no-store"},
      {.name = "X-Content-Type-Options", .value = "nosniff"},
      // No page may show it in a frame, and none of another site embed it.
      {.name = "Content-Security-Policy",
       .value = "default-src 'none'; frame-ancestors 'none'"},
  };
  Headers cors = guard_->CorsHeaders(request);
  const bool is_allowed =
      FindHeader(cors, "Access-Control-Allow-Origin").has_value();
  headers.push_back({.name = "Cross-Origin-Resource-Policy",
                     .value = is_allowed ? "cross-origin" : "same-origin"});
  std::move(cors.begin(), cors.end(), std::back_inserter(headers));
  return headers;
}

}  // namespace messenger::app
