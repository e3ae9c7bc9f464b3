// Copies each message of one channel to another, and goes on where it was when
// it is started again, however it has ended.
//   example_bridge localhost:51075 FROM TO
//
// A bridge that keeps in a file how far it is would copy some messages again
// after a crash: what was stored last, the file does not know yet. So the place
// to remember is the destination itself: each copy names its original in the
// attribute "source", and the last copy says where to go on. Nothing else may
// send to the destination, and only one bridge at a time.
//
// What that leaves open: copies that a bridge had sent when it was killed may
// still be on their way when the next one looks for the last copy, and then
// they are there twice. It waits until no copy has come for a second. That is
// plenty on one machine, but no proof: a network, or a server that stands
// still, may take longer. Who has to be sure reads the destination by "source":
// a copy whose original is not after that of all copies before is a repetition.
// That misses nothing: every bridge copies in order, from the end of another.
//
// A message that the server refuses, such as one that has become too large by
// the attribute, ends the bridge with an error. Those after it may have been on
// their way: then it is left out.
#include <messenger/client.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

namespace {

constexpr std::string_view kSource = "source";

// What the last copy says; empty if there is none yet.
absl::StatusOr<std::string> LastSource(messenger::Client& client,
                                       const std::string& to) {
  std::uint64_t head = 0;
  std::string source;
  const messenger::Subscription subscription = client.Read(
      {.channel = to,
       .start = messenger::Start::Last(1),
       .until_caught_up = true},
      {.on_joined =
           [&](const messenger::Joined& joined) { head = joined.head; },
       .on_message =
           [&](const messenger::Message& message) {
             source = message.attributes.Find(kSource).value_or("no source");
           }});
  const absl::Status end = subscription.Wait();
  if (!end.ok()) return end;
  if (source.empty() && head > 0) {
    return absl::DataLossError("its last message is not there any more");
  }
  return source;
}

// Where to begin: after the original of the last copy.
absl::StatusOr<messenger::Start> FindStart(messenger::Client& client,
                                           const std::string& from,
                                           const std::string& to) {
  absl::StatusOr<std::string> source = LastSource(client, to);
  for (std::string before = "?"; source.ok() && *source != before;) {
    before = *source;
    std::this_thread::sleep_for(std::chrono::seconds(1));
    source = LastSource(client, to);
  }
  if (!source.ok()) return source.status();
  if (source->empty()) return messenger::Start::Earliest();
  const auto bookmark = messenger::Bookmark::Parse(*source);
  if (!bookmark.ok() || bookmark->channel != from) {
    return absl::FailedPreconditionError("its last message is no copy of " +
                                         from);
  }
  return messenger::Start::After(bookmark->position);
}

void Print(std::string_view notice) {
  std::cerr << notice << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: example_bridge TARGET FROM TO\n";
    return 2;
  }
  const std::string from = argv[2];
  const std::string to = argv[3];

  // Before there are other threads, which inherit this: the signals wait until
  // they are asked for below.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  // Outlives the client, whose end calls what has no receipt yet.
  std::atomic<bool> failed = false;
  // Without a timeout: a copy that is given up while those after it are stored
  // would be missing. It waits for a server that is away.
  auto client =
      messenger::Client::Connect({.target = argv[1],
                                  .on_notice = Print,
                                  .send_timeout = std::chrono::seconds(0)});
  const auto start = FindStart(client, from, to);
  if (!start.ok()) {
    std::cerr << to << ": " << start.status() << '\n';
    return 1;
  }

  const messenger::Subscription subscription = client.Read(
      {.channel = from, .start = *start},
      {.on_message =
           [&](const messenger::Message& message) {
             if (failed) return;
             const std::string source =
                 messenger::Bookmark{.channel = from,
                                     .position = message.position()}
                     .ToString();
             messenger::NewMessage copy{.channel = to,
                                        .author = message.author,
                                        .text = message.text,
                                        .attributes = {{kSource, source}}};
             for (const messenger::Attribute& attribute : message.attributes) {
               copy.attributes.push_back(attribute);
             }
             client.SendAsync(
                 copy, [&failed, source](
                           const absl::StatusOr<messenger::Receipt>& receipt) {
                   if (receipt.ok() || failed.exchange(true)) return;
                   std::cerr << source << ": " << receipt.status() << '\n';
                 });
           },
       .on_gap =
           [](const messenger::Gap& gap) {
             std::cerr << "gap (" << ToString(gap.reason) << "): from "
                       << gap.first_missing << ", goes on with " << gap.next
                       << '\n';
           }});

  constexpr timespec kTick{.tv_sec = 0, .tv_nsec = 100'000'000};
  while (!failed &&
         subscription.state().kind !=
             messenger::SubscriptionState::Kind::kEnded &&
         sigtimedwait(&signals, nullptr, &kTick) < 0) {
  }
  // What follows waits for a server that is away. A second signal does not, and
  // the next bridge goes on as after any crash.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  subscription.Cancel();
  absl::Status end = subscription.Wait();
  if (absl::IsCancelled(end)) end = client.Flush();
  if (end.ok() && !failed) return 0;
  if (!failed) std::cerr << end << '\n';
  return 1;
}
