// What the gateway makes of requests: targets, framing, origins, bodies,
// queries, events.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "apps/gateway/event_text.h"
#include "apps/gateway/frame_texts.h"
#include "apps/gateway/http.h"
#include "apps/gateway/message_body.h"
#include "apps/gateway/origin_guard.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/read_query.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app::gateway_test {
namespace {

using Strings = std::vector<std::string>;

TEST_CASE("gateway: the target of a request is taken apart, then decoded") {
  const auto target = ParseRequestTarget("/a%2fb//c?x=1+2&y=%26&z&=&x=%2b#f");
  REQUIRE(target.ok());
  CHECK(target->path == "/a%2fb//c");
  CHECK(target->segments == Strings{"a/b", "", "c"});
  CHECK(target->query ==
        std::vector<std::pair<std::string, std::string>>{
            {"x", "1 2"}, {"y", "&"}, {"z", ""}, {"", ""}, {"x", "+"}});
  CHECK(ParseRequestTarget("http://host:80/a?b")->segments == Strings{"a"});
  CHECK(ParseRequestTarget("http://host")->path == "/");
  for (const char* const wrong :
       {"", "*", "a", "host:80", "/%", "/%4", "/%4g", "/a?%", "ftp://host/"}) {
    CAPTURE(wrong);
    CHECK(!ParseRequestTarget(wrong).ok());
  }
}

bool IsFramed(const Headers& headers, bool is_http_1_0 = false) {
  return CheckFraming(headers, is_http_1_0).ok();
}

TEST_CASE("gateway: a request whose end is in doubt is refused") {
  const Header host = {.name = "host", .value = "a"};
  const Header length = {.name = "content-LENGTH", .value = "2"};
  const Header chunked = {.name = "Transfer-Encoding", .value = "Chunked"};
  CHECK(IsFramed({host}));
  CHECK(IsFramed({host, length}));
  CHECK(IsFramed({host, chunked}));
  CHECK(IsFramed({}, /*is_http_1_0=*/true));
  CHECK(!IsFramed({}));
  CHECK(!IsFramed({host, host}));
  CHECK(!IsFramed({host, length, length}));
  CHECK(!IsFramed({host, length, chunked}));
  CHECK(!IsFramed({host, chunked, chunked}));
  CHECK(!IsFramed({host, chunked}, /*is_http_1_0=*/true));
  for (const char* const value : {"2, 2", "+2", "0x2", "-1"}) {
    CHECK(!IsFramed({host, {.name = "Content-Length", .value = value}}));
  }
  for (const char* const value : {"gzip", "gzip, chunked", "xchunked"}) {
    CHECK(!IsFramed({host, {.name = "Transfer-Encoding", .value = value}}));
  }
}

// 0 if it is let through.
int StatusOf(const OriginGuard& guard, const Headers& headers) {
  const auto problem = guard.Check({.method = "GET", .headers = headers});
  return problem ? problem->status : 0;
}

TEST_CASE("gateway: pages of others, and names of others, are refused") {
  const OriginGuard guard({"chat.example"}, {"https://page.example"});
  const auto with = [&guard](const char* host, const char* origin) {
    Headers headers = {{.name = "Host", .value = host}};
    if (*origin != 0) headers.push_back({.name = "Origin", .value = origin});
    return StatusOf(guard, headers);
  };
  CHECK(with("localhost:8080", "") == 0);
  CHECK(with("10.0.0.1", "http://10.0.0.1") == 0);
  CHECK(with("[::1]:8080", "http://[::1]:8080") == 0);
  CHECK(with("chat.example", "https://chat.example") == 0);
  CHECK(with("localhost:80", "http://localhost") == 0);
  CHECK(with("localhost:8080", "https://page.example") == 0);
  CHECK(with("localhost:8080", "http://page.example") == 403);
  CHECK(with("localhost:8080", "http://localhost:3000") == 403);
  CHECK(with("localhost:8080", "null") == 403);
  CHECK(with("localhost:8080", "file://") == 403);
  CHECK(with("evil.example:8080", "") == 421);
  CHECK(with("localhost.evil.example", "") == 421);
  CHECK(with("[::1", "") == 421);
  CHECK(with("127.0.0.1.evil.example", "http://127.0.0.1.evil.example") == 421);
  CHECK(StatusOf(guard, {{.name = "Sec-Fetch-Site", .value = "cross-site"}}) ==
        403);
  CHECK(StatusOf(guard, {{.name = "Sec-Fetch-Site", .value = "none"}}) == 0);
  CHECK(CheckOriginOption("https://a.example").empty());
  for (const char* const wrong : {"", "a.example", "https://", "http://a/b"}) {
    CHECK(!CheckOriginOption(wrong).empty());
  }
}

TEST_CASE(
    "gateway: a link of another site leads to the page, and nowhere else") {
  const OriginGuard guard({}, {});
  const auto follow = [&guard](const char* path, const char* mode,
                               const char* destination,
                               const char* method = "GET") {
    const auto problem = guard.Check(
        {.method = method,
         .target = *ParseRequestTarget(path),
         .headers = {{.name = "Host", .value = "localhost:8080"},
                     {.name = "Sec-Fetch-Site", .value = "cross-site"},
                     {.name = "Sec-Fetch-Mode", .value = mode},
                     {.name = "Sec-Fetch-Dest", .value = destination}}});
    return problem ? problem->status : 0;
  };
  CHECK(follow("/", "navigate", "document") == 0);
  CHECK(follow("/?a=b", "navigate", "document") == 0);
  CHECK(follow("/", "navigate", "iframe") == 403);
  CHECK(follow("/", "navigate", "frame") == 403);
  CHECK(follow("/", "navigate", "embed") == 403);
  CHECK(follow("/", "no-cors", "document") == 403);
  CHECK(follow("/", "cors", "empty") == 403);
  CHECK(follow("/", "navigate", "document", "POST") == 403);
  CHECK(follow("/v1/channels", "navigate", "document") == 403);
  CHECK(follow("/page/main.js", "navigate", "document") == 403);
  CHECK(follow("//", "navigate", "document") == 403);
}

TEST_CASE("gateway: only pages that may can read answers") {
  const OriginGuard guard({}, {"https://page.example"});
  const auto allowed = [&guard](const char* origin) {
    const Headers headers =
        guard.CorsHeaders({{.name = "Origin", .value = origin}});
    return FindHeader(headers, "Access-Control-Allow-Origin").has_value();
  };
  CHECK(allowed("https://page.example"));
  CHECK(!allowed("https://other.example"));
  CHECK(OriginGuard({}, {})
            .CorsHeaders({{.name = "Origin", .value = "https://page.example"}})
            .empty());
}

// The field that is wrong; "-" if it is none, nothing if all is well.
std::string WrongField(std::string_view body) {
  const auto parsed = ParseMessageBody(body, "general");
  const auto* const problem = std::get_if<Problem>(&parsed);
  if (problem == nullptr) return {};
  CHECK(problem->status == 400);
  return problem->field.empty() ? "-" : problem->field;
}

TEST_CASE("gateway: a body is one message or several") {
  auto parsed = ParseMessageBody(
      R"([{"author":"a","text":"\u00fc","attributes":[{"name":"n","value":""}]},
          {}])",
      "room");
  const auto& body = std::get<MessageBody>(parsed);
  CHECK(body.is_array);
  REQUIRE(body.messages.size() == 2);
  CHECK(body.messages[0].channel == "room");
  CHECK(body.messages[0].author == "a");
  CHECK(body.messages[0].text == "ü");
  REQUIRE(body.messages[0].attributes.size() == 1);
  CHECK(body.messages[0].attributes[0].name == "n");
  CHECK(body.messages[1].text == "");
  CHECK(WrongField("{}").empty());
}

