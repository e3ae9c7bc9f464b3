#include "apps/common/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace messenger::app {
namespace {

// How many characters have to be changed, added, removed or swapped with the
// next one (no character twice).
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before;  // the row before `above`
  std::vector<std::size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::vector<std::size_t> row(b.size() + 1, i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t wrong = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + wrong});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = std::move(above);
    above = std::move(row);
  }
  return above.back();
}

}  // namespace

std::string Nearest(std::string_view given,
                    const std::vector<std::string>& known) {
  constexpr std::size_t kLongest = 64;
  if (given.empty() || given.size() > kLongest) return {};
  std::string nearest;
  std::size_t least = std::max<std::size_t>(given.size() / 3, 1) + 1;
  for (const std::string& name : known) {
    const std::size_t distance = Distance(given, name);
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  if (!nearest.empty()) return nearest;
  for (const std::string& name : known) {
    if (given.size() > 1 && name.starts_with(given)) return name;
  }
  return {};
}

}  // namespace messenger::app
