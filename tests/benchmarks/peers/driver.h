// Measures what is planned.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "peers/plan.h"

namespace messenger::bench {

// Of one figure, one value for each round.
struct Series {
  std::string unit;
  std::vector<double> values;
};

struct TableResults {
  const Table* table;
  // By row; figures in the order in which they came.
  std::map<std::string, std::vector<std::pair<std::string, Series>>> rows;

  // Null if there is none.
  const Series* Find(const std::string& row, const std::string& figure) const;
};

// Runs all rows of a table once a round, each with a fresh server and in a
// client process of its own, there and back: A B C, C B A, … Throws
// std::runtime_error if one of them fails.
TableResults Measure(const Table& table, const PeerOptions& options);

}  // namespace messenger::bench