TEST_CASE("gateway: a wrong body names its field") {
  CHECK(WrongField("") == "-");
  CHECK(WrongField("{\"text\":\"\xff\"}") == "-");
  CHECK(WrongField(R"({"text":"\ud800"})") == "-");
  CHECK(WrongField(std::string(1'000'000, '[')) == "-");
  CHECK(WrongField(R"({"attributes":[{"name":[]}]})") == "attributes[0].name");
  CHECK(WrongField(R"({"attributes":[{"name":[[]]}]})") == "-");
  CHECK(WrongField("true") == "body");
  CHECK(WrongField("[]") == "body");
  CHECK(WrongField(R"([{},{"text":1}])") == "[1].text");
  CHECK(WrongField(R"([{},{"texts":""}])") == "[1].texts");
  CHECK(WrongField(R"([null])") == "[0]");
  std::string many = "[{}";
  for (std::size_t i = 0; i < kMaxMessagesOfRequest; ++i) many += ",{}";
  CHECK(WrongField(many + "]") == "body");
}

TEST_CASE("gateway: data is base64 in JSON") {
  auto parsed =
      ParseMessageBody(R"({"data":"/wB/","content_type":"image/png"})", "room");
  const auto& message = std::get<MessageBody>(parsed).messages.at(0);
  CHECK(message.data == std::string_view("\xff\0\x7f", 3));
  CHECK(message.content_type == "image/png");
  CHECK(message.text == "");
  CHECK(WrongField(R"([{},{"data":"/w"}])") == "[1].data");
  CHECK(WrongField(R"({"data":null})") == "data");
  CHECK(WrongField(R"({"content_type":"\u00fc"})") == "content_type");
}

