// Replay: how fast a reader gets through what is stored.
#include <fmt/format.h>

#include <algorithm>

#include "bare_client.h"
#include "messenger/v1/messenger.grpc.pb.h"
#include "percentiles.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

struct ReplayRun {
  double seconds = 0;
  double frames = 0;
  double server_cpu = 0;
  double client_cpu = 0;
};

void Fill(const Setting& setting, const std::string& channel) {
  const std::string text = MakeText(setting.options.text_bytes);
  Client client = Client::Connect({.target = setting.target});
  for (std::uint64_t i = 0; i < setting.options.replay_messages; ++i) {
    client.SendAsync({.channel = channel, .author = "bench", .text = text});
  }
  Check(client.Flush(), "replay: fill");
}

ReplayRun ReadWithClient(const Setting& setting, const std::string& channel,
                         Client& client) {
  std::uint64_t received = 0;
  std::uint64_t disorder = 0;
  std::uint64_t frames = 0;
  const CpuMeter cpu(setting.server);
  const CpuMeter client_cpu(setting.clients);
  const Clock::time_point start = Clock::now();
  const Subscription subscription = client.Read(
      {.channel = channel, .start = Start::Earliest(), .until_caught_up = true},
      {.on_message = [&](const Message& message) {
        if (message.sequence != ++received) ++disorder;
        if (message.last_of_frame) ++frames;
      }});
  Check(subscription.Wait(), "replay: read");
  const ReplayRun run = {.seconds = SecondsSince(start),
                         .frames = static_cast<double>(frames),
                         .server_cpu = cpu.Seconds().value_or(0),
                         .client_cpu = client_cpu.Seconds().value_or(0)};
  Check(received == setting.options.replay_messages && disorder == 0,
        fmt::format("replay: {} of {} messages arrived, {} out of order",
                    received, setting.options.replay_messages, disorder));
  return run;
}

// What a gRPC client in any other language does.
ReplayRun ReadWithStub(const Setting& setting, const std::string& channel,
                       v1::MessengerServer::Stub& stub) {
  v1::ReadMessagesRequest request;
  request.set_channel(channel);
  request.mutable_earliest();
  request.set_until_caught_up(true);
  std::uint64_t received = 0;
  std::uint64_t frames = 0;
  const CpuMeter cpu(setting.server);
  const CpuMeter client_cpu(setting.clients);
  const Clock::time_point start = Clock::now();
  grpc::ClientContext context;
  const auto reader = stub.ReadMessages(&context, request);
  v1::ReadMessagesResponse frame;
  while (reader->Read(&frame)) {
    received += static_cast<std::uint64_t>(frame.messages_size());
    if (frame.messages_size() > 0) ++frames;
  }
  const grpc::Status status = reader->Finish();
  const ReplayRun run = {.seconds = SecondsSince(start),
                         .frames = static_cast<double>(frames),
                         .server_cpu = cpu.Seconds().value_or(0),
                         .client_cpu = client_cpu.Seconds().value_or(0)};
  Check(status.ok() && received == setting.options.replay_messages,
        fmt::format("replay with the generated stub: {} of {} messages; {}",
                    received, setting.options.replay_messages,
                    status.error_message()));
  return run;
}

ReplayRun ReadBare(const Setting& setting, std::uint64_t bytes,
                   const std::shared_ptr<grpc::Channel>& channel) {
  constexpr std::size_t kFrameBytes = std::size_t{1} << 20;
  const CpuMeter cpu(setting.bare_server);
  const CpuMeter client_cpu(setting.clients);
  const Clock::time_point start = Clock::now();
  const std::uint64_t frames = std::max<std::uint64_t>(bytes / kFrameBytes, 1);
  const BareStreamRequest request = {.frame_bytes = kFrameBytes,
                                     .frames = frames};
  BareReader reader(channel, request.Encode());
  const grpc::Status status = reader.Wait();
  Check(status.ok() && reader.frames() == frames,
        "bare stream: " + status.error_message());
  return {.seconds = SecondsSince(start),
          .frames = static_cast<double>(frames),
          .server_cpu = cpu.Seconds().value_or(0),
          .client_cpu = client_cpu.Seconds().value_or(0)};
}

// The median of several runs, after one to warm up.
template <typename Read>
ReplayRun MedianRun(const Setting& setting, Read read) {
  read();
  std::vector<ReplayRun> runs;
  for (int i = 0; i < setting.options.replay_runs; ++i) runs.push_back(read());
  std::sort(runs.begin(), runs.end(),
            [](const ReplayRun& a, const ReplayRun& b) {
              return a.seconds < b.seconds;
            });
  return runs[runs.size() / 2];
}

Case MakeReplayCase(std::string name, const ReplayRun& run, double messages,
                    double bytes) {
  Case row{.name = std::move(name)};
  if (messages > 0) row.Add("messages", "msg/s", messages / run.seconds);
  row.Add("volume", "MB/s", bytes / 1e6 / run.seconds);
  if (messages > 0) row.Add("per frame", "msg", messages / run.frames);
  if (run.server_cpu > 0) {
    row.Add("server CPU/MB", "µs", run.server_cpu * 1e6 / (bytes / 1e6));
  }
  row.Add("client CPU/MB", "µs", run.client_cpu * 1e6 / (bytes / 1e6));
  if (messages > 0) {
    row.Add("client CPU/message", "ns", run.client_cpu * 1e9 / messages);
  }
  return row;
}

}  // namespace

Scenario RunReplay(const Setting& setting) {
  const Options& options = setting.options;
  ScratchChannel channel(setting, "replay");
  Fill(setting, channel.name());
  const ChannelInfo info = channel.Info();

  Client client = Client::Connect({.target = setting.target});
  const auto stub = v1::MessengerServer::NewStub(MakeChannel(setting.target));
  const auto bare_channel = MakeChannel(setting.bare_target);
  const ReplayRun ours = MedianRun(
      setting, [&] { return ReadWithClient(setting, channel.name(), client); });
  const ReplayRun typed = MedianRun(
      setting, [&] { return ReadWithStub(setting, channel.name(), *stub); });
  const ReplayRun bare = MedianRun(
      setting, [&] { return ReadBare(setting, info.bytes, bare_channel); });

  const auto messages = static_cast<double>(options.replay_messages);
  const auto bytes = static_cast<double>(info.bytes);
  const double bare_bytes = bare.frames * (1 << 20);
  Scenario table = {
      .name = "replay",
      .about = fmt::format(
          "{} stored messages of {} bytes to one reader, median of {} runs",
          options.replay_messages, options.text_bytes, options.replay_runs)};
  table.cases = {
      MakeReplayCase("Client::Read", ours, messages, bytes),
      MakeReplayCase("baseline: generated stub", typed, messages, bytes),
      MakeReplayCase("baseline: bare stream, 1 MiB frames", bare, 0,
                     bare_bytes)};
  Case& row = table.cases.front();
  row.AddRatio("to stub", typed.seconds, ours.seconds);
  row.AddRatio("to bare", bytes / ours.seconds, bare_bytes / bare.seconds);
  return table;
}

}  // namespace messenger::bench
