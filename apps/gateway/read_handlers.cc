// The other handlers: of messages that are there, channels, and the gateway
// itself.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "apps/common/json.h"
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

}  // namespace

void PostGetAndFlushMessages(Gateway* gateway, const Request& /*request*/,
                             Respond respond) {
  PostboxContents contents = gateway->postbox().Flush();
  Response response = JsonResponse(contents.messages);
  // The array is the original's; there is no place in it for that.
  if (contents.dropped > 0) {
    response.headers.push_back({.name = "Messenger-Dropped",
                                .value = std::to_string(contents.dropped)});
  }
  respond(std::move(response));
}

void GetMessages(Gateway* gateway, const Request& request, Respond respond) {
  const auto query = ParsePageQuery(request.target, Now());
  if (const auto* problem = std::get_if<Problem>(&query)) {
    respond(ToResponse(*problem));
    return;
  }
  ReadPage(gateway, ChannelOf(request), std::get<ReadQuery>(query),
           std::move(respond));
}

void GetStream(Gateway* gateway, const Request& request, Respond respond) {
  const auto query = ParseStreamQuery(request, Now());
  if (const auto* problem = std::get_if<Problem>(&query)) {
    respond(ToResponse(*problem));
    return;
  }
  Response response{.content_type = "text/event-stream"};
  // nginx would gather it before it hands it on.
  response.headers.push_back({.name = "X-Accel-Buffering", .value = "no"});
  if (request.method != "HEAD") {
    response.stream = EventStream::Make(gateway, ChannelOf(request),
                                        std::get<ReadQuery>(query).start);
  }
  respond(std::move(response));
}

void GetChannels(Gateway* gateway, const Request& request, Respond respond) {
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
      std::move(respond), [gateway, limit, after = std::move(after)] {
        const auto channels = gateway->client().ListChannels();
        return channels.ok() ? ListPage(*channels, after, limit)
                             : ToResponse(ProblemOf(channels.status()));
      });
}

void GetChannel(Gateway* gateway, const Request& request, Respond respond) {
  gateway->RespondBlocking(
      std::move(respond), [gateway, channel = ChannelOf(request)] {
        const auto info = gateway->client().GetChannel(channel);
        return info.ok() ? JsonResponse(ChannelJson(*info))
                         : ToResponse(ProblemOf(info.status()));
      });
}

void DeleteChannel(Gateway* gateway, const Request& request, Respond respond) {
  gateway->RespondBlocking(
      std::move(respond), [gateway, channel = ChannelOf(request)] {
        const absl::Status status = gateway->client().DeleteChannel(channel);
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
    absl::Status status = gateway->client().CheckHealth();
    if (status.ok() && gateway->waiters()->drained()) {
      status = absl::UnavailableError("the gateway is draining");
    }
    if (status.ok() && !gateway->postbox_reader().joined()) {
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
