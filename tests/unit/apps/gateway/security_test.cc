// Whom the gateway serves, and in whose name.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "apps/gateway/callers.h"
#include "apps/gateway/credential.h"
#include "apps/gateway/http.h"
#include "apps/gateway/origin_guard.h"
#include "apps/gateway/peer_guard.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/seldom.h"
#include "apps/gateway/token_checks.h"
#include "base/reason.h"
#include "messenger/error.h"

namespace messenger::app::gateway_security_test {
namespace {

Request WithHeaders(Headers headers, Peer peer = {.is_local = true}) {
  headers.push_back({.name = "Host", .value = "localhost:8080"});
  return {.method = "GET",
          .target = *ParseRequestTarget("/v1/channels"),
          .headers = std::move(headers),
          .peer = std::move(peer)};
}

// "-" if it is 401.
std::string TokenOf(const Request& request) {
  const auto found = CredentialOf(request);
  if (const auto* const problem = std::get_if<Problem>(&found)) {
    CHECK(problem->status == 401);
    return "-";
  }
  return std::get<Credential>(found).token;
}

std::string TokenOfHeader(const char* value) {
  return TokenOf(WithHeaders({{.name = "authorization", .value = value}}));
}

std::string TokenOfCookie(const char* value, Headers more = {},
                          Peer peer = {.is_local = true}) {
  more.push_back({.name = "Cookie", .value = value});
  return TokenOf(WithHeaders(std::move(more), std::move(peer)));
}

TEST_CASE("gateway: a program's token is in its header") {
  CHECK(TokenOf(WithHeaders({})).empty());
  CHECK(TokenOfHeader("Bearer abc") == "abc");
  CHECK(TokenOfHeader("bEARER   a.b-c_d~e+f/g== ") == "a.b-c_d~e+f/g==");
  CHECK(TokenOfHeader("Basic YTpi").empty());
  CHECK(TokenOfHeader("Digest username=\"a, b\", realm=\"c\"").empty());
  CHECK(TokenOfHeader("Bearer") == "-");
  CHECK(TokenOfHeader("Bearer a b") == "-");
  CHECK(TokenOfHeader("Bearer \xFF") == "-");
  CHECK(TokenOfHeader("Bearer a;b") == "-");
  CHECK(TokenOfHeader(("Bearer " + std::string(4096, 'x')).c_str()) ==
        std::string(4096, 'x'));
  CHECK(TokenOfHeader(("Bearer " + std::string(4097, 'x')).c_str()) == "-");
  const Header one = {.name = "Authorization", .value = "Bearer a"};
  CHECK(TokenOf(WithHeaders({one, one})) == "-");
}

TEST_CASE("gateway: a header that is malformed is not taken for none") {
  for (const char* const value :
       {"", " ", "abc", "Bearer\tabc", "Bearer\t", "\tBearer abc",
        "Bearer \tabc", "Bearer:abc", "Bearer=abc", "Bearer,abc",
        "Bearer/abc d", "\"Bearer\" abc", "Bearer\u00A0abc", "Basic\tYTpi",
        "Basic", "Basic ", "B\xFFx b", " Bearer abc",
        "Bearer abc, Bearer def"}) {
    CAPTURE(value);
    CHECK(TokenOfHeader(value) == "-");
  }
  const Header basic = {.name = "Authorization", .value = "Basic YTpi"};
  CHECK(TokenOf(WithHeaders({basic, basic})) == "-");
  // Nor does the cookie help.
  CHECK(TokenOfCookie("messenger_token=abc", {{.name = "Authorization",
                                               .value = "Bearer\td"}}) == "-");
}

TEST_CASE(
    "gateway: a page's token is in a cookie, which the header overrules") {
  CHECK(TokenOfCookie("messenger_token=abc") == "abc");
  CHECK(TokenOfCookie("a=b; messenger_token=abc;c=d") == "abc");
  CHECK(TokenOfCookie("a=messenger_token=abc").empty());
  CHECK(TokenOfCookie("xmessenger_token=abc").empty());
  CHECK(TokenOfCookie("messenger_token").empty());
  CHECK(TokenOfCookie("messenger_token=").empty());
  CHECK(TokenOfCookie("messenger_token=a b") == "-");
  CHECK(TokenOfCookie("messenger_token=abc",
                      {{.name = "Authorization", .value = "Bearer d"}}) == "d");
}

TEST_CASE("gateway: cookies do not count for pages of another origin") {
  const auto from = [](const char* name, const char* value) {
    return TokenOfCookie("messenger_token=abc",
                         {{.name = name, .value = value}});
  };
  CHECK(from("Origin", "http://localhost:8080") == "abc");
  CHECK(from("Origin", "http://localhost:3000").empty());
  CHECK(from("Origin", "https://page.example").empty());
  CHECK(from("Origin", "null").empty());
  CHECK(from("Sec-Fetch-Site", "same-origin") == "abc");
  CHECK(from("Sec-Fetch-Site", "none") == "abc");
  CHECK(from("Sec-Fetch-Site", "same-site").empty());
  CHECK(from("Sec-Fetch-Site", "cross-site").empty());
}

TEST_CASE("gateway: over TLS the cookie is of this host and of TLS alone") {
  const Peer encrypted = {.is_encrypted = true};
  CHECK(TokenOfCookie("messenger_token=abc", {}, encrypted).empty());
  CHECK(TokenOfCookie("__Host-messenger_token=abc", {}, encrypted) == "abc");
  CHECK(TokenOfCookie("__Host-messenger_token=abc", {}, encrypted) == "abc");
  CHECK(KeepToken(WithHeaders({}, encrypted), "abc").value ==
        "__Host-messenger_token=abc; Path=/; Max-Age=604800; HttpOnly; "
        "SameSite=Strict; Secure");
  CHECK(KeepToken(WithHeaders({}), "abc").value ==
        "messenger_token=abc; Path=/; Max-Age=604800; HttpOnly; "
        "SameSite=Strict");
  // A proxy in front speaks TLS.
  const Header origin = {.name = "Origin", .value = "https://localhost:8080"};
  CHECK(KeepToken(WithHeaders({origin}), "abc").value ==
        "__Host-messenger_token=abc; Path=/; Max-Age=604800; HttpOnly; "
        "SameSite=Strict; Secure");
  CHECK(TokenOfCookie("messenger_token=abc", {origin}).empty());
  CHECK(TokenOfCookie("__Host-messenger_token=abc", {origin}) == "abc");
}

TEST_CASE("gateway: of two cookies, the one of this host counts") {
  // A browser does not say where a page came from when it only reads.
  CHECK(TokenOfCookie("__Host-messenger_token=abc") == "abc");
  CHECK(TokenOfCookie("messenger_token=planted; __Host-messenger_token=abc") ==
        "abc");
  CHECK(TokenOfCookie("__Host-messenger_token=abc; messenger_token=planted") ==
        "abc");
  CHECK(TokenOfCookie("messenger_token=abc; __Host-messenger_token=") == "abc");
  CHECK(TokenOfCookie("messenger_token=abc; __Host-messenger_token=a b") ==
        "-");
}

TEST_CASE("gateway: signing out forgets both cookies") {
  const auto forgets = [](const Request& request) {
    std::vector<std::string> values;
    for (const Header& header : ForgetToken(request)) {
      CHECK(header.name == "Set-Cookie");
      values.push_back(header.value);
    }
    return values;
  };
  const std::string gone = "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
  CHECK(forgets(WithHeaders({})) ==
        std::vector<std::string>{"__Host-messenger_token" + gone + "; Secure",
                                 "messenger_token" + gone});
  CHECK(forgets(WithHeaders({}, {.is_encrypted = true})) ==
        std::vector<std::string>{"__Host-messenger_token" + gone + "; Secure",
                                 "messenger_token" + gone + "; Secure"});
}

TEST_CASE("gateway: without TLS it serves its own machine, and health to all") {
  std::vector<std::string> notices;
  const auto note = [&notices](std::string_view notice) {
    notices.emplace_back(notice);
  };
  const auto is_refused = [](PeerGuard& guard, const char* target, Peer peer) {
    return guard
        .Check({.method = "GET",
                .target = *ParseRequestTarget(target),
                .peer = std::move(peer)})
        .has_value();
  };
  PeerGuard guard(/*insecure=*/false, note);
  const Peer stranger = {.address = "192.0.2.1"};
  CHECK(!is_refused(guard, "/", {.address = "127.0.0.1", .is_local = true}));
  CHECK(
      !is_refused(guard, "/", {.address = "192.0.2.1", .is_encrypted = true}));
  CHECK(!is_refused(guard, "/healthz", stranger));
  CHECK(!is_refused(guard, "/readyz?x", stranger));
  CHECK(notices.empty());
  CHECK(is_refused(guard, "/", stranger));
  CHECK(is_refused(guard, "/v1/channels", stranger));
  CHECK(is_refused(guard, "/healthz/", stranger));
  CHECK(is_refused(guard, "/", {}));
  // Once for each of them.
  CHECK(notices.size() == 2);
  CHECK(notices.front().find("192.0.2.1") != std::string::npos);
  for (int i = 0; i < 2000; ++i) {
    CHECK(is_refused(guard, "/", {.address = std::to_string(i)}));
  }
  CHECK(notices.size() == 1000);
  CHECK(notices.back().ends_with("not told any more"));
  PeerGuard insecure(/*insecure=*/true, note);
  CHECK(!is_refused(insecure, "/", stranger));
}

TEST_CASE("gateway: a person who is refused can read why") {
  PeerGuard guard(/*insecure=*/false, [](std::string_view) {});
  const auto type_for = [&guard](const char* accept) {
    return guard
        .Check({.method = "GET",
                .target = *ParseRequestTarget("/"),
                .headers = {{.name = "Accept", .value = accept}}})
        ->content_type;
  };
  CHECK(type_for("text/html,application/xhtml+xml,*/*;q=0.8") ==
        "text/plain; charset=utf-8");
  CHECK(type_for("*/*") == "application/problem+json");
}

TEST_CASE("gateway: what a token may not is 401 or 403") {
  const Response refused = ToResponse(ProblemOf(WithReason(
      absl::UnauthenticatedError("who?"), reason::kCredentialsRequired)));
  CHECK(refused.status == 401);
  CHECK(FindHeader(refused.headers, "WWW-Authenticate") == "Bearer");
  for (const std::string_view why :
       {reason::kTokenInvalid, reason::kTokenExpired}) {
    const Response of_token = ToResponse(
        ProblemOf(WithReason(absl::UnauthenticatedError("no"), why)));
    CHECK(FindHeader(of_token.headers, "WWW-Authenticate") ==
          "Bearer error=\"invalid_token\"");
  }
  const auto denied = [](std::string_view why) {
    return ProblemOf(WithReason(absl::PermissionDeniedError("no"), why)).status;
  };
  CHECK(denied(reason::kRightMissing) == 403);
  // The gateway's operator can change these, and no caller.
  CHECK(denied(reason::kProtected) == 502);
  CHECK(denied(reason::kEncryptionRequired) == 502);
}

TEST_CASE("gateway: callers are not told the names in the certificate") {
  const Problem problem = ProblemOf(WithReason(
      absl::UnavailableError("the server: its certificate is for log.internal"),
      reason::kHandshakeFailed));
  CHECK(problem.status == 503);
  CHECK(problem.detail.find("internal") == std::string::npos);
  CHECK(problem.detail.find("log says why") != std::string::npos);
}

using CallerPtr = std::shared_ptr<Caller>;

// A server is not needed: connecting is left to the first use.
CallersOptions Options(std::size_t max_tokens) {
  return {.client = {.target = "localhost:1"}, .max_tokens = max_tokens};
}

TEST_CASE("gateway: each token has a caller of its own") {
  Callers callers(Options(10));
  CHECK(callers.Find("ann") == nullptr);
  const CallerPtr ann = *callers.Add("ann");
  CHECK(callers.Find("ann") == ann);
  CHECK(*callers.Add("ann") == ann);
  CHECK(*callers.Add("bob") != ann);
  CHECK(callers.own() != ann);
  CHECK(callers.own()->client().status().ok());
  CHECK(callers.CheckPassingOn().ok());
}

TEST_CASE("gateway: nobody is known by a client that cannot connect") {
  CallersOptions options = Options(1);
  options.client.tls = {.ca_file = "/nowhere/ca.pem"};
  Callers callers(options);
  CHECK(absl::IsInvalidArgument(callers.Add("ann").status()));
  CHECK(callers.Find("ann") == nullptr);
}

TEST_CASE("gateway: who is not known takes no place") {
  Callers callers(Options(1));
  const CallerPtr ann = *callers.Add("ann");
  for (int i = 0; i < 10; ++i) {
    CHECK(callers.Find(std::to_string(i)) == nullptr);
  }
  CHECK(callers.Find("ann") == ann);
}

TEST_CASE(
    "gateway: a token that is not in use makes room, one that is does not") {
  Callers callers(Options(2));
  const CallerPtr ann = *callers.Add("ann");
  CallerPtr bob = *callers.Add("bob");
  CHECK(absl::IsResourceExhausted(callers.Add("eve").status()));
  CHECK(callers.Find("ann") != nullptr);
  Caller* const first = bob.get();
  bob.reset();
  CHECK(callers.Add("eve").ok());
  CHECK(callers.Find("ann") == ann);
  CHECK(callers.Find("bob") == nullptr);
  // It has made room for the other one.
  const auto gone = callers.TakeIdle(Callers::Clock::now());
  REQUIRE(gone.size() == 1);
  CHECK(gone.front().get() == first);
}

TEST_CASE(
    "gateway: of those that are not in use, the one that waits longest "
    "makes room") {
  Callers callers(Options(2));
  CHECK(callers.Add("ann").ok());
  CHECK(callers.Add("bob").ok());
  CHECK(callers.Find("ann") != nullptr);
  CHECK(callers.Add("eve").ok());
  CHECK(callers.Find("ann") != nullptr);
  CHECK(callers.Find("bob") == nullptr);
}

TEST_CASE("gateway: a token that nobody has used for a while is forgotten") {
  Callers callers(Options(10));
  const auto start = Callers::Clock::now();
  const auto after = [start](int seconds) {
    return start + std::chrono::seconds(seconds);
  };
  CallerPtr ann = *callers.Add("ann");
  CHECK(callers.Add("bob").ok());
  CHECK(callers.TakeIdle(after(59)).empty());
  // From the end of its use on, however long that was.
  CHECK(callers.TakeIdle(after(1000)).size() == 1);
  Caller* const first = ann.get();
  ann.reset();
  CHECK(callers.TakeIdle(after(1059)).empty());
  const auto gone = callers.TakeIdle(after(1060));
  REQUIRE(gone.size() == 1);
  CHECK(gone.front().get() == first);
}

TEST_CASE("gateway: a token that the server refuses is forgotten at once") {
  Callers callers(Options(1));
  const auto now = Callers::Clock::now();
  CallerPtr ann = *callers.Add("ann");
  callers.Forget(*ann);
  callers.Forget(*ann);
  callers.Forget(*callers.own());
  CHECK(callers.Find("ann") == nullptr);
  // There is room, although a stream may still have it.
  CHECK(callers.Add("bob").ok());
  CHECK(callers.TakeIdle(now).empty());
  Caller* const first = ann.get();
  ann.reset();
  const auto gone = callers.TakeIdle(now);
  REQUIRE(gone.size() == 1);
  CHECK(gone.front().get() == first);
}

TEST_CASE("gateway: no token is passed on that could be read on its way") {
  CallersOptions options = Options(10);
  options.client.target = "192.0.2.1:1";
  {
    Callers callers(options);
    CHECK(callers.own()->client().status().ok());
    const absl::Status& status = callers.CheckPassingOn();
    CHECK(absl::IsFailedPrecondition(status));
    CHECK(status.message().find("without encryption") != std::string::npos);
  }
  options.client.insecure_token = true;
  Callers callers(options);
  CHECK(callers.CheckPassingOn().ok());
}

// What a server is asked, one after the other: it answers when it is told to.
struct AskedServer {
  std::vector<absl::AnyInvocable<void()>> tasks;
  std::vector<std::string> asked;
  std::vector<std::string> notices;
  absl::Status answer = absl::OkStatus();

