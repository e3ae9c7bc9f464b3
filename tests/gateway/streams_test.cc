// messenger_gateway_streams: thousands of event streams of one channel of one
// gateway, some of which read nothing. Everything is real: the programs and the
// sockets. It fails if a stream misses a message, gets one twice, or is ended;
// if one that reads nothing is kept, or makes the gateway hold more than its
// bound; and if threads grow with streams. Never for being slow.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "messenger/client.h"
#include "support/event_sinks.h"
#include "support/sanitized.h"
#include "support/server_process.h"
#include "support/temporary_directory.h"

namespace messenger::test {
namespace {

constexpr const char* kChannel = "crowd";
constexpr std::chrono::seconds kStreamsPatience(60);
// gRPC starts some, and ends them, as it likes.
constexpr std::size_t kMoreThreads = 8;
// What the gateway may hold: of each stream, and of what all have in common.
constexpr std::size_t kBytesOfStream = 32 << 10;
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

struct StreamsOptions {
  std::string server;
  std::string gateway;
  std::size_t streams = 200;
  std::size_t stalled = 5;
  int rate = 50;
  int messages = 100;
  int burst = 400;
  std::size_t burst_bytes = 1000;
};

void Require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

// What the system knows of a process.
class Process {
 public:
  explicit Process(pid_t pid) : path_(fmt::format("/proc/{}/", pid)) {}

