// What must hold in a fuzz target.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace messenger::fuzz {

// Ends the process, which is what a fuzzer reports, unless `condition`.
inline void Check(bool condition, std::string_view what) {
  if (condition) return;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

inline void CheckOk(const absl::Status& status, std::string_view what) {
  if (status.ok()) return;
  Check(false, std::string(what) + ": " + status.ToString());
}

}  // namespace messenger::fuzz
