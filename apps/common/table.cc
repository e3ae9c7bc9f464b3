#include "apps/common/table.h"

#include <algorithm>
#include <cstddef>

namespace messenger::app {

void AppendTable(std::span<const Align> columns,
                 std::span<const std::vector<std::string>> rows,
                 std::string* out) {
  std::vector<std::size_t> widths(columns.size());
  for (const std::vector<std::string>& row : rows) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const std::vector<std::string>& row : rows) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) out->append("  ");
      const std::string blanks(widths[i] - row[i].size(), ' ');
      if (columns[i] == Align::kRight) out->append(blanks);
      out->append(row[i]);
      // No blanks end a line.
      const bool is_last = i + 1 == columns.size();
      if (columns[i] == Align::kLeft && !is_last) out->append(blanks);
    }
    out->push_back('\n');
  }
}

}  // namespace messenger::app
