#include "base/random.h"

#include <array>
#include <cstring>
#include <random>

namespace messenger {

std::uint64_t RandomNonZero64() {
  std::random_device device;
  std::uniform_int_distribution<std::uint64_t> distribution(1);
  return distribution(device);
}

ProducerId RandomProducerId() {
  const std::array<std::uint64_t, 2> halves = {RandomNonZero64(),
                                               RandomNonZero64()};
  ProducerId id;
  static_assert(sizeof halves == sizeof id);
  std::memcpy(id.data(), halves.data(), sizeof id);
  return id;
}

}  // namespace messenger
