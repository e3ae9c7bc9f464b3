#include "client/blame.h"

#include <doctest/doctest.h>

namespace messenger::blame_test {
namespace {

TEST_CASE("blame: who is waited for most of the time is too slow") {
  // So many looks until it is too much, if it is waited for in `waited` of
  // `of` looks.
  const auto looks = [](int waited, int of) {
    Blame blame;
    for (int look = 1000; look < 2000; ++look) {
      if (look % of < waited && blame.Add(look)) return look - 999;
    }
    return 0;
  };
  CHECK(looks(1, 1) == 4);
  CHECK(looks(3, 4) > 4);
  CHECK(looks(2, 3) > 4);
  CHECK(looks(1, 2) == 0);
  CHECK(looks(1, 3) == 0);
}

}  // namespace
}  // namespace messenger::blame_test
