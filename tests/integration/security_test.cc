// Encryption, identities and rights, over real connections.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "messenger/client.h"
#include "messenger/error.h"
#include "messenger/grpc.h"
#include "messenger/log.h"
#include "messenger/security_tools.h"
#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "rpc/status.h"
#include "support/becomes.h"
#include "support/certificates.h"
#include "support/no_retry.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/temporary_directory.h"
#include "support/test_log.h"

namespace messenger::security_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

ClientOptions NoRetry(ClientOptions options) {
  options.retry = kNoRetry;
  return options;
}

// The files of a server, and what its operator is told.
class Door {
 public:
  Door() {
    server_files_ = WriteFiles(
        directory_, "server",
        authority_.Issue({.common_name = "server",
                          .names = {"DNS:localhost", "IP:127.0.0.1"}}));
    ReplaceFile(ca_file(), authority_.certificate());
    ReplaceFile(tokens_file(), "");
    WriteRights("");
  }

  std::string ca_file() const { return Path("ca.pem"); }
  std::string tokens_file() const { return Path("tokens"); }
  std::string rights_file() const { return Path("rights"); }
  std::string Path(const std::string& name) const {
    return directory_.path() + "/" + name;
  }
  const TestAuthority& authority() const { return authority_; }
  const TemporaryDirectory& directory() const { return directory_; }
  const CertificateFiles& server_files() const { return server_files_; }

  std::string AddToken(const std::string& identity) {
    return messenger::AddToken(tokens_file(), identity, std::nullopt)->token;
  }
  void WriteRights(const std::string& rights) {
    ReplaceFile(rights_file(), rights);
  }

  ServerTls Tls() const {
    return {.certificate_file = server_files_.certificate,
            .private_key_file = server_files_.key};
  }
  // With TLS and all of the files.
  ServerOptions Options() {
    ServerOptions options{.listen = "localhost:0", .tls = Tls()};
    options.tls->client_ca_file = ca_file();
    options.tls->client_certificates = ClientCertificates::kOptional;
    options.service.access = {.tokens_file = tokens_file(),
                              .rights_file = rights_file()};
    options.on_notice = Noting();
    return options;
  }
  std::function<void(std::string_view)> Noting() {
    return [this](std::string_view notice) {
      absl::MutexLock lock(&mu_);
      notices_.emplace_back(notice);
      changed_.SignalAll();
    };
  }

  bool AwaitNotice(std::string_view part) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return CountNotices(part) > 0;
    });
  }
  std::size_t NoticesWith(std::string_view part) {
    absl::MutexLock lock(&mu_);
    return CountNotices(part);
  }
  std::string AllNotices() {
    absl::MutexLock lock(&mu_);
    return fmt::format("{}", fmt::join(notices_, "\n"));
  }

 private:
  std::size_t CountNotices(std::string_view part) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::size_t count = 0;
    for (const std::string& notice : notices_) {
      if (Contains(notice, part)) ++count;
    }
    return count;
  }

  const TemporaryDirectory directory_;
  const TestAuthority authority_{"authority"};
  CertificateFiles server_files_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::vector<std::string> notices_ ABSL_GUARDED_BY(mu_);
};

ClientOptions Encrypted(const Door& door, const Server& server) {
  ClientOptions options = NoRetry({.target = server.address()});
  options.tls = ClientTls{.ca_file = door.ca_file()};
  return options;
}

