#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace messenger::bench {
namespace {

// A figure's place in all rows.
struct Column {
  std::string name;
  std::string unit;
  std::size_t width = 0;
};

// In characters, of UTF-8.
std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (c & '\xC0') != '\x80'; }));
}

std::string ThreeDigits(double value) {
  const double size = std::abs(value);
  const int decimals = size >= 99.95   ? 0
                       : size >= 9.995 ? 1
                       : size >= 1     ? 2
                                       : 3;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string FormatValue(const Figure& figure) {
  const bool is_rate = figure.unit.ends_with("/s");
  if (is_rate && figure.value >= 1e6) {
    return ThreeDigits(figure.value / 1e6) + " M";
  }
  if (is_rate && figure.value >= 1e4) {
    return ThreeDigits(figure.value / 1e3) + " k";
  }
  return ThreeDigits(figure.value);
}

const Figure* Find(const Case& row, const Column& column) {
  const auto it = std::find_if(
      row.figures.begin(), row.figures.end(), [&](const Figure& figure) {
        return figure.name == column.name && figure.unit == column.unit;
      });
  return it == row.figures.end() ? nullptr : &*it;
}

std::string Cell(const Case& row, const Column& column) {
  const Figure* figure = Find(row, column);
  return figure == nullptr ? "-" : FormatValue(*figure);
}

std::vector<Column> Columns(const Scenario& scenario) {
  std::vector<Column> columns;
  for (const Case& row : scenario.cases) {
    for (const Figure& figure : row.figures) {
      const bool known = std::any_of(
          columns.begin(), columns.end(), [&](const Column& column) {
            return column.name == figure.name && column.unit == figure.unit;
          });
      if (!known) columns.push_back({figure.name, figure.unit});
    }
  }
  for (Column& column : columns) {
    column.width = std::max(Width(column.name), Width(column.unit));
    for (const Case& row : scenario.cases) {
      column.width = std::max(column.width, Width(Cell(row, column)));
    }
  }
  return columns;
}

}  // namespace

void Case::AddRatio(std::string figure, double value, double base) {
  if (base > 0) Add(std::move(figure), "×", value / base);
}

void Print(const Conditions& conditions) {
  std::size_t width = 0;
  for (const auto& [name, value] : conditions) {
    width = std::max(width, Width(name));
  }
  for (const auto& [name, value] : conditions) {
    fmt::print("{:<{}}  {}\n", name, width, value);
  }
  std::fflush(stdout);
}

void Print(const Scenario& scenario) {
  const std::vector<Column> columns = Columns(scenario);
  std::size_t names = 0;
  for (const Case& row : scenario.cases) {
    names = std::max(names, Width(row.name));
  }
  fmt::print("\n{}: {}\n", scenario.name, scenario.about);
  std::string line = fmt::format("  {:<{}}", "", names);
  for (const Column& column : columns) {
    line += fmt::format("  {:>{}}", column.name, column.width);
  }
  line += fmt::format("\n  {:<{}}", "", names);
  for (const Column& column : columns) {
    line += fmt::format("  {:>{}}", column.unit, column.width);
  }
  fmt::print("{}\n", line);
  for (const Case& row : scenario.cases) {
    line = fmt::format("  {:<{}}", row.name, names);
    for (const Column& column : columns) {
      line += fmt::format("  {:>{}}", Cell(row, column), column.width);
    }
    fmt::print("{}\n", line);
  }
  std::fflush(stdout);
}

nlohmann::ordered_json ToJson(const Conditions& conditions) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : conditions) json[name] = value;
  return json;
}

nlohmann::ordered_json ToJson(const Scenario& scenario) {
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const Case& row : scenario.cases) {
    nlohmann::ordered_json figures = nlohmann::ordered_json::object();
    for (const Figure& figure : row.figures) {
      figures[figure.name] = {{"value", figure.value}, {"unit", figure.unit}};
    }
    cases.push_back({{"case", row.name}, {"figures", std::move(figures)}});
  }
  return {{"scenario", scenario.name},
          {"about", scenario.about},
          {"cases", std::move(cases)}};
}

}  // namespace messenger::bench
