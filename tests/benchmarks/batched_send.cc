// Batched send: SendAsync, flat out.
#include <fmt/format.h>

#include <utility>

#include "bare_client.h"
#include "loads.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

// The size of the requests that a client sends under load.
constexpr std::size_t kRequestBytes = std::size_t{256} << 10;

}  // namespace

Scenario RunBatchedSend(const Setting& setting) {
  Scenario table = {.name = "batched",
                    .about =
                        "SendAsync from one thread of each client, "
                        "flat out, until all is acknowledged"};
  const double bare = MeasureBareUpload(setting.bare_target, kRequestBytes,
                                        setting.options.seconds / 2) /
                      1e6;
  const auto add = [&](Content content, std::size_t bytes, int clients) {
    Case row = MeasureBatched(setting, content, bytes, clients);
    row.AddRatio("volume to bare", row.figures[1].value, bare);
    table.cases.push_back(std::move(row));
  };
  for (const std::size_t bytes : setting.options.batched_text_bytes) {
    for (const int clients : {1, 2}) add(Content::kText, bytes, clients);
  }
  for (const int clients : {1, 2}) {
    add(Content::kData, setting.options.batched_data_bytes, clients);
  }
  Case row{.name = "baseline: bare upload, 256 KiB requests"};
  row.Add("requests' volume", "MB/s", bare);
  table.cases.push_back(std::move(row));
  return table;
}

}  // namespace messenger::bench