TEST_CASE("gateway: a body is what its Content-Type says") {
  Request request{.target = *ParseRequestTarget("/?author=ann&text=my+cat"),
                  .body = R"({"text":"json"})"};
  const auto text_of = [&request](const char* type) {
    request.headers = {{.name = "content-type", .value = type}};
    auto parsed = ParseBodyOfRequest(request, "room");
    return std::string(std::get<MessageBody>(parsed).messages.at(0).text);
  };
  for (const char* const json :
       {"", "application/json", "APPLICATION/JSON ; charset=utf-8",
        "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"}) {
    CAPTURE(json);
    CHECK(text_of(json) == "json");
  }
  for (const char* const data :
       {"image/png", "application/json-seq", "text/html", "x"}) {
    CAPTURE(data);
    CHECK(text_of(data) == "my cat");
    auto parsed = ParseBodyOfRequest(request, "room");
    const auto& message = std::get<MessageBody>(parsed).messages.at(0);
    CHECK(message.channel == "room");
    CHECK(message.author == "ann");
    CHECK(message.data == request.body);
    CHECK(message.content_type == data);
  }
}

TEST_CASE("gateway: the postbox takes what the original took") {
  const auto parsed =
      ParsePostboxBody(R"({"text":"b","author":"a","more":[1]})");
  const auto& body = std::get<MessageBody>(parsed);
  CHECK(body.messages.at(0).channel == "");
  CHECK(body.messages.at(0).author == "a");
  for (const char* const wrong :
       {"{}", R"({"author":"a"})", "[]", R"({"author":"a","text":2})"}) {
    CHECK(std::holds_alternative<Problem>(ParsePostboxBody(wrong)));
  }
}

Target Query(std::string_view query) {
  return *ParseRequestTarget("/?" + std::string(query));
}

TEST_CASE("gateway: where to read from") {
  const Timestamp now{std::chrono::hours(1)};
  const auto start = [now](std::string_view query) {
    return std::get<ReadQuery>(ParsePageQuery(Query(query), now)).start;
  };
  CHECK(start("").kind == Start::Kind::kLast);
  CHECK(start("limit=7").number == 7);
  CHECK(start("from=earliest").kind == Start::Kind::kEarliest);
  CHECK(start("from=18446744073709551615").number ==
        18'446'744'073'709'551'615U);
  CHECK(start("last=0").number == 0);
  CHECK(start("since=10m").time == now - std::chrono::minutes(10));
  CHECK(start("after=9:8").position == Position{.epoch = 9, .sequence = 8});
  for (const char* const wrong :
       {"from=0", "from=18446744073709551616", "from=", "after=9", "after=0:1",
        "after=1:-1", "since=x", "last=", "from=1&after=1:1", "limit=0",
        "limit=1001", "wait=61", "wait=1.5", "x=1", "limit=1&limit=1"}) {
    CAPTURE(wrong);
    CHECK(std::holds_alternative<Problem>(ParsePageQuery(Query(wrong), now)));
  }
}

