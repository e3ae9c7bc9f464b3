// Order statistics of what was measured.
#pragma once

#include <chrono>
#include <vector>

#include "report.h"

namespace messenger::bench {

// 0 if there are none.
double Median(std::vector<double> values);

// Adds p50, p90, p99, p99.9 and the maximum, in microseconds.
void AddPercentiles(std::vector<std::chrono::nanoseconds> samples, Case* row);

}  // namespace messenger::bench
