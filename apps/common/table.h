// Tables as the commands print them for people.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace messenger::app {

enum class Align { kLeft, kRight };

// Appends rows, the first of which has the heads. Each has a cell for each of
// `columns`; the cells are fit for a terminal.
void AppendTable(std::span<const Align> columns,
                 std::span<const std::vector<std::string>> rows,
                 std::string* out);

}  // namespace messenger::app
