// Memory for entries.
#pragma once

#include <cstddef>
#include <memory>

#include "log/memory_budget.h"

namespace messenger {

// A block of bytes of its own. Readers that refer to it keep it alive, so it is
// small enough that one of them pins little.
class MemoryChunk {
 public:
  // Null if there is no memory, or not in the budget, if there is one.
  static std::shared_ptr<MemoryChunk> Allocate(
      std::size_t capacity, std::shared_ptr<MemoryBudget> budget = nullptr);

  // Without memory; see Allocate.
  MemoryChunk() = default;
  ~MemoryChunk();
  MemoryChunk(const MemoryChunk&) = delete;
  MemoryChunk& operator=(const MemoryChunk&) = delete;

  char* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }

 private:
  bool Map(std::size_t capacity, std::shared_ptr<MemoryBudget> budget);

  char* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::shared_ptr<MemoryBudget> budget_;
};

}  // namespace messenger
