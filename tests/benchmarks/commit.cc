// Rounds of the log in a directory, without gRPC: many small batches at once,
// to one channel or each to another one.
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "disk.h"
#include "loads.h"
#include "log/message_log.h"
#include "percentiles.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

constexpr int kBatches = 1000;

Case Measure(const Options& options, std::string name, const std::string& uri,
             int channels) {
  const auto log = Value(OpenLog(uri), "log");
  v1::NewMessage message;
  message.set_author("bench");
  message.set_text(MakeText(options.text_bytes));
  const auto encoded =
      std::make_shared<std::string>(message.SerializeAsString());
  std::vector<std::string> names;
  for (int i = 0; i < channels; ++i) names.push_back(fmt::format("c{}", i));
  Samples samples;
  const Clock::time_point end = Clock::now() + ToDuration(options.seconds);
  for (Clock::time_point now = Clock::now(); now < end;) {
    std::atomic<int> failed{0};
    absl::BlockingCounter left(kBatches);
    for (int i = 0; i < kBatches; ++i) {
      AppendBatch batch;
      batch.channel = names[static_cast<std::size_t>(i % channels)];
      batch.messages = {wire::CanonicalMessage(*encoded)};
      batch.backing = encoded;
      log->Append(std::move(batch), [&](const AppendResult& result) {
        if (!result.ok()) ++failed;
        left.DecrementCount();
      });
    }
    left.Wait();
    Check(failed == 0, "commit: an append has failed");
    const Clock::time_point done = Clock::now();
    samples.push_back(done - now);
    now = done;
  }
  Case row{.name = std::move(name)};
  AddPercentiles(std::move(samples), &row);
  return row;
}

}  // namespace

Scenario RunCommit(const Setting& setting) {
  const Options& options = setting.options;
  Scenario table = {
      .name = "commit",
      .about = fmt::format("{} batches of one message of {} bytes, handed to "
                           "the log at once, until all are durable",
                           kBatches, options.text_bytes)};
  for (const char* kind : {"memory:", "file:"}) {
    double one = 0;
    for (const int channels : {1, kBatches}) {
      const ScratchDirectory directory(options.directory);
      const std::string uri =
          kind == std::string_view("file:") ? kind + directory.path() : kind;
      Case row = Measure(options,
                         fmt::format("{} {} channel{}", kind, channels,
                                     channels == 1 ? "" : "s"),
                         uri, channels);
      const double p50 = row.figures.front().value;
      if (channels == 1) one = p50;
      row.AddRatio("p50 to one channel", p50, one);
      table.cases.push_back(std::move(row));
    }
  }
  return table;
}

}  // namespace messenger::bench