ClientOptions WithToken(ClientOptions options, const std::string& token) {
  options.token = token;
  return options;
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(
    const Door& door, const IssuedCertificate& own = {}) {
  return grpc::SslCredentials({.pem_root_certs = door.authority().certificate(),
                               .pem_private_key = own.key,
                               .pem_cert_chain = own.certificate});
}

// Of a token: all but its id.
std::string SecretOf(const std::string& token) {
  return token.substr(std::string_view("messenger_12345678_").size());
}

absl::Status SendTo(Client& client, const std::string& channel,
                    const std::string& author = "") {
  return client.Send({.channel = channel, .author = author, .text = "x"})
      .status();
}

// ---- Every right, every identity, every method

struct Method {
  std::string name;
  std::string right;
  // For a request to `channel`.
  std::function<std::string(const std::string& channel)> request;
};

template <typename Request>
std::string Encode(
    const std::string& channel,
    const std::function<void(Request*)>& fill = [](Request*) {}) {
  Request request;
  request.set_channel(channel);
  fill(&request);
  return request.SerializeAsString();
}

std::vector<Method> Methods() {
  return {
      {.name = "SendMessage",
       .right = "send",
       .request =
           [](const std::string& channel) {
             return Encode<v1::SendMessageRequest>(channel, [](auto* request) {
               request->mutable_message()->set_text("x");
             });
           }},
      {.name = "SendMessages",
       .right = "send",
       .request =
           [](const std::string& channel) {
             return Encode<v1::SendMessagesRequest>(channel, [](auto* request) {
               request->add_messages()->set_text("x");
             });
           }},
      {.name = "OpenProducer",
       .right = "send",
       .request =
           [](const std::string& channel) {
             return Encode<v1::OpenProducerRequest>(
                 channel, [](auto* request) { request->set_name("new"); });
           }},
      {.name = "ReadMessages",
       .right = "read",
       .request =
           [](const std::string& channel) {
             return Encode<v1::ReadMessagesRequest>(channel, [](auto* request) {
               request->mutable_earliest();
               request->set_until_caught_up(true);
             });
           }},
      {.name = "GetChannel",
       .right = "read",
       .request =
           [](const std::string& channel) {
             return Encode<v1::GetChannelRequest>(channel);
           }},
      {.name = "ListProducers",
       .right = "admin",
       .request =
           [](const std::string& channel) {
             return Encode<v1::ListProducersRequest>(channel);
           }},
      {.name = "DeleteProducer",
       .right = "admin",
       .request =
           [](const std::string& channel) {
             return Encode<v1::DeleteProducerRequest>(
                 channel, [](auto* request) { request->set_name("there"); });
           }},
      {.name = "DeleteChannel",
       .right = "admin",
       .request =
           [](const std::string& channel) {
             return Encode<v1::DeleteChannelRequest>(channel);
           }},
  };
}

struct Identity {
  std::string name;  // empty: anonymous
  std::set<std::string> rights;
  std::string token = {};
  IssuedCertificate certificate = {};
};

TEST_CASE("security: every method takes its right, of everybody") {
  Door door;
  std::vector<Identity> identities = {
      {.name = "", .rights = {"read"}},
      {.name = "reader", .rights = {"read"}},
      {.name = "sender", .rights = {"send"}},
      {.name = "admin", .rights = {"admin"}},
      {.name = "proxy", .rights = {"send", "send-as"}},
      {.name = "all", .rights = {"send", "read", "admin"}},
      {.name = "nobody", .rights = {}},
      {.name = "by certificate", .rights = {"send"}},
  };
  std::string rights;
  for (Identity& identity : identities) {
    const std::string shown = identity.name.empty()
                                  ? "anonymous"
                                  : fmt::format("\"{}\"", identity.name);
    for (const std::string& right : identity.rights) {
      rights += fmt::format("{} {} mine\n", shown, right);
    }
    if (identity.name == "by certificate") {
      identity.certificate =
          door.authority().Issue({.common_name = identity.name});
    } else if (!identity.name.empty()) {
      identity.token = door.AddToken(identity.name);
    }
  }
  door.WriteRights(rights);
  const auto server = Server::Start(door.Options()).value();
  Client local = server->LocalClient();
  ClientOptions named;
  named.producer_name = "there";
  for (const Identity& identity : identities) {
    CAPTURE(identity.name);
    RawClient caller(server->port(), {.credentials = CredentialsOf(
                                          door, identity.certificate)});
    for (const Method& method : Methods()) {
      CAPTURE(method.name);
      for (const std::string channel : {"mine", "other"}) {
        CAPTURE(channel);
        // What the methods want to find.
        REQUIRE(SendTo(local, channel).ok());
        REQUIRE(server->LocalClient(named).OpenProducer(channel).ok());
        // It would belong to whoever has opened it first.
        local.DeleteProducer(channel, "new").IgnoreError();
        const grpc::Status status =
            caller
                .Call(method.name, method.request(channel),
                      {.authorization = identity.token.empty()
                                            ? ""
                                            : "Bearer " + identity.token})
                .status;
        const bool allowed =
            channel == "mine" && identity.rights.contains(method.right);
        const grpc::StatusCode expected =
            allowed                 ? grpc::StatusCode::OK
            : identity.name.empty() ? grpc::StatusCode::UNAUTHENTICATED
                                    : grpc::StatusCode::PERMISSION_DENIED;
        INFO(status.error_message());
        CHECK(status.error_code() == expected);
        const std::string reason = ReasonOf(rpc::FromGrpc(status));
        CHECK(reason == (allowed                 ? ""
                         : identity.name.empty() ? reason::kCredentialsRequired
                                                 : reason::kRightMissing));
      }
    }
  }
}

TEST_CASE("security: lists show what one may see, page by page") {
  Door door;
  door.WriteRights("ann read a*\nann admin b*\n");
  const std::string token = door.AddToken("ann");
  const auto server = Server::Start(door.Options()).value();
  Client local = server->LocalClient();
  for (int i = 0; i < 5; ++i) {
    for (const char* const letter : {"a", "b", "c"}) {
      REQUIRE(SendTo(local, fmt::format("{}{}", letter, i)).ok());
      ClientOptions options;
      options.producer_name = "p";
      REQUIRE(server->LocalClient(options)
                  .OpenProducer(fmt::format("{}{}", letter, i))
                  .ok());
    }
  }
  RawClient caller(server->port(), {.credentials = CredentialsOf(door)});
  const RawCallOptions as_ann = {.authorization = "Bearer " + token};
  std::vector<std::string> channels;
  v1::ListChannelsRequest request;
  request.set_page_size(2);
  do {
    const auto answer =
        caller.Call("ListChannels", request.SerializeAsString(), as_ann);
    REQUIRE(answer.status.ok());
    v1::ListChannelsResponse page;
    REQUIRE(page.ParseFromString(answer.bytes));
    for (const auto& channel : page.channels()) {
      channels.push_back(channel.name());
    }
    // The name of what is hidden would be in the token.
    CHECK((page.next_page_token().empty() ||
           page.next_page_token() == channels.back()));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  CHECK(channels == std::vector<std::string>{"a0", "a1", "a2", "a3", "a4"});

  Client ann = Client::Connect(WithToken(Encrypted(door, *server), token));
  CHECK(ann.ListChannels()->size() == 5);
  const auto producers = ann.ListProducers();
  REQUIRE(producers.ok());
  REQUIRE(producers->size() == 5);
  CHECK(producers->front().channel == "b0");
  CHECK(ann.Ping().ok());
}

// ---- Other tokens than the client's own

TEST_CASE("security: a client asks about other tokens over its connection") {
  Door door;
  door.WriteRights("ann read *\nanonymous read *\n");
  const std::string ann_token = door.AddToken("ann");
  const std::string bob_token = door.AddToken("bob");
  const auto server = Server::Start(door.Options()).value();
  Client client = Client::Connect(Encrypted(door, *server));
  CHECK(client.Ping().ok());
  CHECK(client.PingAs(ann_token).ok());
  const absl::Status unknown = client.PingAs("x").status();
  CHECK(absl::IsUnauthenticated(unknown));
  CHECK(ReasonOf(unknown) == reason::kTokenInvalid);
  // Who may do nothing is known all the same.
  CHECK(ReasonOf(client.PingAs(bob_token).status()) == reason::kRightMissing);
  for (const char* const none : {"", "a b", "a\nb"}) {
    CHECK(absl::IsInvalidArgument(client.PingAs(none).status()));
  }
  // Its own calls go on without one.
  CHECK(client.Ping().ok());
  CHECK(client.Stats().connections == 1);
  // The token of the call takes the place of the client's own.
  Client ann = Client::Connect(WithToken(Encrypted(door, *server), ann_token));
  CHECK(absl::IsUnauthenticated(ann.PingAs("x").status()));
  CHECK(ann.PingAs(ann_token).ok());
}

TEST_CASE("security: no other token goes to another machine in the clear") {
  Client client = Client::Connect({.target = "192.0.2.1:1"});
  const absl::Status status = client.PingAs("x").status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Contains(status.ToString(), "without encryption"));
}

TEST_CASE("security: errors name the server as the program wishes") {
  Door door;
  const auto server = Server::Start(door.Options()).value();
  ClientOptions options = Encrypted(door, *server);
  const std::string address = options.target;
  const auto ping = [&options] {
    Client client = Client::Connect(WithToken(options, "x"));
    return client.Ping().status();
  };
  CHECK(Contains(ping().ToString(), address));
  options.name_in_errors = "the server";
  const absl::Status refused = ping();
  CHECK(refused.message().find("the server: token: ") == 0);
  CHECK(!Contains(refused.ToString(), address));
  server->Shutdown();
  const absl::Status away = ping();
  CHECK(absl::IsUnavailable(away));
  CHECK(away.message().find("the server") == 0);
  CHECK(!Contains(away.ToString(), address));
}

// ---- Authors

TEST_CASE("security: the author is who sends, unless one may send as others") {
  Door door;
  door.WriteRights("ann send,read *\ngateway send-as *\nanonymous send *\n");
  const std::string ann_token = door.AddToken("ann");
  const std::string gateway_token = door.AddToken("gateway");
  const auto server = Server::Start(door.Options()).value();
  Client ann = Client::Connect(WithToken(Encrypted(door, *server), ann_token));
  Client gateway =
      Client::Connect(WithToken(Encrypted(door, *server), gateway_token));
  Client anonymous = Client::Connect(Encrypted(door, *server));
  CHECK(SendTo(ann, "c") == absl::OkStatus());
  CHECK(SendTo(ann, "c", "ann") == absl::OkStatus());
  const absl::Status refused = SendTo(ann, "c", "bob");
  CHECK(absl::IsPermissionDenied(refused));
  CHECK(ReasonDetail(refused, "right") == "send-as");
  CHECK_FALSE(MayBeStored(refused));
  const absl::Status of_long = SendTo(ann, "c", std::string(100'000, 'b'));
  CHECK(absl::IsPermissionDenied(of_long));
  CHECK(ReasonDetail(of_long, "right") == "send-as");
  CHECK(SendTo(gateway, "c", "bob") == absl::OkStatus());
  CHECK(SendTo(gateway, "c") == absl::OkStatus());
  CHECK(SendTo(anonymous, "c") == absl::OkStatus());
  CHECK(absl::IsPermissionDenied(SendTo(anonymous, "c", "ann")));
  // All that a message has stays with it.
  REQUIRE(ann.Send({.channel = "c",
                    .text = "text",
                    .attributes = {{"name", "value"}},
                    .data = "data",
                    .content_type = "a/b"})
              .ok());
  Recorder recorder;
  const Subscription subscription = ann.Read(
      {.channel = "c", .start = Start::Earliest(), .until_caught_up = true},
      recorder.Callbacks());
  REQUIRE(subscription.Wait() == absl::OkStatus());
  const auto messages = recorder.events().messages;
  std::vector<std::string> authors;
  for (const OwnedMessage& message : messages) {
    authors.push_back(message.author);
  }
  CHECK(authors ==
        std::vector<std::string>{"ann", "ann", "bob", "gateway", "", "ann"});
  const OwnedMessage& whole = messages.back();
  CHECK(whole.text == "text");
  CHECK(whole.data == "data");
  CHECK(whole.content_type == "a/b");
  REQUIRE(whole.attributes.size() == 1);
  CHECK(whole.attributes[0].second == "value");
}

// ---- Producers

TEST_CASE("security: a reader cannot break a sender by its producer's id") {
  Door door;
  door.WriteRights("* read,send *\n");
  const std::string ann_token = door.AddToken("ann");
  const std::string eve_token = door.AddToken("eve");
  const auto server = Server::Start(door.Options()).value();
  Client ann = Client::Connect(WithToken(Encrypted(door, *server), ann_token));
  Client eve = Client::Connect(WithToken(Encrypted(door, *server), eve_token));
  Client nobody = Client::Connect(Encrypted(door, *server));
  REQUIRE(SendTo(ann, "c").ok());
  // What everybody sees.
  Recorder recorder;
  REQUIRE(eve.Read({.channel = "c", .start = Start::Earliest(), .limit = 1},
                   recorder.Callbacks())
              .Wait()
              .ok());
  const ProducerId id = recorder.events().messages.at(0).producer_id;
  for (Client* const other : {&eve, &nobody}) {
    for (const std::uint64_t sequence : {1U, 2U}) {
      const absl::Status status =
          other->SendAs(id, sequence, {.channel = "c", .text = "x"}).status();
      CHECK(absl::IsPermissionDenied(status));
      CHECK(ReasonOf(status) == reason::kProducerOwned);
    }
  }
  CHECK(SendTo(ann, "c") == absl::OkStatus());

  ClientOptions options = WithToken(Encrypted(door, *server), ann_token);
  options.producer_name = "orders";
  Client named = Client::Connect(options);
  REQUIRE(named.OpenProducer("c").ok());
  options.token = eve_token;
  Client thief = Client::Connect(options);
  CHECK(ReasonOf(thief.OpenProducer("c").status()) == reason::kProducerOwned);
  CHECK(SendTo(named, "c") == absl::OkStatus());
  // A key is a name of each sender's own.
  const auto with_key = [](Client& client, const std::string& text) {
    return client
        .Send({.channel = "c", .text = text}, {.idempotency_key = "key"})
        .status();
  };
  CHECK(with_key(eve, "eve's") == absl::OkStatus());
  CHECK(with_key(ann, "ann's") == absl::OkStatus());
  CHECK(with_key(ann, "ann's") == absl::OkStatus());
}

// ---- Tokens

TEST_CASE("security: a token that is not valid is refused, with a reason") {
  Door door;
  const std::string good = door.AddToken("ann");
  const NewToken late =
      messenger::AddToken(door.tokens_file(), "ann", std::chrono::seconds(1))
          .value();
  const NewToken revoked =
      messenger::AddToken(door.tokens_file(), "ann", std::nullopt).value();
  REQUIRE(RevokeToken(door.tokens_file(), revoked.info.id).ok());
  ServerOptions options = door.Options();
  options.service.access.rights_file.clear();
  const auto server = Server::Start(std::move(options)).value();
  const auto send = [&](const std::string& token) {
    Client client = Client::Connect(WithToken(Encrypted(door, *server), token));
    return SendTo(client, "c");
  };
  CHECK(send(good) == absl::OkStatus());
  for (const std::string& bad :
       {revoked.token, good + "x", good.substr(0, good.size() - 1),
        std::string("nonsense"), std::string("messenger__")}) {
    const absl::Status status = send(bad);
    CHECK(absl::IsUnauthenticated(status));
    CHECK(ReasonOf(status) == reason::kTokenInvalid);
    CHECK_FALSE(Contains(status.ToString(), bad));
    CHECK_FALSE(Contains(status.ToString(), SecretOf(good)));
  }
  // It expires while nobody looks, and then while somebody reads.
  Client client =
      Client::Connect(WithToken(Encrypted(door, *server), late.token));
  Recorder recorder;
  const Subscription subscription =
      client.Read({.channel = "c"}, recorder.Callbacks());
  const absl::Status ended = subscription.Wait();
  CHECK(absl::IsUnauthenticated(ended));
  CHECK(ReasonOf(ended) == reason::kTokenExpired);
  CHECK(ReasonOf(send(late.token)) == reason::kTokenExpired);
  // One line for each, and no secret in it.
  CHECK(door.AwaitNotice(revoked.info.id));
  CHECK(door.NoticesWith("TOKEN") == 0);
  for (const std::string& token : {good, late.token, revoked.token}) {
    CHECK_FALSE(Contains(door.AllNotices(), SecretOf(token)));
  }
}

TEST_CASE("security: a header with no token is not taken for none") {
  Door door;
  door.WriteRights("anonymous send *\nann send *\n");
  const std::string token = door.AddToken("ann");
  const auto server = Server::Start(door.Options()).value();
  RawClient caller(server->port(), {.credentials = CredentialsOf(door)});
  const auto send = [&](const std::string& authorization) {
    return caller
        .Call("SendMessage", BytesField(1, "c") + BytesField(2, ""),
              {.authorization = authorization})
        .status.error_code();
  };
  for (const std::string& sound :
       {std::string(), "Bearer " + token, "bearer   " + token,
        std::string("Basic YTpi"), "Bearerx " + token}) {
    CAPTURE(sound);
    CHECK(send(sound) == grpc::StatusCode::OK);
  }
  for (const std::string& wrong :
       {std::string("Bearer"), "Bearer:" + token, "Bearer=" + token,
        fmt::format("Bearer {} ", token),
        fmt::format("Bearer {0}, Bearer {0}", token)}) {
    CAPTURE(wrong);
    CHECK(send(wrong) == grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST_CASE("security: a token in a file can be replaced") {
  Door door;
  const NewToken first =
      messenger::AddToken(door.tokens_file(), "ann", std::nullopt).value();
  const std::string second = door.AddToken("ann");
  ServerOptions options = door.Options();
  options.service.access.rights_file.clear();
  const auto server = Server::Start(std::move(options)).value();
  ReplaceFile(door.Path("token"), first.token + "\n");
  ClientOptions client_options = Encrypted(door, *server);
  client_options.token_file = door.Path("token");
  client_options.retry = {.initial_backoff = std::chrono::milliseconds(10),
                          .max_backoff = std::chrono::milliseconds(50)};
  Client client = Client::Connect(client_options);
  Recorder recorder;
  const Subscription subscription =
      client.Read({.channel = "c", .limit = 2}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  Client local = server->LocalClient();
  REQUIRE(SendTo(local, "c").ok());
  REQUIRE(recorder.AwaitMessages(1));
  ReplaceFile(door.Path("token"), second + "\n");
  SUBCASE("") {}
  SUBCASE("and other calls bring the new one already") {
    CHECK(client.Ping().ok());
  }
  REQUIRE(RevokeToken(door.tokens_file(), first.info.id).ok());
  // The call ends for the first token, and goes on with the second one.
  REQUIRE(door.AwaitNotice("read " + door.tokens_file()));
  REQUIRE(SendTo(local, "c").ok());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(SendTo(client, "c") == absl::OkStatus());
}

TEST_CASE("security: what was read when the client was made counts") {
  Door door;
  const std::string token = door.AddToken("ann");
  ServerOptions options = door.Options();
  options.service.access.rights_file.clear();
  const auto server = Server::Start(std::move(options)).value();
  const std::string ca = door.Path("ca of the client");
  ReplaceFile(ca, door.authority().certificate());
  ReplaceFile(door.Path("token"), token);
  ClientOptions client_options = Encrypted(door, *server);
  client_options.tls->ca_file = ca;
  client_options.token_file = door.Path("token");
  Client client = Client::Connect(client_options);
  // Before it has connected.
  ReplaceFile(ca, "");
  ReplaceFile(door.Path("token"), "");
  CHECK(SendTo(client, "c") == absl::OkStatus());
}

TEST_CASE("security: a token goes to no other machine in the clear") {
  const auto check = [](ClientOptions options) {
    options.token = "secret";
    options.retry.give_up_after = std::chrono::milliseconds(0);
    Client client = Client::Connect(std::move(options));
    absl::Status status = client.Ping().status();
    CHECK_FALSE(Contains(status.ToString(), "secret"));
    return status;
  };
  for (const std::string target :
       {"log.example", "192.0.2.1:1", "[2001:db8::1]:1", "localhost.example",
        "ipv4:127.0.0.1:1,192.0.2.1:1", "dns://127.0.0.1/log.example"}) {
    CAPTURE(target);
    const absl::Status status = check({.target = target});
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Contains(status.ToString(), "without encryption"));
  }
  for (const std::string target : {"localhost:1", "127.0.0.1:1", "[::1]:1",
                                   "unix:/nowhere", "ipv4:127.0.0.1:1"}) {
    CAPTURE(target);
    CHECK(absl::IsUnavailable(check({.target = target})));
  }
  ClientOptions by_proxy = {.target = "localhost:1"};
  by_proxy.http_proxy = "localhost:2";
  CHECK(absl::IsInvalidArgument(check(by_proxy)));
}

// ---- Changes

TEST_CASE("security: who loses a right is ended, and others notice nothing") {
  Door door;
  door.WriteRights("* read *\nann send *\n");
  const std::string ann_token = door.AddToken("ann");
  const std::string bob_token = door.AddToken("bob");
  const auto server = Server::Start(door.Options()).value();
  Client ann = Client::Connect(WithToken(Encrypted(door, *server), ann_token));
  Client bob = Client::Connect(WithToken(Encrypted(door, *server), bob_token));
  Recorder of_ann;
  Recorder of_bob;
  const Subscription anns = ann.Read({.channel = "c"}, of_ann.Callbacks());
  const Subscription bobs = bob.Read({.channel = "c"}, of_bob.Callbacks());
  REQUIRE(of_ann.AwaitJoined());
  REQUIRE(of_bob.AwaitJoined());
  REQUIRE(SendTo(ann, "c").ok());
  REQUIRE(of_bob.AwaitMessages(1));

  const auto before = std::chrono::steady_clock::now();
  door.WriteRights("ann read,send *\nbob read other\n");
  const absl::Status ended = bobs.Wait();
  const auto took = std::chrono::steady_clock::now() - before;
  CHECK(absl::IsPermissionDenied(ended));
  CHECK(ReasonDetail(ended, "identity") == "bob");
  MESSAGE("ended after ",
          std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
          " ms");
  REQUIRE(SendTo(ann, "c").ok());
  REQUIRE(of_ann.AwaitMessages(2));
  CHECK(anns.state().kind == SubscriptionState::Kind::kCaughtUp);
  CHECK(of_ann.events().joins == 1);
  CHECK(of_ann.events().states.size() == 3);

  // A file that is wrong changes nothing, but for what the others say.
  door.WriteRights("ann read,sned *\n");
  CHECK(door.AwaitNotice("sned"));
  REQUIRE(SendTo(ann, "c").ok());
  REQUIRE(of_ann.AwaitMessages(3));
  REQUIRE(RevokeToken(door.tokens_file(),
                      ListTokens(door.tokens_file())->front().id)
              .ok());
  CHECK(absl::IsUnauthenticated(anns.Wait()));
}

TEST_CASE("security: under load, changes end whom they should, and only them") {
  constexpr int kReaders = 8;
  constexpr int kChanges = 6;
  Door door;
  const std::string rights = "staff read,send *\n";
  door.WriteRights(rights + "guest read *\n");
  const std::string staff = door.AddToken("staff");
  const std::string guest = door.AddToken("guest");
  const auto server = Server::Start(door.Options()).value();

  Client sender = Client::Connect(WithToken(Encrypted(door, *server), staff));
  std::atomic<bool> stopping{false};
  std::atomic<std::uint64_t> stored{0};
  std::thread sending([&] {
    while (!stopping) {
      if (SendTo(sender, "c").ok()) ++stored;
    }
  });
  std::vector<Client> clients;
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<Subscription> subscriptions;
  for (int i = 0; i < kReaders; ++i) {
    clients.push_back(
        Client::Connect(WithToken(Encrypted(door, *server), staff)));
    recorders.push_back(std::make_unique<Recorder>());
    subscriptions.push_back(
        clients.back().Read({.channel = "c", .start = Start::Earliest()},
                            recorders.back()->Callbacks()));
    REQUIRE(recorders.back()->AwaitJoined());
  }
  std::chrono::steady_clock::duration longest{};
  for (int change = 0; change < kChanges; ++change) {
    CAPTURE(change);
    std::vector<Client> guests;
    std::vector<Subscription> reads;
    std::vector<std::unique_ptr<Recorder>> seen;
    for (int i = 0; i < kReaders; ++i) {
      guests.push_back(
          Client::Connect(WithToken(Encrypted(door, *server), guest)));
      seen.push_back(std::make_unique<Recorder>());
      // Some wait, and some read as fast as they can.
      reads.push_back(guests.back().Read(
          {.channel = i % 2 == 0 ? "c" : "quiet"}, seen.back()->Callbacks()));
      REQUIRE(seen.back()->AwaitJoined());
    }
    const auto before = std::chrono::steady_clock::now();
    if (change % 2 == 0) {
      door.WriteRights(rights);
    } else {
      // The certificate as well; new connections get it.
      WriteFiles(door.directory(), "server",
                 door.authority().Issue({.names = {"DNS:localhost"}}));
      door.WriteRights(rights + "guest read other\n");
    }
    for (const Subscription& read : reads) {
      CHECK(absl::IsPermissionDenied(read.Wait()));
    }
    longest = std::max(longest, std::chrono::steady_clock::now() - before);
    door.WriteRights(rights + "guest read *\n");
    // Until the guests are let in again.
    Client next = Client::Connect(WithToken(Encrypted(door, *server), guest));
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!next.GetChannel("c").ok() &&
           std::chrono::steady_clock::now() < deadline) {
    }
    REQUIRE(next.GetChannel("c").ok());
  }
  stopping = true;
  sending.join();
  CHECK(stored > 0);
  CHECK(sender.Stats().connections == 1);
  for (int i = 0; i < kReaders; ++i) {
    const auto index = static_cast<std::size_t>(i);
    CHECK(recorders[index]->AwaitMessages(stored));
    const Recorder::Events events = recorders[index]->events();
    CHECK(events.joins == 1);
    CHECK(events.gaps.empty());
    CHECK(clients[index].Stats().connections == 1);
    subscriptions[index].Cancel();
  }
  MESSAGE(
      "the last of ", kReaders, " guests ended after at most ",
      std::chrono::duration_cast<std::chrono::milliseconds>(longest).count(),
      " ms, while ", stored.load(), " messages were sent");
}

TEST_CASE("security: a reader that takes nothing is ended with its right") {
  Door door;
  door.WriteRights("ann read *\n");
  const std::string token = door.AddToken("ann");
  const auto server = Server::Start(door.Options()).value();
  Client local = server->LocalClient();
  for (int i = 0; i < 40; ++i) {
    REQUIRE(
        local.Send({.channel = "c", .text = std::string(500'000, 'x')}).ok());
  }
  RawClient caller(server->port(),
                   {.fixed_windows = true, .credentials = CredentialsOf(door)});
  RawStream stream =
      caller.Open("ReadMessages", {.authorization = "Bearer " + token});
  v1::ReadMessagesRequest request;
  request.set_channel("c");
  request.mutable_earliest();
  stream.Write(request);
  stream.CloseWrites();
  stream.MustReadMessages();
  // It reads nothing more.
  door.WriteRights("bob read *\n");
  CHECK(Becomes([&] { return server->Stats().service.reads.readers == 0; }));
  CHECK(server->Stats().service.reads.expelled == 1);
}

TEST_CASE("security: a sender whose appends hang is ended with its right") {
  Door door;
  door.WriteRights("ann send *\n");
  const std::string token = door.AddToken("ann");
  const auto log = std::make_shared<TestLog>();
  ServerOptions options = door.Options();
  options.log = log;
  const auto server = Server::Start(std::move(options)).value();
  log->Hold();
  RawClient caller(server->port(), {.credentials = CredentialsOf(door)});
  RawStream stream =
      caller.Open("SendMessages", {.authorization = "Bearer " + token});
  v1::SendMessagesRequest request;
  request.set_channel("c");
  request.add_messages()->set_text("text");
  stream.Write(request);
  CHECK(Becomes([&] { return server->Stats().service.sends.requests == 1; }));
  door.WriteRights("bob send *\n");
  CHECK(stream.Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(Becomes([&] { return server->Stats().service.sends.streams == 0; }));
  CHECK(server->Stats().service.sends.expelled == 1);
  log->Release();
}

// ---- Encryption

absl::Status PingWith(const ClientOptions& options) {
  Client client = Client::Connect(options);
  return client.Ping().status();
}

TEST_CASE("security: a client trusts the right server alone") {
  Door door;
  const TestAuthority other("another authority");
  ReplaceFile(door.Path("other.pem"), other.certificate());
  const auto serve = [&](const IssuedCertificate& issued) {
    const CertificateFiles files = WriteFiles(door.directory(), "this", issued);
    return Server::Start(
               {.listen = "localhost:0",
                .tls = ServerTls{.certificate_file = files.certificate,
                                 .private_key_file = files.key}})
        .value();
  };
  const std::vector<std::string> names = {"DNS:localhost"};
  const auto good = serve(door.authority().Issue({.names = names}));
  CHECK(PingWith(Encrypted(door, *good)) == absl::OkStatus());
  ClientOptions options = Encrypted(door, *good);
  options.tls->ca_file = door.Path("other.pem");
  CHECK(Contains(PingWith(options).ToString(), "comes from no CA"));
  CHECK(ReasonOf(PingWith(options)) == reason::kHandshakeFailed);
  options.tls->ca_file.clear();  // those of the system
  CHECK(Contains(PingWith(options).ToString(), "comes from no CA"));
  options = Encrypted(door, *good);
  options.tls->server_name = "log.example";
  CHECK(Contains(PingWith(options).ToString(),
                 "is for localhost, and not for log.example"));
  options.target = fmt::format("127.0.0.1:{}", good->port());
  CHECK_FALSE(PingWith(options).ok());
  options.tls->server_name = "localhost";
  CHECK(PingWith(options) == absl::OkStatus());

  const auto expired = serve(door.authority().Issue(
      {.names = names, .valid_until = std::chrono::seconds(-10)}));
  CHECK(Contains(PingWith(Encrypted(door, *expired)).ToString(),
                 "not valid at present"));
  const auto early = serve(door.authority().Issue(
      {.names = names, .valid_from = std::chrono::minutes(10)}));
  CHECK(Contains(PingWith(Encrypted(door, *early)).ToString(),
                 "not valid at present"));
  const auto stranger = serve(other.Issue({.names = names}));
  CHECK(absl::IsUnavailable(PingWith(Encrypted(door, *stranger))));
  // One without TLS.
  const auto plain = Server::Start({.listen = "localhost:0"}).value();
  CHECK(Contains(PingWith(Encrypted(door, *plain)).ToString(),
                 "does not speak TLS"));
  CHECK(ReasonOf(PingWith(Encrypted(door, *plain))) ==
        reason::kHandshakeFailed);
}

TEST_CASE("security: a server lets in whom its client CA has certified") {
  Door door;
  const TestAuthority other("another authority");
  ServerOptions server_options = door.Options();
  server_options.tls->client_certificates = ClientCertificates::kRequired;
  server_options.service.access.rights_file.clear();
  server_options.service.access.tokens_file.clear();
  const auto server = Server::Start(std::move(server_options)).value();
  const auto with = [&](const IssuedCertificate& issued) {
    const CertificateFiles files =
        WriteFiles(door.directory(), "client", issued);
    ClientOptions options = Encrypted(door, *server);
    options.tls->certificate_file = files.certificate;
    options.tls->private_key_file = files.key;
    return options;
  };
  Client ann =
      Client::Connect(with(door.authority().Issue({.common_name = "ann"})));
  CHECK(SendTo(ann, "c") == absl::OkStatus());
  CHECK(absl::IsPermissionDenied(SendTo(ann, "c", "bob")));
  // The first alternative name counts more than the common name.
  Client uri = Client::Connect(with(door.authority().Issue(
      {.common_name = "ann", .names = {"URI:spiffe://example/bob"}})));
  CHECK(SendTo(uri, "c", "spiffe://example/bob") == absl::OkStatus());
  CHECK(absl::IsPermissionDenied(SendTo(uri, "c", "ann")));

  CHECK(Contains(PingWith(Encrypted(door, *server)).ToString(),
                 "may want a client certificate"));
  CHECK(Contains(PingWith(with(other.Issue({.common_name = "ann"}))).ToString(),
                 "not accept this one"));
  CHECK(Contains(PingWith(with(door.authority().Issue(
                              {.common_name = "ann",
                               .valid_until = std::chrono::seconds(-1)})))
                     .ToString(),
                 "has expired on"));
  CHECK(Contains(PingWith(with(door.authority().Issue(
                              {.common_name = "ann",
                               .valid_from = std::chrono::minutes(1)})))
                     .ToString(),
                 "is not valid before"));
}

TEST_CASE("security: without TLS, a TLS port answers with what to do") {
  Door door;
  const auto server = Server::Start(door.Options()).value();
  Client plain = Client::Connect(NoRetry({.target = server->address()}));
  const absl::Status refused = SendTo(plain, "c");
  CHECK(absl::IsPermissionDenied(refused));
  CHECK(ReasonOf(refused) == reason::kEncryptionRequired);
  CHECK(plain.CheckHealth() == absl::OkStatus());
  SendTo(plain, "c").IgnoreError();
  CHECK(door.AwaitNotice("refused 127.0.0.1"));
  CHECK(door.NoticesWith("takes encrypted connections") == 1);
  CHECK(server->Stats().service.refusals.denied == 2);
  // It is another gRPC server that says so: it ends as the first one does.
  RawClient raw(server->port());
  RawStream watch = raw.Open("/grpc.health.v1.Health/Watch");
  watch.Write("");
  watch.CloseWrites();
  CHECK(watch.Read() == VarintField(1, 1));
  server->Shutdown(std::chrono::minutes(10));
  CHECK_FALSE(watch.Finish().ok());
  // And the other way round: its first bytes tell.
  ServerOptions options = {.listen = "localhost:0"};
  options.on_notice = door.Noting();
  const auto unencrypted = Server::Start(std::move(options)).value();
  CHECK_FALSE(PingWith(Encrypted(door, *unencrypted)).ok());
  CHECK(door.AwaitNotice("speaks TLS, but this server has no certificate"));
}

TEST_CASE("security: new certificates are for new connections") {
  Door door;
  door.WriteRights("* read,send *\n");
  const auto server = Server::Start(door.Options()).value();
  Client old = Client::Connect(Encrypted(door, *server));
  Recorder recorder;
  const Subscription subscription =
      old.Read({.channel = "c"}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());

  const TestAuthority other("the next authority");
  WriteFiles(door.directory(), "server",
             other.Issue({.names = {"DNS:localhost"}}));
  CHECK(door.AwaitNotice("read " + door.server_files().certificate));
  ReplaceFile(door.Path("other.pem"), other.certificate());
  ClientOptions options = Encrypted(door, *server);
  CHECK(Contains(PingWith(options).ToString(), "comes from no CA"));
  options.tls->ca_file = door.Path("other.pem");
  CHECK(PingWith(options) == absl::OkStatus());
  // What is wrong is not taken.
  ReplaceFile(door.server_files().certificate, "nonsense");
  CHECK(door.AwaitNotice("there is no certificate in it"));
  CHECK(PingWith(options) == absl::OkStatus());
  // The stream that was there goes on.
  Client local = server->LocalClient();
  REQUIRE(SendTo(local, "c").ok());
  REQUIRE(recorder.AwaitMessages(1));
  CHECK(recorder.events().joins == 1);
}

TEST_CASE("security: a running server takes a certificate that is renewed") {
  Door door;
  const TlsFiles files =
      InitTls({.directory = door.Path("tls"), .names = {"localhost"}}).value();
  ServerOptions options = {
      .listen = "localhost:0",
      .tls = ServerTls{.certificate_file = files.server_certificate,
                       .private_key_file = files.server_key}};
  options.on_notice = door.Noting();
  const auto server = Server::Start(std::move(options)).value();
  ClientOptions client = NoRetry({.target = server->address()});
  client.tls =
      ClientTls{.ca_file = files.ca_certificate, .server_name = "new.example"};
  CHECK_FALSE(PingWith(client).ok());
  REQUIRE(
      RenewTls({.directory = door.Path("tls"), .names = {"new.example"}}).ok());
  CHECK(door.AwaitNotice("read " + files.server_certificate));
  CHECK(PingWith(client) == absl::OkStatus());
  // It has never seen half of it.
  CHECK(door.NoticesWith("what was there before") == 0);
}

TEST_CASE("security: that the certificate expires is told, and that it has") {
  Door door;
  WriteFiles(door.directory(), "server",
             door.authority().Issue({.names = {"DNS:localhost"},
                                     .valid_until = std::chrono::seconds(3)}));
  const auto server = Server::Start(door.Options()).value();
  // Of a machine that is slow, the server begins when it has expired.
  const std::size_t told = door.NoticesWith("expires on 20");
  CHECK(told + door.NoticesWith("has expired on 20") == 1);
  CHECK(door.AwaitNotice("server.pem has expired on 20"));
  // A new one, which is good for long.
  WriteFiles(door.directory(), "server",
             door.authority().Issue({.names = {"DNS:localhost"},
                                     .valid_until = std::chrono::hours(9999)}));
  CHECK(door.AwaitNotice("read " + door.server_files().certificate));
  CHECK(door.NoticesWith("expire") == told + 1);
}

TEST_CASE("security: secrets that others may read are told of, once each") {
  Door door;
  const auto mode = [](const std::string& file, unsigned bits) {
    std::filesystem::permissions(file, std::filesystem::perms(bits));
  };
  const std::string& key = door.server_files().key;
  mode(key, 0640);
  mode(door.tokens_file(), 0604);
  {
    const auto server = Server::Start(door.Options()).value();
    CHECK(door.NoticesWith("chmod 600 " + key) == 1);
    CHECK(door.NoticesWith("chmod 600 " + door.tokens_file()) == 1);
    // Files that are read again are no news, but for what has changed.
    door.AddToken("ann");
    CHECK(door.AwaitNotice("read " + door.tokens_file()));
    CHECK(door.NoticesWith("chmod 600") == 2);
    mode(door.tokens_file(), 0644);
    CHECK(door.AwaitNotice("(mode 0644)"));
  }
  Door careful;
  mode(careful.server_files().key, 0600);
  mode(careful.tokens_file(), 0600);
  const auto server = Server::Start(careful.Options()).value();
  CHECK(careful.NoticesWith("chmod") == 0);
}

// ---- Programs with gRPC of their own

TEST_CASE("security: credentials and channels of the program's own") {
  Door door;
  door.WriteRights("ann send,read *\n");
  ServerOptions options = {.listen = "localhost:0"};
  options.service.access.rights_file = door.rights_file();
  grpc::SslServerCredentialsOptions ssl(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  const IssuedCertificate own =
      door.authority().Issue({.names = {"DNS:localhost"}});
  ssl.pem_root_certs = door.authority().certificate();
  ssl.pem_key_cert_pairs.push_back({own.key, own.certificate});
  const auto server =
      StartServer(std::move(options), grpc::SslServerCredentials(ssl)).value();
  const auto credentials =
      CredentialsOf(door, door.authority().Issue({.common_name = "ann"}));
  Client client = Connect(NoRetry({.target = server->address()}), credentials);
  CHECK(SendTo(client, "c", "ann") == absl::OkStatus());
  CHECK(absl::IsPermissionDenied(SendTo(client, "c", "bob")));
  Client over =
      ConnectOver(grpc::CreateChannel(server->address(), credentials));
  CHECK(SendTo(over, "c") == absl::OkStatus());
  Client stranger = Connect(
      NoRetry({.target = server->address()}),
      CredentialsOf(door, door.authority().Issue({.common_name = "bob"})));
  CHECK(absl::IsPermissionDenied(SendTo(stranger, "c")));

  ClientOptions both = NoRetry({.target = server->address()});
  both.tls = ClientTls{};
  CHECK(absl::IsInvalidArgument(Connect(both, credentials).Ping().status()));
  CHECK(absl::IsInvalidArgument(
      Connect(NoRetry({.target = server->address()}), nullptr)
          .Ping()
          .status()));
  CHECK(absl::IsInvalidArgument(ConnectOver(nullptr).Ping().status()));
}

// Counts the calls that it sees.
class Counting final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Counting(std::atomic<int>* calls) : calls_(calls) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* /*info*/) override {
    class Passing final : public grpc::experimental::Interceptor {
     public:
      void Intercept(
          grpc::experimental::InterceptorBatchMethods* methods) override {
        methods->Proceed();
      }
    };
    ++*calls_;
    return new Passing;
  }

 private:
  std::atomic<int>* const calls_;
};

TEST_CASE("security: in a gRPC server of the program's own, rights work too") {
  Door door;
  door.WriteRights("ann send,read *\nbob read *\n");
  const std::string bob_token = door.AddToken("bob");
  ServiceOptions options;
  options.access = {.tokens_file = door.tokens_file(),
                    .rights_file = door.rights_file()};
  const auto service =
      Service::Create(OpenLog("memory:").value(), options).value();
  grpc::SslServerCredentialsOptions ssl(
      GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  const IssuedCertificate own =
      door.authority().Issue({.names = {"DNS:localhost"}});
  ssl.pem_root_certs = door.authority().certificate();
  ssl.pem_key_cert_pairs.push_back({own.key, own.certificate});
  std::atomic<int> calls{0};
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<Counting>(&calls));
  grpc::ServerBuilder builder;
  service->Register(builder);
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  int port = 0;
  builder.AddListeningPort("localhost:0", grpc::SslServerCredentials(ssl),
                           &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  REQUIRE(server);

  ClientOptions client_options =
      NoRetry({.target = fmt::format("localhost:{}", port)});
  Client ann = Connect(
      client_options,
      CredentialsOf(door, door.authority().Issue({.common_name = "ann"})));
  CHECK(SendTo(ann, "c") == absl::OkStatus());
  client_options.tls = ClientTls{.ca_file = door.ca_file()};
  Client bob = Client::Connect(WithToken(client_options, bob_token));
  CHECK(absl::IsPermissionDenied(SendTo(bob, "c")));
  CHECK(bob.GetChannel("c")->head == 1);
  Client nobody = Client::Connect(client_options);
  CHECK(absl::IsUnauthenticated(nobody.GetChannel("c").status()));
  // A right that goes ends a reader here as well.
  Recorder recorder;
  const Subscription subscription =
      bob.Read({.channel = "c"}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  door.WriteRights("ann send,read *\n");
  CHECK(absl::IsPermissionDenied(subscription.Wait()));
  Client local = service->LocalClient(*server);
  CHECK(SendTo(local, "c", "anybody") == absl::OkStatus());
  CHECK(calls > 0);
  service->Drain();
  server->Shutdown();
}

TEST_CASE("security: a program's own clients need no right") {
  Door door;
  const auto server = Server::Start(door.Options()).value();
  Client local = server->LocalClient();
  CHECK(SendTo(local, "c", "anybody") == absl::OkStatus());
  CHECK(local.DeleteChannel("c") == absl::OkStatus());
}

TEST_CASE("security: what is wrong with the files is known at the start") {
  Door door;
  const auto start = [&](const std::function<void(ServerOptions*)>& change) {
    ServerOptions options = door.Options();
    change(&options);
    bool opened = false;
    options.open_log = [&opened]() -> decltype(OpenLog("memory:")) {
      opened = true;
      return OpenLog("memory:");
    };
    const absl::Status status = Server::Start(std::move(options)).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK_FALSE(opened);
    return std::string(status.message());
  };
  const std::string missing = door.Path("missing");
  CHECK(Contains(
      start([&](ServerOptions* o) { o->service.access.rights_file = missing; }),
      "rights_file: " + missing));
  CHECK(Contains(
      start([&](ServerOptions* o) { o->service.access.tokens_file = missing; }),
      "tokens_file: " + missing));
  ReplaceFile(door.tokens_file(), "");
  CHECK(Contains(start([&](ServerOptions* o) {
                   o->tls->private_key_file = door.ca_file();
                 }),
                 "there is no private key"));
  const IssuedCertificate other = door.authority().Issue({});
  ReplaceFile(door.Path("other.key"), other.key);
  CHECK(Contains(start([&](ServerOptions* o) {
                   o->tls->private_key_file = door.Path("other.key");
                 }),
                 "is not that of the certificate"));
  const CertificateFiles weak = WriteFiles(
      door.directory(), "weak", door.authority().Issue({.rsa_bits = 1024}));
  const std::string refusal = start([&](ServerOptions* o) {
    o->tls->certificate_file = weak.certificate;
    o->tls->private_key_file = weak.key;
  });
  CHECK(Contains(refusal, weak.certificate));
  CHECK(Contains(refusal, "its key is too small (RSA, 1024 bits)"));
  CHECK(Contains(
      start([&](ServerOptions* o) { o->tls->private_key_file.clear(); }),
      "private_key_file"));
  CHECK(Contains(
      start([&](ServerOptions* o) { o->tls->client_ca_file = missing; }),
      "client_ca_file: " + missing));
  door.WriteRights("ann read\n");
  CHECK(Contains(start([](ServerOptions*) {}), "line 1"));
}

}  // namespace
}  // namespace messenger::security_test