  TokenChecksOptions Options(std::size_t max_tokens) {
    return {
        .ask =
            [this](const std::string& token) {
              asked.push_back(token);
              return answer;
            },
        .post =
            [this](absl::AnyInvocable<void()> task) {
              tasks.push_back(std::move(task));
            },
        .max_tokens = max_tokens,
        .on_notice =
            [this](std::string_view notice) { notices.emplace_back(notice); }};
  }

  void Run() {
    for (auto& task : std::exchange(tasks, {})) task();
  }
};

using Answers = std::vector<absl::StatusCode>;

TokenChecks::Done Into(Answers* answers) {
  return [answers](const absl::Status& status) {
    answers->push_back(status.code());
  };
}

TEST_CASE("gateway: those who come with one token wait for one answer") {
  AskedServer server;
  TokenChecks checks(server.Options(1));
  Answers answers;
  checks.Check("ann", Into(&answers));
  checks.Check("ann", Into(&answers));
  CHECK(answers.empty());
  server.answer = absl::UnauthenticatedError("who?");
  server.Run();
  CHECK(answers == Answers(2, absl::StatusCode::kUnauthenticated));
  CHECK(server.asked == std::vector<std::string>{"ann"});
  // The answer is not kept.
  server.answer = absl::OkStatus();
  answers.clear();
  checks.Check("ann", Into(&answers));
  server.Run();
  CHECK(answers == Answers{absl::StatusCode::kOk});
  CHECK(server.asked.size() == 2);
}

TEST_CASE("gateway: the tokens that a server is asked about are bounded") {
  AskedServer server;
  TokenChecks checks(server.Options(2));
  Answers answers;
  Answers refusals;
  checks.Check("a", Into(&answers));
  checks.Check("b", Into(&answers));
  for (const char* const token : {"c", "d", "e"}) {
    checks.Check(token, Into(&refusals));
  }
  CHECK(refusals == Answers(3, absl::StatusCode::kResourceExhausted));
  CHECK(server.notices.size() == 1);
  server.Run();
  CHECK(answers == Answers(2, absl::StatusCode::kOk));
  CHECK(server.asked == std::vector<std::string>{"a", "b"});
  checks.Check("c", Into(&answers));
  server.Run();
  CHECK(answers.size() == 3);
}

TEST_CASE("gateway: a token that has waited too long is not asked about") {
  AskedServer server;
  TokenChecksOptions options = server.Options(2);
  options.timeout = std::chrono::nanoseconds(0);
  TokenChecks checks(options);
  Answers answers;
  checks.Check("a", Into(&answers));
  server.Run();
  CHECK(answers == Answers{absl::StatusCode::kUnavailable});
  CHECK(server.asked.empty());
}

TEST_CASE("gateway: what may come often is told once a minute") {
  Seldom seldom;
  const auto start = Seldom::Clock::now();
  CHECK(seldom.IsDue(start));
  CHECK(!seldom.IsDue(start + std::chrono::seconds(59)));
  CHECK(seldom.IsDue(start + std::chrono::seconds(60)));
  CHECK(!seldom.IsDue(start + std::chrono::seconds(61)));
}

}  // namespace
}  // namespace messenger::app::gateway_security_test
