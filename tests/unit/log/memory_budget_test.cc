#include "log/memory_budget.h"

#include <doctest/doctest.h>

#include <cstdint>

namespace messenger::memory_budget_test {
namespace {

TEST_CASE("memory budget: it is never more than that, and all comes back") {
  MemoryBudget budget(100);
  CHECK(budget.Take(60));
  CHECK_FALSE(budget.Take(41));
  CHECK_FALSE(budget.Take(UINT64_MAX));
  CHECK(budget.Take(40));
  CHECK_FALSE(budget.Take(1));
  budget.Return(60);
  CHECK(budget.used() == 40);
  CHECK(budget.Take(60));
}

TEST_CASE("memory budget: there is some memory") {
  CHECK(AvailableMemory() > 1'048'576);
  CHECK(AvailableMemory() < UINT64_MAX);
}

}  // namespace
}  // namespace messenger::memory_budget_test
