// What those need who start another program with posix_spawn.
#pragma once

#include <string>
#include <system_error>
#include <vector>

namespace messenger::test {

// Throws if `error`, an errno, is not 0.
inline void CheckSpawn(int error, const char* what) {
  if (error == 0) return;
  throw std::system_error(error, std::generic_category(), what);
}

// `strings` as argv or environ: pointers into them, and a null one.
inline std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace messenger::test
