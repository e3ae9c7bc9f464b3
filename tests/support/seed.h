// The seed of randomised tests.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

namespace messenger::test {

// The environment variable MESSENGER_TEST_SEED, else another one for each run
// of the program. A test that uses it says so with INFO("MESSENGER_TEST_SEED=",
// TestSeed()), so that a failure can be repeated.
inline std::uint64_t TestSeed() {
  static const std::uint64_t seed = [] {
    if (const char* text = std::getenv("MESSENGER_TEST_SEED")) {
      return static_cast<std::uint64_t>(std::strtoull(text, nullptr, 10));
    }
    return static_cast<std::uint64_t>(std::random_device()());
  }();
  return seed;
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  // From `low` to `high`, both included.
  std::uint64_t Between(std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(engine_);
  }
  bool OneIn(std::uint64_t n) { return Between(1, n) == 1; }
  std::uint64_t Next() { return engine_(); }

  // A number of a random size, so that small ones are as likely as large ones.
  std::uint64_t AnySize() {
    const std::uint64_t bits = Between(0, 64);
    return bits == 0 ? 0 : Next() >> (64 - bits);
  }

  std::string Bytes(std::size_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(Between(0, 255));
    return bytes;
  }

  std::string Text(std::size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(Between(' ', '~'));
    return text;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace messenger::test
