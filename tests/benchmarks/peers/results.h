// What came of it: tables, figures for machines, and plots.
#pragma once

#include <string>
#include <vector>

#include "peers/driver.h"

namespace messenger::bench {

// As Markdown: medians, and the least and the most where they differ; then how
// ours compare. Ratios are taken within each round, and their median counts.
std::string ToMarkdown(const TableResults& results);
// Under what conditions it was.
std::string ConditionsAsMarkdown(const PeerOptions& options);

// Writes results.md, results.json and, if there is a gnuplot, the plots into
// the output directory. Throws std::runtime_error.
void Write(const std::vector<TableResults>& results,
           const PeerOptions& options);

}  // namespace messenger::bench
