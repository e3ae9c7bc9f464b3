// Latency: from SendAsync to another client's callback.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <string_view>
#include <thread>

#include "absl/synchronization/notification.h"
#include "bare_client.h"
#include "messenger/v1/messenger.grpc.pb.h"
#include "percentiles.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

using Samples = std::vector<std::chrono::nanoseconds>;

// Digits of a stamp at the beginning of a text.
constexpr std::size_t kStampBytes = 20;

void PutStamp(std::string* text) {
  const std::string stamp = fmt::format(
      "{:0{}}", Clock::now().time_since_epoch().count(), kStampBytes);
  text->replace(0, kStampBytes, stamp);
}

std::chrono::nanoseconds Age(std::string_view text) {
  const Clock::duration::rep now = Clock::now().time_since_epoch().count();
  Clock::duration::rep stamp = 0;
  std::from_chars(text.data(), text.data() + kStampBytes, stamp);
  return std::chrono::nanoseconds(now - stamp);
}

Case MakeMessageCase(std::string name, Samples samples, double elapsed) {
  Case row{.name = std::move(name)};
  row.Add("rate", "msg/s", static_cast<double>(samples.size()) / elapsed);
  AddPercentiles(std::move(samples), &row);
  return row;
}

Case MeasureMessages(const Setting& setting, int rate) {
  ScratchChannel channel(setting, "latency");
  Client reader = Client::Connect({.target = setting.target});
  Client sender = Client::Connect({.target = setting.target});
  const auto expected =
      static_cast<std::size_t>(setting.options.seconds * rate);
  Samples samples;
  samples.reserve(expected);
  absl::Notification joined;
  std::atomic<std::uint64_t> received{0};
  const Subscription subscription = reader.Read(
      {.channel = channel.name()},
      {.on_joined = [&](const Joined&) { joined.Notify(); },
       .on_message =
           [&](const Message& message) {
             samples.push_back(Age(message.text));
             received.store(message.sequence, std::memory_order_release);
           }});
  joined.WaitForNotification();

  std::string text =
      MakeText(std::max(setting.options.text_bytes, kStampBytes));
  const Clock::time_point start = Clock::now();
  const std::uint64_t sent =
      SendPaced(rate, setting.options.seconds, [&](std::uint64_t /*number*/) {
        PutStamp(&text);
        sender.SendAsync(
            {.channel = channel.name(), .author = "bench", .text = text});
      });
  Check(sender.Flush(), "latency: send");
  const double elapsed = SecondsSince(start);
  for (const Clock::time_point last = Clock::now();
       received.load(std::memory_order_acquire) < sent;) {
    Check(SecondsSince(last) < 60,
          fmt::format("latency: {} of {} messages arrived", received.load(),
                      sent));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  subscription.Cancel();
  Check(
      samples.size() == sent,
      fmt::format("latency: {} of {} messages arrived", samples.size(), sent));
  return MakeMessageCase(fmt::format("send to callback, {} msg/s", rate),
                         std::move(samples), elapsed);
}

// A call to the bare server and back, at the same pace.
class BareCall {
 public:
  BareCall(v1::MessengerServer::Stub& stub,
           const v1::SendMessageRequest& request) {
    start_ = Clock::now();
    stub.async()->SendMessage(&context_, &request, &response_,
                              [this](const grpc::Status& status) {
                                time_ = Clock::now() - start_;
                                status_ = status;
                                done_.Notify();
                              });
  }

  std::chrono::nanoseconds Await() {
    done_.WaitForNotification();
    Check(status_.ok(), "bare echo: " + status_.error_message());
    return time_;
  }

 private:
  grpc::ClientContext context_;
  v1::SendMessageResponse response_;
  Clock::time_point start_;
  std::chrono::nanoseconds time_{0};
  grpc::Status status_;
  absl::Notification done_;
};

Case MeasureBare(const Setting& setting, int rate) {
  const auto stub =
      v1::MessengerServer::NewStub(MakeChannel(setting.bare_target));
  v1::SendMessageRequest request;
  request.mutable_message()->set_text(MakeText(setting.options.text_bytes));
  BareCall(*stub, request).Await();  // connects
  std::vector<std::unique_ptr<BareCall>> calls;
  const Clock::time_point start = Clock::now();
  SendPaced(rate, setting.options.seconds, [&](std::uint64_t /*number*/) {
    calls.push_back(std::make_unique<BareCall>(*stub, request));
  });
  const double elapsed = SecondsSince(start);
  Samples samples;
  for (const auto& call : calls) samples.push_back(call->Await());
  return MakeMessageCase(fmt::format("baseline: bare echo, {} calls/s", rate),
                         std::move(samples), elapsed);
}

}  // namespace

Scenario RunLatency(const Setting& setting) {
  // More calls than this a second, and their round trip would be a queue.
  constexpr int kMostBareCalls = 1000;
  Scenario table = {.name = "latency",
                    .about =
                        "from SendAsync to the callback of another client "
                        "in the same process"};
  if (setting.options.latency_rates.empty()) return table;
  const int bare_rate =
      std::min(kMostBareCalls, setting.options.latency_rates.front());
  Case bare = MeasureBare(setting, bare_rate);
  const auto p50 = [](const Case& row) { return row.figures[1].value; };
  for (const int rate : setting.options.latency_rates) {
    Case row = MeasureMessages(setting, rate);
    row.AddRatio("p50 to bare", p50(row), p50(bare));
    table.cases.push_back(std::move(row));
  }
  table.cases.push_back(std::move(bare));
  return table;
}

}  // namespace messenger::bench
