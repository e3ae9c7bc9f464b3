// Under what conditions figures were taken: without them they mean nothing.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "options.h"

namespace messenger::bench {

// Names and values, in the order in which they should be shown.
using Conditions = std::vector<std::pair<std::string, std::string>>;

// Of the machine and the program.
Conditions GatherConditions();
// And of what was asked for.
Conditions GatherConditions(const Options& options);

// Whether this program was built to be measured.
bool IsOptimised();

}  // namespace messenger::bench
