// Unary send: one message, one answer.
#include <fmt/format.h>

#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "bare_client.h"
#include "messenger/v1/messenger.grpc.pb.h"
#include "percentiles.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

using Stub = v1::MessengerServer::Stub;
using Samples = std::vector<std::chrono::nanoseconds>;

// Calls per second.
double Rate(const Case& row) {
  return row.figures.front().value;
}

Case MakeCase(std::string name, Samples samples, double elapsed) {
  Case row{.name = std::move(name)};
  row.Add("calls", "calls/s", static_cast<double>(samples.size()) / elapsed);
  AddPercentiles(std::move(samples), &row);
  return row;
}

v1::SendMessageRequest MakeRequest(const Options& options,
                                   const std::string& channel) {
  v1::SendMessageRequest request;
  request.set_channel(channel);
  request.mutable_message()->set_author("bench");
  request.mutable_message()->set_text(MakeText(options.text_bytes));
  return request;
}

// One call at a time, with the blocking API.
Case MeasureBlocking(const Setting& setting, std::string name, Stub& stub,
                     const v1::SendMessageRequest& request) {
  Samples samples;
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  for (Clock::time_point now = start; now < end;) {
    grpc::ClientContext context;
    v1::SendMessageResponse response;
    const grpc::Status status = stub.SendMessage(&context, request, &response);
    Check(status.ok(), "unary send: " + status.error_message());
    const Clock::time_point done = Clock::now();
    samples.push_back(done - now);
    now = done;
  }
  return MakeCase(std::move(name), std::move(samples), SecondsSince(start));
}

// A caller that has one call outstanding, again and again, with the callback
// API.
class Caller {
 public:
  Caller(Stub* stub, const v1::SendMessageRequest* request,
         Clock::time_point end, absl::BlockingCounter* running)
      : stub_(stub), request_(request), end_(end), running_(running) {}

  void Call() {
    context_ = std::make_unique<grpc::ClientContext>();
    start_ = Clock::now();
    stub_->async()->SendMessage(
        context_.get(), request_, &response_,
        [this](const grpc::Status& status) { OnAnswer(status); });
  }

  const Samples& samples() const { return samples_; }
  const grpc::Status& status() const { return status_; }

 private:
  void OnAnswer(const grpc::Status& status) {
    const Clock::time_point now = Clock::now();
    status_ = status;
    samples_.push_back(now - start_);
    if (status.ok() && now < end_) {
      Call();
    } else {
      running_->DecrementCount();
    }
  }

  Stub* const stub_;
  const v1::SendMessageRequest* const request_;
  const Clock::time_point end_;
  absl::BlockingCounter* const running_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::SendMessageResponse response_;
  Clock::time_point start_;
  Samples samples_;
  grpc::Status status_;
};

Case MeasureOutstanding(const Setting& setting, std::string name, Stub& stub,
                        const v1::SendMessageRequest& request) {
  const int count = setting.options.outstanding;
  absl::BlockingCounter running(count);
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < count; ++i) {
    callers.push_back(std::make_unique<Caller>(&stub, &request, end, &running));
  }
  for (const auto& caller : callers) caller->Call();
  running.Wait();
  const double elapsed = SecondsSince(start);
  Samples samples;
  for (const auto& caller : callers) {
    Check(caller->status().ok(),
          "unary send: " + caller->status().error_message());
    samples.insert(samples.end(), caller->samples().begin(),
                   caller->samples().end());
  }
  return MakeCase(std::move(name), std::move(samples), elapsed);
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
  Case echoes = MeasureOutstanding(setting, "baseline: bare echo, " + several,
                                   *bare, request);
  Case calls =
      MeasureOutstanding(setting, "SendMessage, " + several, *stub, request);
  Case send = MeasureClient(setting, "Client::Send", channel.name(), 1);
  Case sends = MeasureClient(
      setting, fmt::format("Client::Send, {} threads", options.threads),
      channel.name(), options.threads);
  call.AddRatio("calls to bare", Rate(call), Rate(echo));
  calls.AddRatio("calls to bare", Rate(calls), Rate(echoes));
  send.AddRatio("calls to bare", Rate(send), Rate(echo));
  sends.AddRatio("calls to bare", Rate(sends), Rate(echo));
  return {.name = "unary",
          .about = fmt::format("one message of {} bytes each, with round trips",
                               options.text_bytes),
          .cases = {std::move(call), std::move(echo), std::move(calls),
                    std::move(echoes), std::move(send), std::move(sends)}};
}

}  // namespace messenger::bench
