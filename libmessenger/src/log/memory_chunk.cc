#include "log/memory_chunk.h"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

namespace messenger {
namespace {

// Large chunks are mapped, so that freeing one gives its memory back at once
// and leaves no hole in the heap. Small ones are not: the kernel limits the
// number of mappings (vm.max_map_count, 65,530 by default), and there may be
// one small chunk for each of very many channels.
constexpr std::size_t kMinMapped = std::size_t{64} << 10;

}  // namespace

std::shared_ptr<MemoryChunk> MemoryChunk::Allocate(
    std::size_t capacity, std::shared_ptr<MemoryBudget> budget) {
  // First, so that nothing is lost if it throws.
  auto chunk = std::make_shared<MemoryChunk>();
  if (!chunk->Map(capacity, std::move(budget))) return nullptr;
  return chunk;
}

bool MemoryChunk::Map(std::size_t capacity,
                      std::shared_ptr<MemoryBudget> budget) {
  if (budget && !budget->Take(capacity)) return false;
  void* data = nullptr;
  if (capacity >= kMinMapped) {
    // Populated, since all of it will be written soon: one call is cheaper than
    // a fault for each page.
    data = mmap(nullptr, capacity, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (data == MAP_FAILED) data = nullptr;
  } else {
    data = std::malloc(capacity);
  }
  if (data == nullptr) {
    if (budget) budget->Return(capacity);
    return false;
  }
  data_ = static_cast<char*>(data);
  capacity_ = capacity;
  budget_ = std::move(budget);
  return true;
}

MemoryChunk::~MemoryChunk() {
  if (data_ == nullptr) return;
  if (budget_) budget_->Return(capacity_);
  if (capacity_ >= kMinMapped) {
    munmap(data_, capacity_);
  } else {
    std::free(data_);
  }
}

}  // namespace messenger
