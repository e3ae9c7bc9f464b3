// Figures, and how they are printed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "conditions.h"

namespace messenger::bench {

struct Figure {
  std::string name;
  std::string unit;
  double value = 0;
};

// One row of a table.
struct Case {
  std::string name;
  std::vector<Figure> figures;

  void Add(std::string figure, std::string unit, double value) {
    figures.push_back({std::move(figure), std::move(unit), value});
  }
  // How many times `base` this is.
  void AddRatio(std::string figure, double value, double base);
};

// One table. Not every case needs to have every figure.
struct Scenario {
  std::string name;
  std::string about;
  std::vector<Case> cases;
};

// On stdout.
void Print(const Conditions& conditions);
void Print(const Scenario& scenario);

nlohmann::ordered_json ToJson(const Conditions& conditions);
nlohmann::ordered_json ToJson(const Scenario& scenario);

}  // namespace messenger::bench