TEST_CASE("gateway: a stream resumes after the last event, whatever its URL") {
  Request request{.target = Query("from=earliest")};
  const auto start = [&request] {
    return std::get<ReadQuery>(ParseStreamQuery(request, Timestamp{})).start;
  };
  CHECK(start().kind == Start::Kind::kEarliest);
  request.headers = {{.name = "last-event-id", .value = "5:6"}};
  CHECK(start().position == Position{.epoch = 5, .sequence = 6});
  request.headers.front().value = "5:";
  CHECK(
      std::holds_alternative<Problem>(ParseStreamQuery(request, Timestamp{})));
}

TEST_CASE(
    "gateway: a frame is events, and a gap comes before what follows it") {
  const std::array messages = {Message{.channel = "c",
                                       .epoch = 7,
                                       .sequence = 3,
                                       .author = "a",
                                       .text = "b\ndata: c\u2028",
                                       .data = "\n\xff",
                                       .content_type = "a/b"}};
  std::string text;
  AppendEvents("c",
               {.joined = Joined{.epoch = 7, .next_sequence = 3, .head = 3},
                .gap = Gap{.first_missing = 1,
                           .next = 3,
                           .reason = Gap::Reason::kRetention},
                .messages = messages,
                .caught_up = 3},
               &text);
  CHECK(text ==
        "event: gap\n"
        "data: {\"channel\":\"c\",\"first_missing\":1,\"next\":3,"
        "\"reason\":\"retention\"}\n\n"
        "id: 7:2\nevent: joined\n"
        "data: {\"epoch\":\"7\",\"next\":3,\"head\":3}\n\n"
        "id: 7:3\n"
        "data: {\"channel\":\"c\",\"epoch\":\"7\",\"sequence\":3,"
        "\"send_time\":\"1970-01-01T00:00:00.000000000Z\",\"author\":\"a\","
        "\"text\":\"b\\ndata: c\\u2028\",\"attributes\":[],"
        "\"data\":\"Cv8=\",\"content_type\":\"a/b\"}\n\n"
        "event: caught-up\ndata: {\"head\":3}\n\n");
}

TEST_CASE("gateway: the same part of a frame has one text while it is there") {
  const std::array messages = {
      Message{.channel = "c", .epoch = 7, .sequence = 3},
      Message{.channel = "c", .epoch = 7, .sequence = 4}};
  auto owner = std::make_shared<const int>(1);
  const ReadFrame frame = {.messages = messages, .owner = owner};
  std::string expected;
  AppendEvents("c", frame, &expected);
  FrameTexts texts;
  const auto text = texts.TextOf("c", frame);
  CHECK(*text == expected);
  CHECK(texts.TextOf("c", frame) == text);

  // Who has begun within it, and who is told more, have texts of their own.
  ReadFrame other = frame;
  other.messages = other.messages.last(1);
  CHECK(texts.TextOf("c", other)->starts_with("id: 7:4\n"));
  other = frame;
  other.caught_up = 4;
  CHECK(*texts.TextOf("c", other) ==
        expected + "event: caught-up\ndata: {\"head\":4}\n\n");
  other = frame;
  other.joined = Joined{.epoch = 7, .next_sequence = 3, .head = 4};
  CHECK(texts.TextOf("c", other)->ends_with(expected));
  CHECK(*texts.TextOf("c", frame) == expected);

  // Another frame that lies in the same place is another one.
  owner = std::make_shared<const int>(2);
  other = {.messages = frame.messages.first(1),
           .owner = {owner, frame.owner.get()}};
  CHECK(*texts.TextOf("c", other) != expected);
}

TEST_CASE("gateway: errors of the client are problems") {
  CHECK(ProblemOf(absl::InvalidArgumentError("")).status == 400);
  CHECK(ProblemOf(absl::NotFoundError("")).status == 404);
  CHECK(ProblemOf(absl::DataLossError("")).status == 502);
  const Response away = ToResponse(ProblemOf(absl::UnavailableError("gone")));
  CHECK(away.status == 503);
  CHECK(away.content_type == "application/problem+json");
  CHECK(FindHeader(away.headers, "Retry-After") == "1");
  CHECK(away.body ==
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
        "\"status\":503,\"detail\":\"gone\"}\n");
  const Problem with_reason = ProblemOf(CheckMessage({.text = "\xFF"}));
  CHECK(ToResponse(with_reason).body.find("\"reason\":\"INVALID_UTF8\"") !=
        std::string::npos);
}

}  // namespace
}  // namespace messenger::app::gateway_test
