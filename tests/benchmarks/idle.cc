// Idle: what a reader costs the server while there is nothing to read.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "bare_client.h"
#include "messenger/v1/messenger.pb.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

// Streams that stay until all have been measured, so that none takes memory
// which another has given back.
class IdleStreams {
 public:
  IdleStreams() = default;
  ~IdleStreams() {
    for (const auto& stream : streams_) stream->Cancel();
    for (const auto& stream : streams_) stream->Wait();
  }

  IdleStreams(const IdleStreams&) = delete;
  IdleStreams& operator=(const IdleStreams&) = delete;

  // KB of server memory for each.
  std::optional<double> Add(const ProcessProbe& server,
                            const std::string& target,
                            const std::string& request, int count,
                            int connections) {
    const std::optional<double> before = server.ResidentBytes();
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (int i = 0; i < connections; ++i) {
      channels.push_back(MakeChannel(target));
    }
    const std::size_t first = streams_.size();
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      streams_.push_back(
          std::make_unique<BareReader>(channels[i % channels.size()], request));
    }
    for (std::size_t i = first; i < streams_.size(); ++i) AwaitFrame(i);
    const std::optional<double> after = server.ResidentBytes();
    if (!before || !after) return std::nullopt;
    return (*after - *before) / 1e3 / count;
  }

 private:
  // The first frame says that the reader stands in the stream.
  void AwaitFrame(std::size_t i) const {
    const Clock::time_point start = Clock::now();
    while (streams_[i]->frames() == 0) {
      Check(SecondsSince(start) < 60, fmt::format("idle: no frame for {}", i));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::vector<std::unique_ptr<BareReader>> streams_;
};

}  // namespace

Scenario RunIdle(const Setting& setting) {
  const Options& options = setting.options;
  const ScratchChannel channel(setting, "idle");
  v1::ReadMessagesRequest request;
  request.set_channel(channel.name());
  const std::string ours = request.SerializeAsString();
  const std::string bare =
      BareStreamRequest{.frame_bytes = 20, .interval = std::chrono::hours(1)}
          .Encode();

  Scenario table = {
      .name = "idle",
      .about = fmt::format("server memory of each of {} readers that wait",
                           options.idle_readers)};
  IdleStreams streams;
  for (const int connections : {options.connections, options.idle_readers}) {
    const int used = std::min(connections, options.idle_readers);
    const auto measure = [&](const char* name, const ProcessProbe& server,
                             const std::string& target,
                             const std::string& bytes) {
      Case row{.name = fmt::format("{}, {} connections", name, used)};
      if (const auto memory =
              streams.Add(server, target, bytes, options.idle_readers, used)) {
        row.Add("memory", "KB", *memory);
      }
      return row;
    };
    Case row = measure("ReadMessages", setting.server, setting.target, ours);
    Case base = measure("  baseline: bare stream", setting.bare_server,
                        setting.bare_target, bare);
    if (!row.figures.empty()) {
      row.AddRatio("to bare", row.figures[0].value, base.figures[0].value);
    }
    table.cases.push_back(std::move(row));
    table.cases.push_back(std::move(base));
  }
  return table;
}

}  // namespace messenger::bench
