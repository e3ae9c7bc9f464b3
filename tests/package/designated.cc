// Each public struct, with one field named, from either end. It has to compile
// without a warning; it is not run. designated_test.sh sees to it that none is
// missing.
#include <messenger/address.h>
#include <messenger/bounds.h>
#include <messenger/client.h>
#include <messenger/forwarder.h>
#include <messenger/grpc.h>
#include <messenger/log.h>
#include <messenger/log_tools.h>
#include <messenger/message.h>
#include <messenger/security.h>
#include <messenger/security_tools.h>
#include <messenger/server.h>
#include <messenger/stats.h>
#include <messenger/testing.h>

#include <string>
#include <string_view>

namespace {

// Only to be used; all compilers warn of what is not.
template <typename... Structs>
void Use(const Structs&... /*structs*/) {}

void Notice(std::string_view /*notice*/) {}

}  // namespace

int main() {
  using namespace messenger;           // NOLINT(google-build-using-namespace)
  using namespace messenger::testing;  // NOLINT(google-build-using-namespace)
  const std::string name = "name";

  // address.h
  Use(Address{.host = name}, Address{.port = 1});

  // bounds.h
  Use(Bounds<int>{.least = 1}, Bounds<int>{.most = 1});

  // message.h
  Use(Position{.epoch = 1}, Position{.sequence = 1});
  Use(Bookmark{.channel = name}, Bookmark{.position = {}});
  Use(Attribute{.name = name}, Attribute{.value = name});
  Use(NewAttribute{.name = name}, NewAttribute{.value = name + "temporary"});
  Use(NewMessage{.channel = name}, NewMessage{.attributes = {{"a", "b"}}},
      NewMessage{.data = name + "temporary", .content_type = "image/png"});
  Use(OwnedMessage{.channel = name}, OwnedMessage{.content_type = name});
  Use(Message{.channel = name}, Message{.last_of_frame = true});
  Use(Receipt{.position = {}}, Receipt{.duplicate = true});
  Use(Gap{.first_missing = 1}, Gap{.reason = Gap::Reason::kDeleted});
  Use(Start{.kind = Start::Kind::kLast}, Start{.position = {.epoch = 1}});
  Use(ChannelInfo{.name = name}, ChannelInfo{.readers = 1});
  Use(ProducerInfo{.channel = name}, ProducerInfo{.last_used = {}});

  // security.h
  Use(ServerTls{.certificate_file = name},
      ServerTls{.client_certificates = ClientCertificates::kOptional});
  Use(AccessOptions{.tokens_file = name}, AccessOptions{.on_notice = Notice});
  Use(ClientTls{.ca_file = name}, ClientTls{.server_name = name});

  // client.h
  Use(RetryOptions{.initial_backoff = {}}, RetryOptions{.give_up_after = {}});
  Use(ClientOptions{.target = name}, ClientOptions{.keepalive_timeout = {}});
  Use(ClientOptions{.retry = {.max_backoff = {}}, .on_notice = Notice});
  Use(SendOptions{.timeout = {}}, SendOptions{.idempotency_key = name});
  Use(ReadOptions{.channel = name}, ReadOptions{.skip_damaged = true});
  Use(Joined{.epoch = 1}, Joined{.head = 1});
  Use(ReadFrame{.joined = Joined()}, ReadFrame{.owner = nullptr});
  Use(SubscriptionState{.reason = {}}, SubscriptionState{.joined = Joined()});
  Use(ReadCallbacks{.on_joined = [](const Joined&) {}},
      ReadCallbacks{.on_end = [](const absl::Status&) {}});

  // forwarder.h
  Use(ForwardedChannel{.from = name}, ForwardedChannel{.to = name});
  Use(ForwarderOptions{.source = {}}, ForwarderOptions{.on_notice = Notice});
  Use(ForwardProgress{.forwarded = 1}, ForwardProgress{.trouble = {}});

  // log.h
  Use(RetentionOptions{.max_bytes = 1}, RetentionOptions{.max_age = {}});
  Use(LogOptions{.retention = {.max_age = {}}}, LogOptions{.on_notice = Notice},
      LogOptions{.producer_idle_timeout = {}});
  Use(DirectoryOptions{.durability = Durability::kOs},
      DirectoryOptions{.max_journal_bytes = 1});
  Use(MemoryOptions{.max_bytes = 1}, LogOptions{.memory = {.max_bytes = 1}});
  Use(OpenLog("memory:", {.on_notice = Notice}));

  // log_tools.h
  Use(LogFinding{.kind = LogFinding::Kind::kDamage}, LogFinding{.what = name});
  Use(LogSummary{.channels = 1}, LogSummary{.bytes = 1});
  Use(LogToolOptions{.on_finding = [](const LogFinding&) {}},
      LogToolOptions{.on_progress = [](std::uint64_t) {}});
  Use(LogVerification{.summary = {}}, LogVerification{.notices = 1});
  Use(LogLoss{.channel = name}, LogLoss{.kept_in = name});
  Use(LogRepair{.found = {}}, LogRepair{.remarks = {}});
  Use(LogSegment{.file = name}, LogSegment{.damaged = true});
  Use(LogChannel{.name = name}, LogChannel{.segments = {}});
  Use(LogJournal{.file = name}, LogJournal{.bytes = 1});
  Use(LogOverview{.epochs = {}}, LogOverview{.found = {}});
  Use(LogSelection{.channel = name}, LogSelection{.limit = 1});

  // security_tools.h
  Use(TokenInfo{.id = name}, TokenInfo{.expires = {}});
  Use(NewToken{.info = {}}, NewToken{.token = name});
  Use(RightExplanation{.right = name}, RightExplanation{.text = name});
  Use(InitTlsOptions{.directory = name}, InitTlsOptions{.ca_validity = {}});
  Use(TlsFiles{.ca_certificate = name}, TlsFiles{.client_key = name});
  Use(TlsPair{.certificate = name}, TlsPair{.key = name});
  Use(TlsClientOptions{.directory = name}, TlsClientOptions{.validity = {}});
  Use(RenewTlsOptions{.directory = name}, RenewTlsOptions{.validity = {}});

  // server.h
  Use(ServiceOptions{.max_message_bytes = 1},
      ServiceOptions{.keepalive_timeout = {}});
  Use(ServerOptions{.listen = name}, ServerOptions{.on_notice = Notice});

  // stats.h
  Use(MethodStats{.calls = 1}, MethodStats{.errors = 1});
  Use(RefusalStats{.shutting_down = 1}, RefusalStats{.other = 1});
  Use(GapStats{.retention = 1}, GapStats{.rolled_back = 1});
  Use(SendStats{.streams = 1}, SendStats{.waiting_bytes = 1});
  Use(ReadStats{.readers = 1}, ReadStats{.held_bytes = 1});
  Use(ServiceStats{.send_message = {}}, ServiceStats{.reads = {.frames = 1}});
  Use(LogStats{.channels = 1}, LogStats{.damaged_reads = 1});
  Use(ServerStats{.service = {}}, ServerStats{.refused_connections = 1});
  Use(ClientSendStats{.messages = 1}, ClientSendStats{.streams = 1});
  Use(ClientReadStats{.frames = 1}, ClientReadStats{.streams = 1});
  Use(ClientStats{.sends = {}}, ClientStats{.connections = 1});

  // testing.h
  Use(NetworkFaults{.refuse_connections = true},
      NetworkFaults{.bytes_per_second = 1});
  Use(FaultProxy::Counters{.connections = 1},
      FaultProxy::Counters{.bytes_to_client = 1});
}
