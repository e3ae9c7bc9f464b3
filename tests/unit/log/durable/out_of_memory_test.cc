// The thread of a log in a directory that commits, when there is no memory. In
// a program of its own, since it replaces what all allocations come from.
#include <doctest/doctest.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "log/durable/durable_log.h"
#include "messenger/log.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace {

// From this size on, allocations of the commit thread fail.
std::atomic<std::size_t> too_large{SIZE_MAX};
std::atomic<int> failed{0};

void* Allocate(std::size_t size) {
  if (size >= too_large.load()) {
    std::array<char, 16> name{};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    if (std::string_view(name.data()) == "log-commit") {
      ++failed;
      throw std::bad_alloc();
    }
  }
  void* const memory = std::malloc(size);  // NOLINT: what else
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// NOLINTBEGIN: these are what they have to be.
void* operator new(std::size_t size) {
  return Allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
// NOLINTEND

namespace messenger::out_of_memory_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

TEST_CASE(
    "without memory for a batch, the commit thread refuses it, and goes on") {
  const auto files = std::make_shared<FaultyFileSystem>();
  const std::string text(100'000, 'x');
  {
    auto log = DurableLog::Open("/log", {}, {.files = files}).value();
    REQUIRE(Append(*log, BatchOf("c", {"small"})).ok());
    // From one at which a chunk for the entries has no room, either, to one at
    // which only what is written to the journal has none.
    for (const std::size_t size : {4'000U, 50'000U, 101'000U}) {
      CAPTURE(size);
      failed = 0;
      too_large = size;
      const auto refused = Append(*log, BatchOf("c", {text}));
      const int times = failed;
      too_large = SIZE_MAX;
      CHECK(absl::IsResourceExhausted(refused.status()));
      CHECK(Contains(MessageOf(refused.status()), "memory"));
      CHECK(times > 0);
      CHECK(Append(*log, BatchOf("c", {"small"})).ok());
    }
    CHECK(Append(*log, BatchOf("c", {text})).ok());
  }
  const auto log = DurableLog::Open("/log", {}, {.files = files}).value();
  const auto reader = log->OpenReader("c", Start::At(1), {});
  CHECK(ReadToHead(*reader).messages.size() == 5);
}

}  // namespace
}  // namespace messenger::out_of_memory_test
