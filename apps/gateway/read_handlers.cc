// The other handlers: of messages that are there, channels, and the gateway
// itself.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "apps/common/json.h"
#include "apps/gateway/credential.h"
#include "apps/gateway/event_stream.h"
#include "apps/gateway/handlers.h"
#include "apps/gateway/message_page.h"
#include "apps/gateway/openapi.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/read_query.h"

namespace messenger::app {
namespace {

constexpr std::size_t kDefaultChannels = 1000;
constexpr std::size_t kMaxChannels = 10'000;

const std::string& ChannelOf(const Request& request) {
  return request.target.segments[2];
}

Timestamp Now() {
  return std::chrono::time_point_cast<Timestamp::duration>(
      std::chrono::system_clock::now());
}

Response ListPage(const std::vector<ChannelInfo>& channels,
                  const std::string& after, std::size_t limit) {
  auto first =
      std::upper_bound(channels.begin(), channels.end(), after,
                       [](const std::string& name, const ChannelInfo& channel) {
                         return name < channel.name;
                       });
  Json page = Json::array();
  for (; first != channels.end() && page.size() < limit; ++first) {
    page.push_back(ChannelJson(*first));
  }
  Json next = nullptr;
  if (first != channels.end()) next = page.back()["channel"];
  return JsonResponse({{"channels", std::move(page)}, {"next", next}});
}

Response FlushPostbox(Gateway* gateway) {
  if (const absl::Status status = gateway->postbox_reader().refusal();
      !status.ok()) {
    Problem problem = ProblemOf(status);
    // A token of the caller's would not help.
    problem.status = 403;
    problem.detail = fmt::format("there is no postbox: {}", problem.detail);
    return ToResponse(problem);
  }
  PostboxContents contents = gateway->postbox().Flush();
  Response response = JsonResponse(contents.messages);
  // The array is the original's; there is no place in it for that.
  if (contents.dropped > 0) {
    response.headers.push_back({.name = "Messenger-Dropped",
                                .value = std::to_string(contents.dropped)});
  }
  return response;
}

}  // namespace

// What the gateway has received in its own name, whoever asks. A token that is
// none is refused all the same: its owner believes that it counts.
void PostGetAndFlushMessages(Gateway* gateway, const Request& request,
                             Respond respond) {
  const auto credential = CredentialOf(request);
  if (const auto* problem = std::get_if<Problem>(&credential)) {
    respond(ToResponse(*problem));
    return;
  }
  const std::string& token = std::get<Credential>(credential).token;
  if (token.empty()) {
    respond(FlushPostbox(gateway));
    return;
  }
  gateway->CheckToken(
      token, [gateway, respond = std::move(respond)](
                 const std::optional<Problem>& problem) mutable {
        respond(problem ? ToResponse(*problem) : FlushPostbox(gateway));
      });
}

void GetMessages(Gateway* gateway, const CallerPtr& caller,
                 const Request& request, Respond respond) {
  const auto query = ParsePageQuery(request.target, Now());
  if (const auto* problem = std::get_if<Problem>(&query)) {
    respond(ToResponse(*problem));
    return;
  }
  ReadPage(gateway, caller, ChannelOf(request), std::get<ReadQuery>(query),
           std::move(respond));
}

void GetStream(Gateway* gateway, const CallerPtr& caller,
               const Request& request, Respond respond) {
  const auto query = ParseStreamQuery(request, Now());
  if (const auto* problem = std::get_if<Problem>(&query)) {
    respond(ToResponse(*problem));
    return;
  }
  Response response{.content_type = "text/event-stream"};
  // nginx would gather it before it hands it on.
  response.headers.push_back({.name = "X-Accel-Buffering", .value = "no"});
  if (request.method == "HEAD") {
    respond(std::move(response));
    return;
  }
  EventStream::Open(
      gateway, caller, ChannelOf(request), std::get<ReadQuery>(query).start,
      [response = std::move(response), respond = std::move(respond)](
          std::variant<std::shared_ptr<EventStream>, Problem> opened) mutable {
        if (const auto* problem = std::get_if<Problem>(&opened)) {
          respond(ToResponse(*problem));
          return;
        }
        response.stream = std::get<0>(std::move(opened));
        respond(std::move(response));
      });
}

void GetChannels(Gateway* gateway, const CallerPtr& caller,
                 const Request& request, Respond respond) {
  auto made = QueryFields::Make(request.target, "after limit");
  std::size_t limit = kDefaultChannels;
  std::optional<Problem> problem;
  if (auto* wrong = std::get_if<Problem>(&made)) {
    problem = std::move(*wrong);
  } else {
    problem =
        std::get<QueryFields>(made).Number("limit", 1, kMaxChannels, &limit);
  }
  if (problem) {
    respond(ToResponse(*problem));
    return;
  }
  std::string after = std::get<QueryFields>(made).Find("after").value_or("");
  gateway->RespondBlocking(
      std::move(respond), [caller, limit, after = std::move(after)] {
        const auto channels = caller->client().ListChannels();
        return channels.ok() ? ListPage(*channels, after, limit)
                             : ToResponse(ProblemOf(channels.status()));
      });
}

void GetChannel(Gateway* gateway, const CallerPtr& caller,
                const Request& request, Respond respond) {
  gateway->RespondBlocking(
      std::move(respond), [caller, channel = ChannelOf(request)] {
        const auto info = caller->client().GetChannel(channel);
        return info.ok() ? JsonResponse(ChannelJson(*info))
                         : ToResponse(ProblemOf(info.status()));
      });
}

void DeleteChannel(Gateway* gateway, const CallerPtr& caller,
                   const Request& request, Respond respond) {
  gateway->RespondBlocking(
      std::move(respond), [caller, channel = ChannelOf(request)] {
        const absl::Status status = caller->client().DeleteChannel(channel);
        return status.ok() ? Response{.status = 204, .content_type = {}}
                           : ToResponse(ProblemOf(status));
      });
}

void GetOpenApi(Gateway* /*gateway*/, const Request& /*request*/,
                Respond respond) {
  respond(Response{.body = std::string(kOpenApi)});
}

void GetHealthz(Gateway* /*gateway*/, const Request& /*request*/,
                Respond respond) {
  respond(JsonResponse({{"status", "alive"}}));
}

void GetReadyz(Gateway* gateway, const Request& /*request*/, Respond respond) {
  gateway->RespondBlocking(std::move(respond), [gateway] {
    absl::Status status = gateway->own_client().CheckHealth();
    if (status.ok() && gateway->waiters()->drained()) {
      status = absl::UnavailableError("the gateway is draining");
    }
    if (status.ok() && !gateway->postbox_reader().joined() &&
        gateway->postbox_reader().refusal().ok()) {
      status = absl::UnavailableError("the postbox has not joined yet");
    }
    if (!status.ok()) {
      Problem problem = ProblemOf(status);
      problem.status = 503;
      return ToResponse(problem);
    }
    return JsonResponse({{"status", "ready"}});
  });
}

}  // namespace messenger::app
