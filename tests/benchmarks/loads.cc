#include "loads.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "percentiles.h"

namespace messenger::bench {
namespace {

using Stub = v1::MessengerServer::Stub;

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

// As a field of SendMessagesRequest, which is what travels.
std::size_t EncodedBytes(const std::string& text) {
  v1::SendMessagesRequest request;
  v1::NewMessage* message = request.add_messages();
  message->set_author("bench");
  message->set_text(text);
  return request.ByteSizeLong();
}

}  // namespace

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

Case MeasureOutstanding(const Setting& setting, std::string name, Stub& stub,
                        const v1::SendMessageRequest& request, int count) {
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

Case MeasureBatched(const Setting& setting, Content content, std::size_t bytes,
                    int clients) {
  ScratchChannel channel(setting, "batched");
  const std::string text = MakeText(bytes);
  const bool is_text = content == Content::kText;
  std::vector<std::uint64_t> sent(static_cast<std::size_t>(clients));
  std::vector<absl::Status> results(sent.size());
  std::vector<Clock::time_point> ends(sent.size());
  const CpuMeter cpu(setting.server);
  const CpuMeter client_cpu(setting.clients);
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  const auto work = [&](std::size_t i) {
    constexpr int kBetweenLooksAtTheClock = 64;
    Client client = Client::Connect({.target = setting.target});
    while (Clock::now() < end) {
      for (int k = 0; k < kBetweenLooksAtTheClock; ++k) {
        NewMessage message = {.channel = channel.name(), .author = "bench"};
        (is_text ? message.text : message.data) = text;
        client.SendAsync(message);
      }
      sent[i] += kBetweenLooksAtTheClock;
    }
    results[i] = client.Flush();
    ends[i] = Clock::now();  // not counting how the client goes
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < sent.size(); ++i) workers.emplace_back(work, i);
  for (std::thread& worker : workers) worker.join();
  const double elapsed =
      std::chrono::duration<double>(
          *std::max_element(ends.begin(), ends.end()) - start)
          .count();
  const std::optional<double> cpu_seconds = cpu.Seconds();
  const double client_seconds = client_cpu.Seconds().value_or(0);

  std::uint64_t total = 0;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    Check(results[i], "batched send");
    total += sent[i];
  }
  const ChannelInfo info = channel.Info();
  Check(info.head == total,
        fmt::format("batched send: {} messages acknowledged, but the head is "
                    "{}",
                    total, info.head));

  const auto messages = static_cast<double>(total);
  Case row{.name = fmt::format("{}-byte {}, {} client{}", bytes,
                               is_text ? "texts" : "data", clients,
                               clients == 1 ? "" : "s")};
  row.Add("acknowledged", "msg/s", messages / elapsed);
  row.Add("requests' volume", "MB/s",
          messages * static_cast<double>(EncodedBytes(text)) / 1e6 / elapsed);
  AddServerCores(cpu_seconds, elapsed, &row);
  if (cpu_seconds) {
    row.Add("server CPU/message", "ns", *cpu_seconds / messages * 1e9);
  }
  row.Add("client CPU/message", "ns", client_seconds / messages * 1e9);
  return row;
}

}  // namespace messenger::bench
