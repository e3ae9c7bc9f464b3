// Conditional appends of several writers to one channel, beside plain ones: of
// those who expect the same message to be the last one, one gets through.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "loads.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

struct Writer {
  Samples samples;             // of what was stored
  std::uint64_t refusals = 0;  // on the way
  absl::Status failure;
};

// Each message is the next one that this writer has got through: when it is
// refused, it is sent again behind the one that is the last now.
void Write(const Setting& setting, const std::string& channel, bool conditional,
           Clock::time_point start, Writer* writer) {
  const std::string text = MakeText(setting.options.text_bytes);
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  Client client = Client::Connect({.target = setting.target});
  SendOptions options;
  if (conditional) options.expected_last = Position();
  for (Clock::time_point now = start; now < end;) {
    const auto receipt =
        client.Send({.channel = channel, .text = text}, options);
    const Clock::time_point done = Clock::now();
    if (receipt.ok()) {
      writer->samples.push_back(done - now);
      now = done;
      if (conditional) options.expected_last = receipt->position;
      continue;
    }
    options.expected_last = LastPosition(receipt.status());
    if (!options.expected_last) {
      writer->failure = receipt.status();
      return;
    }
    ++writer->refusals;
    if (done >= end) return;
  }
}

Case Measure(const Setting& setting, const std::string& name, bool conditional,
             int count) {
  ScratchChannel channel(setting, "conditional");
  std::vector<Writer> writers(static_cast<std::size_t>(count));
  const Clock::time_point start = Clock::now();
  std::vector<std::thread> threads;
  for (Writer& writer : writers) {
    threads.emplace_back(
        [&] { Write(setting, channel.name(), conditional, start, &writer); });
  }
  for (std::thread& thread : threads) thread.join();
  const double elapsed = SecondsSince(start);
  Samples all;
  std::uint64_t refusals = 0;
  for (const Writer& writer : writers) {
    Check(writer.failure, "Client::Send");
    all.insert(all.end(), writer.samples.begin(), writer.samples.end());
    refusals += writer.refusals;
  }
  const auto stored =
      Client::Connect({.target = setting.target}).GetChannel(channel.name());
  Check(stored.status(), "GetChannel");
  Check(stored->head == all.size(),
        fmt::format("{} of {} messages are stored", stored->head, all.size()));
  const double tries = static_cast<double>(all.size() + refusals) /
                       static_cast<double>(all.size());
  return MakeCase(
      conditional ? fmt::format("{} ({:.1f} tries each)", name, tries) : name,
      std::move(all), elapsed);
}

}  // namespace

Scenario RunConditional(const Setting& setting) {
  Scenario scenario = {
      .name = "conditional",
      .about = "appends to one channel, each writer waiting for its receipt"};
  for (const int writers : {1, 8}) {
    const std::string who =
        fmt::format("{} writer{}", writers, writers == 1 ? "" : "s");
    Case plain = Measure(setting, "baseline: plain, " + who, false, writers);
    Case conditional = Measure(setting, "conditional, " + who, true, writers);
    conditional.AddRatio("to plain", conditional.figures.front().value,
                         plain.figures.front().value);
    scenario.cases.push_back(std::move(conditional));
    scenario.cases.push_back(std::move(plain));
  }
  return scenario;
}

}  // namespace messenger::bench
