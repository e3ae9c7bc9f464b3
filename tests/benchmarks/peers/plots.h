// Figures as pictures.
#pragma once

#include <string>
#include <vector>

#include "peers/driver.h"

namespace messenger::bench {

// Has gnuplot draw what there are figures for, as SVG files in `directory`. If
// there is no gnuplot, says so on stderr.
void Plot(const std::vector<TableResults>& results,
          const std::string& directory);

}  // namespace messenger::bench
