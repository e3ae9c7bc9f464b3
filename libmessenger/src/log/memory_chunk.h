// Memory for entries.
#pragma once

#include <cstddef>
#include <memory>

namespace messenger {

// A block of bytes of its own. Readers that refer to it keep it alive, so it is
// small enough that one of them pins little.
class MemoryChunk {
 public:
  // Null if there is no memory.
  static std::shared_ptr<MemoryChunk> Allocate(std::size_t capacity);

  MemoryChunk(char* data, std::size_t capacity)
      : data_(data), capacity_(capacity) {}
  ~MemoryChunk();
  MemoryChunk(const MemoryChunk&) = delete;
  MemoryChunk& operator=(const MemoryChunk&) = delete;

  char* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }

 private:
  char* data_;
  std::size_t capacity_;
};

}  // namespace messenger