  std::size_t Threads() const { return Count("task"); }
  std::size_t OpenFiles() const { return Count("fd"); }
  std::size_t ResidentBytes() const {
    std::ifstream file(path_ + "statm");
    std::size_t pages = 0;
    file >> pages >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  double CpuSeconds() const {
    std::ifstream stat(path_ + "stat");
    const std::string line((std::istreambuf_iterator<char>(stat)), {});
    std::istringstream fields(line.substr(line.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

 private:
  std::size_t Count(const char* what) const {
    const std::filesystem::directory_iterator entries(path_ + what);
    return static_cast<std::size_t>(
        std::distance(begin(entries), end(entries)));
  }

  const std::string path_;
};

class StreamsTest {
 public:
  StreamsTest(const StreamsOptions& options, const std::string& directory)
      : options_(options),
        server_(options.server, {"--listen=127.0.0.1:0", "--log=memory:"}, {},
                directory + "/server"),
        target_(fmt::format("127.0.0.1:{}", PortOf(&server_))),
        gateway_(options.gateway,
                 {"--listen=127.0.0.1:0", "--server=" + target_,
                  fmt::format("--max-connections={}",
                              options.streams + options.stalled + 10),
                  "--write-timeout=2s"},
                 {}, directory + "/gateway"),
        port_(PortOf(&gateway_)),
        process_(gateway_.pid()),
        client_(Client::Connect({.target = target_})) {}

  void Run() {
    // What the first stream needs once.
    { const EventSinks first({.port = port_, .channel = "first"}); }
    const std::size_t files = process_.OpenFiles();
    const std::size_t threads = process_.Threads();
    const std::size_t before = process_.ResidentBytes();
    const auto start = Clock::now();
    const EventSinks sinks({.port = port_,
                            .channel = kChannel,
                            .streams = options_.streams,
                            .stalled = options_.stalled,
                            .messages = 100'000});
    const std::size_t open = process_.ResidentBytes();
    const std::size_t all = options_.streams + options_.stalled;
    fmt::print(
        "{} streams have caught up after {:.2f} s; {:.1f} KB each, {} "
        "threads\n",
        all, Seconds(Clock::now() - start),
        (static_cast<double>(open) - static_cast<double>(before)) / 1e3 /
            static_cast<double>(all),
        process_.Threads());
    AwaitReaders(1);

    Pace(sinks, "paced", options_.messages);
    Burst(sinks);
    AwaitReaders(1);
    Pace(sinks, "paced, after the burst", options_.messages);
    // Those that take nothing are gone by now, or soon.
    const auto end = Clock::now() + kStreamsPatience;
    while (process_.OpenFiles() > files + options_.streams) {
      Require(Clock::now() < end, "streams that read nothing are not cut off");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    Pace(sinks, "paced, at the end", options_.messages);
    const std::size_t threads_after = process_.Threads();
    const std::size_t after = process_.ResidentBytes();
    fmt::print("{} threads before, {} after; {:.1f} MB\n", threads,
               threads_after, static_cast<double>(after) / 1e6);
    Require(threads_after <= threads + kMoreThreads,
            "threads grow with streams");
    Require(kSanitized || after <= before + kMostBytes + all * kBytesOfStream,
            fmt::format("the gateway holds {} bytes", after));
  }

 private:
  using Clock = EventSinks::Clock;

  static double Seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  }

  static int PortOf(ServerProcess* process) {
    Require(process->AwaitListening(kStreamsPatience), "it does not listen");
    return process->port();
  }

  void AwaitReaders(std::uint64_t most) {
    const auto end = Clock::now() + kStreamsPatience;
    while (true) {
      const auto info = client_.GetChannel(kChannel);
      // It is made by its first message.
      if (absl::IsNotFound(info.status())) return;
      Require(info.ok(), info.status().ToString());
      if (info->readers <= most) return;
      Require(Clock::now() < end,
              fmt::format("the server has {} readers of the channel",
                          info->readers));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  void Pace(const EventSinks& sinks, const char* name, int messages) {
    const auto tick =
        std::chrono::nanoseconds(std::chrono::seconds(1)) / options_.rate;
    std::vector<Clock::time_point> sent;
    const std::uint64_t first = sent_ + 1;
    const double cpu = process_.CpuSeconds();
    const auto start = Clock::now();
    for (int i = 0; i < messages; ++i) {
      std::this_thread::sleep_until(start + i * tick);
      sent.push_back(Clock::now());
      client_.SendAsync({.channel = kChannel,
                         .author = "streams",
                         .text = fmt::format("{:0>128}", ++sent_)});
    }
    sinks.Await(sent_);
    const double elapsed = Seconds(Clock::now() - start);
    std::vector<double> times;
    for (std::size_t i = 0; i < sent.size(); ++i) {
      times.push_back(Seconds(sinks.ArrivedAt(first + i) - sent[i]) * 1e3);
    }
    std::sort(times.begin(), times.end());
    fmt::print(
        "{}: {} messages, {}/s: the last stream has it after {:.1f} ms "
        "(p50), {:.1f} ms (most); gateway {:.2f} cores, {:.1f} MB\n",
        name, messages, options_.rate, times[times.size() / 2], times.back(),
        (process_.CpuSeconds() - cpu) / elapsed,
        static_cast<double>(process_.ResidentBytes()) / 1e6);
  }

  void Burst(const EventSinks& sinks) {
    const std::string text(options_.burst_bytes, 'x');
    const double cpu = process_.CpuSeconds();
    const auto start = Clock::now();
    for (int i = 0; i < options_.burst; ++i) {
      client_.SendAsync({.channel = kChannel, .text = text});
      ++sent_;
    }
    sinks.Await(sent_);
    const double elapsed = Seconds(Clock::now() - start);
    fmt::print(
        "burst: {} messages of {} bytes after {:.2f} s: {:.2f} M "
        "deliveries/s, gateway {:.2f} cores, {:.1f} MB\n",
        options_.burst, text.size(), elapsed,
        static_cast<double>(options_.streams) * options_.burst / elapsed / 1e6,
        (process_.CpuSeconds() - cpu) / elapsed,
        static_cast<double>(process_.ResidentBytes()) / 1e6);
  }

  const StreamsOptions options_;
  ServerProcess server_;
  const std::string target_;
  ServerProcess gateway_;
  const int port_;
  const Process process_;
  Client client_;
  std::uint64_t sent_ = 0;
};

// Two descriptors for each stream: one here and one in the gateway.
void RaiseLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Main(int argc, char** argv) {
  StreamsOptions options;
  CLI::App app("Event streams of one channel of one gateway",
               "messenger_gateway_streams");
  app.add_option("--server", options.server, "Program")->required();
  app.add_option("--gateway", options.gateway, "Program")->required();
  app.add_option("--streams", options.streams, "That read");
  app.add_option("--stalled", options.stalled, "That read nothing");
  app.add_option("--rate", options.rate, "Messages a second");
  app.add_option("--messages", options.messages, "So many, thrice");
  app.add_option("--burst", options.burst, "Messages, all at once");
  app.add_option("--burst-bytes", options.burst_bytes, "Size of their texts");
  CLI11_PARSE(app, argc, argv);
  RaiseLimit();
  TemporaryDirectory directory;
  try {
    StreamsTest(options, directory.path()).Run();
  } catch (const std::exception& error) {
    directory.Keep();
    fmt::print("FAILED: {}; see {}\n", error.what(), directory.path());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace messenger::test

int main(int argc, char** argv) {
  return messenger::test::Main(argc, argv);
}
