// Handles each message of a channel, here by printing it, and keeps in a file
// how far it is: started again, it goes on there.
//   example_worker localhost:51075 jobs jobs.bookmark [COUNT]
// It ends after COUNT messages, or with SIGTERM or Ctrl-C; then it has handled
// each message once. If it dies between handling a message and storing the
// bookmark, it handles that message again: at least once is what a bookmark can
// do. For exactly once, store it with the result, in one transaction.
#include <messenger/client.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace {

// Where to begin: after the bookmark, if there is one.
absl::StatusOr<messenger::Start> LoadStart(const std::string& file,
                                           const std::string& channel) {
  if (!std::filesystem::exists(file)) return messenger::Start::Earliest();
  std::string line;
  std::getline(std::ifstream(file), line);
  const auto bookmark = messenger::Bookmark::Parse(line);
  if (!bookmark.ok()) return bookmark.status();
  if (bookmark->channel != channel) {
    return absl::InvalidArgumentError("it is of channel " + bookmark->channel);
  }
  return messenger::Start::After(bookmark->position);
}

// Replaces the file as a whole, so that it never holds half a bookmark.
bool Save(const messenger::Bookmark& bookmark, const std::string& file) {
  const std::string replacement = file + ".new";
  std::ofstream out(replacement);
  out << bookmark.ToString() << '\n';
  out.close();
  return out && std::rename(replacement.c_str(), file.c_str()) == 0;
}

void Handle(const messenger::Message& message) {
  std::cout << message.sequence << ' ' << message.text << '\n' << std::flush;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: example_worker TARGET CHANNEL BOOKMARK [COUNT]\n";
    return 2;
  }
  const std::string channel = argv[2];
  const std::string file = argv[3];
  std::optional<std::uint64_t> count;
  if (argc > 4) count = std::strtoull(argv[4], nullptr, 10);

  // Before there are other threads, which inherit this: the signals wait until
  // they are asked for below.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto start = LoadStart(file, channel);
  if (!start.ok()) {
    std::cerr << file << ": " << start.status() << '\n';
    return 2;
  }
  auto client = messenger::Client::Connect(
      {.target = argv[1], .on_notice = [](std::string_view notice) {
         std::cerr << notice << '\n';
       }});
  const messenger::Subscription subscription = client.Read(
      {.channel = channel, .start = *start, .limit = count},
      {.on_message =
           [&](const messenger::Message& message) {
             Handle(message);
             // If handling is quick, do this only if message.last_of_frame, and
             // once more at the end.
             if (!Save({.channel = channel, .position = message.position()},
                       file)) {
               std::perror(file.c_str());
               std::_Exit(1);  // rather than go on and handle it all again
             }
           },
       .on_gap =
           [](const messenger::Gap& gap) {
             std::cerr << "gap (" << ToString(gap.reason) << "): from "
                       << gap.first_missing << ", goes on with " << gap.next
                       << '\n';
           }});

  constexpr timespec kTick{.tv_sec = 0, .tv_nsec = 100'000'000};
  while (subscription.state().kind !=
             messenger::SubscriptionState::Kind::kEnded &&
         sigtimedwait(&signals, nullptr, &kTick) < 0) {
  }
  subscription.Cancel();  // lets the message that is being handled finish
  const absl::Status end = subscription.Wait();
  if (end.ok() || absl::IsCancelled(end)) return 0;
  std::cerr << end << '\n';
  return 1;
}
