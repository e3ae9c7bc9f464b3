// Unary send: one message, one answer.
#include <fmt/format.h>

#include <thread>
#include <utility>

#include "bare_client.h"
#include "loads.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

using Stub = v1::MessengerServer::Stub;

// Calls per second.
double Rate(const Case& row) {
  return row.figures.front().value;
}

// One call at a time, with the blocking API.
Case MeasureBlocking(const Setting& setting, std::string name, Stub& stub,
                     v1::SendMessageRequest request) {
  Samples samples;
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  for (Clock::time_point now = start; now < end;) {
    grpc::ClientContext context;
    v1::SendMessageResponse response;
    if (!request.producer_id().empty()) {
      request.set_producer_sequence(request.producer_sequence() + 1);
    }
    const grpc::Status status = stub.SendMessage(&context, request, &response);
    Check(status.ok(), "unary send: " + status.error_message());
    const Clock::time_point done = Clock::now();
    samples.push_back(done - now);
    now = done;
  }
  return MakeCase(std::move(name), std::move(samples), SecondsSince(start));
}

Case MeasureClient(const Setting& setting, std::string name,
                   const std::string& channel, int threads) {
  const std::string text = MakeText(setting.options.text_bytes);
  Client client = Client::Connect({.target = setting.target});
  const auto send = [&] {
    return client.Send({.channel = channel, .author = "bench", .text = text})
        .status();
  };
  Check(send(), "Client::Send");  // connects
  std::vector<Samples> samples(static_cast<std::size_t>(threads));
  std::vector<absl::Status> failures(samples.size());
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  const auto work = [&](std::size_t i) {
    for (Clock::time_point now = start; now < end && failures[i].ok();) {
      failures[i] = send();
      const Clock::time_point done = Clock::now();
      samples[i].push_back(done - now);
      now = done;
    }
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    workers.emplace_back(work, i);
  }
  for (std::thread& worker : workers) worker.join();
  const double elapsed = SecondsSince(start);
  Samples all;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    Check(failures[i], "Client::Send");
    all.insert(all.end(), samples[i].begin(), samples[i].end());
  }
  return MakeCase(std::move(name), std::move(all), elapsed);
}

}  // namespace

Scenario RunUnarySend(const Setting& setting) {
  const Options& options = setting.options;
  ScratchChannel channel(setting, "unary");
  const auto stub = v1::MessengerServer::NewStub(MakeChannel(setting.target));
  const auto bare =
      v1::MessengerServer::NewStub(MakeChannel(setting.bare_target));
  const v1::SendMessageRequest request = MakeRequest(options, channel.name());
  const std::string several =
      fmt::format("{} calls at a time", options.outstanding);

  Case echo = MeasureBlocking(setting, "baseline: bare echo", *bare, request);
  Case call = MeasureBlocking(setting, "SendMessage", *stub, request);
  v1::SendMessageRequest numbered = request;
  numbered.set_producer_id(fmt::format(
      "{:016x}",
      static_cast<std::uint64_t>(Clock::now().time_since_epoch().count())));
  Case once = MeasureBlocking(setting, "SendMessage, as a producer", *stub,
                              std::move(numbered));
  Case echoes = MeasureOutstanding(setting, "baseline: bare echo, " + several,
                                   *bare, request, options.outstanding);
  Case calls = MeasureOutstanding(setting, "SendMessage, " + several, *stub,
                                  request, options.outstanding);
  Case send = MeasureClient(setting, "Client::Send", channel.name(), 1);
  Case sends = MeasureClient(
      setting, fmt::format("Client::Send, {} threads", options.threads),
      channel.name(), options.threads);
  call.AddRatio("calls to bare", Rate(call), Rate(echo));
  once.AddRatio("calls to bare", Rate(once), Rate(echo));
  calls.AddRatio("calls to bare", Rate(calls), Rate(echoes));
  send.AddRatio("calls to bare", Rate(send), Rate(echo));
  sends.AddRatio("calls to bare", Rate(sends), Rate(echo));
  return {.name = "unary",
          .about = fmt::format("one message of {} bytes each, with round trips",
                               options.text_bytes),
          .cases = {std::move(call), std::move(once), std::move(echo),
                    std::move(calls), std::move(echoes), std::move(send),
                    std::move(sends)}};
}

}  // namespace messenger::bench
