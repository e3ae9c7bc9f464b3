#include "percentiles.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

namespace messenger::bench {

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

void AddPercentiles(std::vector<std::chrono::nanoseconds> samples, Case* row) {
  if (samples.empty()) return;
  std::sort(samples.begin(), samples.end());
  using Level = std::pair<const char*, double>;
  constexpr auto kLevels = std::to_array<Level>({
      {"p50", 0.5},
      {"p90", 0.9},
      {"p99", 0.99},
      {"p99.9", 0.999},
      {"max", 1},
  });
  for (const auto& [name, level] : kLevels) {
    // The smallest sample that at least this part of all does not exceed.
    const auto rank = static_cast<std::size_t>(
        std::ceil(level * static_cast<double>(samples.size())));
    const std::chrono::duration<double, std::micro> value =
        samples[std::max<std::size_t>(rank, 1) - 1];
    row->Add(name, "µs", value.count());
  }
}

}  // namespace messenger::bench
