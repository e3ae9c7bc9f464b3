#include "peers/results.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <nats/nats.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "conditions.h"
#include "peers/plots.h"
#include "percentiles.h"

namespace messenger::bench {
namespace {

// Three digits that count: 1.23 M.
std::string Short(double value) {
  for (const auto& [size, suffix] :
       {std::pair(1e9, " G"), std::pair(1e6, " M"), std::pair(1e4, " k")}) {
    if (value < size) continue;
    const double scaled = value / (size == 1e4 ? 1e3 : size);
    return fmt::format("{:.{}f}{}", scaled,
                       scaled < 10 ? 2 : (scaled < 100 ? 1 : 0), suffix);
  }
  if (value == 0) return "0";
  return fmt::format("{:.{}f}", value, value < 10 ? 2 : (value < 100 ? 1 : 0));
}

// The median, and the range if there is one.
std::string Cell(const Series& series) {
  const auto [least, most] =
      std::minmax_element(series.values.begin(), series.values.end());
  if (series.values.size() == 1) return Short(*least);
  return fmt::format("{} ({}–{})", Short(Median(series.values)), Short(*least),
                     Short(*most));
}

// The names of all figures, in the order of their first appearance.
std::vector<std::pair<std::string, std::string>> FiguresOf(
    const TableResults& results) {
  std::vector<std::pair<std::string, std::string>> figures;
  std::set<std::string> seen;
  for (const Row& row : results.table->rows) {
    const auto it = results.rows.find(row.name);
    if (it == results.rows.end()) continue;
    for (const auto& [name, series] : it->second) {
      if (seen.insert(name).second) figures.emplace_back(name, series.unit);
    }
  }
  return figures;
}

std::vector<double> Ratios(const TableResults& results, const Goal& goal) {
  const Series* const ours = results.Find(goal.row, goal.figure);
  const Series* const base = results.Find(goal.base, goal.figure);
  std::vector<double> ratios;
  if (ours == nullptr || base == nullptr) return ratios;
  for (std::size_t i = 0; i < ours->values.size(); ++i) {
    ratios.push_back(ours->values[i] / base->values.at(i));
  }
  return ratios;
}

// What was expected, to what TLS costs.
std::vector<double> Ratios(const TableResults& results, const TlsCost& cost) {
  const auto of_one = [&](const std::string& line, const Protection& protection,
                          std::size_t round) {
    const double value =
        results.Find(RowName(line, protection), cost.figure)->values.at(round);
    return cost.is_cost ? value : 1 / value;
  };
  const std::size_t rounds =
      results.Find(RowName(cost.line, kTls), cost.figure)->values.size();
  std::vector<double> ratios;
  for (std::size_t i = 0; i < rounds; ++i) {
    const double tls =
        of_one(cost.base, kTls, i) - of_one(cost.base, kPlain, i);
    ratios.push_back((of_one(cost.line, kPlain, i) + tls) /
                     of_one(cost.line, kTls, i));
  }
  return ratios;
}

bool Reached(const Goal& goal, double ratio) {
  return goal.at_most ? ratio <= goal.ratio : ratio >= goal.ratio;
}

// Of a program, its first line.
std::string VersionOf(const char* command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command, "r"),
                                                   &pclose);
  std::array<char, 256> line{};
  if (!pipe || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) {
    return "unknown";
  }
  std::string version = line.data();
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

Conditions GatherPeerConditions(const PeerOptions& options) {
  Conditions conditions = GatherConditions();
  conditions.emplace_back("NATS", VersionOf("nats-server --version"));
  conditions.emplace_back("libnats", nats_GetVersion());
  conditions.emplace_back("Redis", VersionOf("redis-server --version"));
  conditions.emplace_back("hiredis", fmt::format("{}.{}.{}", HIREDIS_MAJOR,
                                                 HIREDIS_MINOR, HIREDIS_PATCH));
  conditions.emplace_back("transport",
                          "TCP over loopback, without TLS unless said");
  conditions.emplace_back(
      "text", fmt::format("{} bytes, unless said", options.text_bytes));
  conditions.emplace_back("rounds", fmt::format("{}", options.rounds));
  conditions.emplace_back("timed runs",
                          fmt::format("{} s each", options.seconds));
  return conditions;
}

nlohmann::ordered_json ToJson(const TableResults& results) {
  nlohmann::ordered_json table = {{"name", results.table->name},
                                  {"about", results.table->about},
                                  {"note", results.table->note},
                                  {"rows", nlohmann::json::array()},
                                  {"ratios", nlohmann::json::array()}};
  for (const Row& row : results.table->rows) {
    nlohmann::ordered_json figures = nlohmann::json::array();
    for (const auto& [name, series] : results.rows.at(row.name)) {
      figures.push_back({{"name", name},
                         {"unit", series.unit},
                         {"median", Median(series.values)},
                         {"values", series.values}});
    }
    table["rows"].push_back({{"name", row.name},
                             {"server", Describe(row.server, row.protection)},
                             {"through_gateway", row.through_gateway},
                             {"figures", figures}});
  }
  for (const Goal& goal : results.table->goals) {
    const std::vector<double> ratios = Ratios(results, goal);
    nlohmann::ordered_json entry = {{"row", goal.row},
                                    {"base", goal.base},
                                    {"figure", goal.figure},
                                    {"median", Median(ratios)},
                                    {"values", ratios}};
    if (goal.ratio > 0) {
      entry[goal.at_most ? "at_most" : "at_least"] = goal.ratio;
      entry["reached"] = Reached(goal, Median(ratios));
    }
    table["ratios"].push_back(std::move(entry));
  }
  for (const TlsCost& cost : results.table->tls_costs) {
    const std::vector<double> ratios = Ratios(results, cost);
    table["tls_costs"].push_back({{"line", cost.line},
                                  {"base", cost.base},
                                  {"figure", cost.figure},
                                  {"median", Median(ratios)},
                                  {"values", ratios},
                                  {"at_least", cost.least},
                                  {"reached", Median(ratios) >= cost.least}});
  }
  return table;
}

std::string RowsAsMarkdown(const TableResults& results) {
  std::string out = "|  |";
  const auto figures = FiguresOf(results);
  for (const auto& [name, unit] : figures) {
    out += fmt::format(" {}, {} |", name, unit);
  }
  out += "\n|---|";
  for (std::size_t i = 0; i < figures.size(); ++i) out += "--:|";
  out += "\n";
  for (const Row& row : results.table->rows) {
    out += fmt::format("| {} |", row.name);
    for (const auto& [name, unit] : figures) {
      const Series* const series = results.Find(row.name, name);
      out += fmt::format(" {} |", series == nullptr ? "" : Cell(*series));
    }
    out += "\n";
  }
  return out;
}

std::string LinesAsMarkdown(const TableResults& results) {
  constexpr std::array kFigures = {kPlain, kRights, kTls, kTlsAndRights};
  constexpr std::array kRatios = {std::pair(kTls, kPlain),
                                  std::pair(kRights, kPlain),
                                  std::pair(kTlsAndRights, kTls)};
  std::string out = "|  | figure |";
  std::string under = "\n|---|---|";
  for (const Protection& protection : kFigures) {
    out += fmt::format(" {} |", ToWords(protection));
    under += "--:|";
  }
  for (const auto& [with, without] : kRatios) {
    out += fmt::format(" {} / {} |", ToWords(with), ToWords(without));
    under += "--:|";
  }
  out += under + "\n";
  for (const Line& line : results.table->lines) {
    const auto find = [&](const Protection& protection) {
      return results.Find(RowName(line.name, protection), line.figure);
    };
    out += fmt::format("| {} | {}, {} |", line.name, line.figure,
                       find(kPlain)->unit);
    for (const Protection& protection : kFigures) {
      const Series* const series = find(protection);
      out += fmt::format(" {} |", series == nullptr ? "" : Cell(*series));
    }
    for (const auto& [with, without] : kRatios) {
      const std::vector<double> ratios =
          Ratios(results, {.row = RowName(line.name, with),
                           .base = RowName(line.name, without),
                           .figure = line.figure,
                           .ratio = 0});
      out += fmt::format(
          " {} |", ratios.empty() ? "" : Cell({.unit = "", .values = ratios}));
    }
    out += "\n";
  }
  return out;
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace

std::string ToMarkdown(const TableResults& results) {
  const Table& table = *results.table;
  std::string out = fmt::format(
      "## {}\n\n{}\n\n{}", table.name, table.about,
      table.lines.empty() ? RowsAsMarkdown(results) : LinesAsMarkdown(results));
  if (!table.note.empty()) out += fmt::format("\n{}\n", table.note);
  if (!table.goals.empty() || !table.limits.empty()) {
    out += "\n| compared | figure | ratio | goal |  |\n|---|---|--:|--:|---|\n";
  }
  for (const Goal& goal : table.goals) {
    const std::vector<double> ratios = Ratios(results, goal);
    const double ratio = Median(ratios);
    const std::string wanted =
        goal.ratio > 0
            ? fmt::format("{} {:g}", goal.at_most ? "≤" : "≥", goal.ratio)
            : "";
    out += fmt::format(
        "| {} to {} | {} | {} | {} | {} |\n", goal.row, goal.base, goal.figure,
        Cell({.unit = "", .values = ratios}), wanted,
        goal.ratio == 0 ? "" : (Reached(goal, ratio) ? "reached" : "missed"));
  }
  for (const TlsCost& cost : table.tls_costs) {
    const std::vector<double> ratios = Ratios(results, cost);
    out += fmt::format(
        "| {} to plain and what TLS adds to {} | {} | {} | ≥ {:g} | {} |\n",
        RowName(cost.line, kTls), cost.base, cost.figure,
        Cell({.unit = "", .values = ratios}), cost.least,
        Median(ratios) >= cost.least ? "reached" : "missed");
  }
  for (const Limit& limit : table.limits) {
    const Series* const series = results.Find(limit.row, limit.figure);
    if (series == nullptr) continue;
    const double value = Median(series->values);
    out += fmt::format("| {} | {}, {} | {} | ≤ {:g} | {} |\n", limit.row,
                       limit.figure, series->unit, Short(value), limit.most,
                       value <= limit.most ? "reached" : "missed");
  }
  std::set<std::string> servers;
  for (const Row& row : table.rows) {
    servers.insert(Describe(row.server, row.protection));
    if (row.through_gateway) servers.insert(Describe(ServerKind::kGateway, {}));
  }
  out += "\nServers:\n";
  for (const std::string& server : servers) {
    out += fmt::format("- {}\n", server);
  }
  return out;
}

std::string ConditionsAsMarkdown(const PeerOptions& options) {
  std::string out = "|  |  |\n|---|---|\n";
  for (const auto& [name, value] : GatherPeerConditions(options)) {
    out += fmt::format("| {} | {} |\n", name, value);
  }
  return out;
}

void Write(const std::vector<TableResults>& results,
           const PeerOptions& options) {
  std::filesystem::create_directories(options.output);
  std::string markdown =
      "# libmessenger beside its peers\n\n" + ConditionsAsMarkdown(options);
  nlohmann::ordered_json document = {
      {"conditions", nlohmann::ordered_json::object()},
      {"tables", nlohmann::json::array()}};
  for (const auto& [name, value] : GatherPeerConditions(options)) {
    document["conditions"][name] = value;
  }
  for (const TableResults& table : results) {
    markdown += "\n" + ToMarkdown(table);
    document["tables"].push_back(ToJson(table));
  }
  WriteFile(options.output + "/results.md", markdown);
  WriteFile(options.output + "/results.json", document.dump(2) + "\n");
  Plot(results, options.output);
}

}  // namespace messenger::bench
