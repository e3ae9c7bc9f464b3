// How much is sent at a time (rpc/pace.h).
#include "rpc/pace.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>

namespace messenger::pace_test {
namespace {

using rpc::Pace;
using std::chrono::milliseconds;

constexpr std::size_t kKiB = std::size_t{1} << 10;
constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr milliseconds kQuick(1'000);

TEST_CASE("pace: what is taken quickly grows to the largest within 2 MiB") {
  Pace pace(kMiB, kQuick);
  CHECK(pace.bytes() == Pace::kFirstBytes);
  std::size_t sent = 0;
  int writes = 0;
  for (; pace.bytes() < kMiB; ++writes) {
    sent += pace.bytes();
    pace.OnTaken(pace.bytes(), milliseconds(0));
  }
  CHECK(sent == 2 * kMiB);
  CHECK(writes == 15);
  pace.OnTaken(kMiB, kQuick);
  CHECK(pace.bytes() == kMiB);
}

TEST_CASE("pace: what buffers swallow on a slow line does not let it grow") {
  Pace pace(kMiB, kQuick);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t sent = 0; sent < 448 * kKiB; sent += pace.bytes()) {
      pace.OnTaken(pace.bytes(), milliseconds(0));
    }
    pace.OnTaken(pace.bytes(), kQuick + milliseconds(1));
    CHECK(pace.bytes() == Pace::kFirstBytes);
  }
}

TEST_CASE("pace: that little is taken quickly says nothing of more") {
  Pace pace(kMiB, kQuick);
  for (int i = 0; i < 1'000; ++i) pace.OnTaken(30 * kKiB, milliseconds(0));
  CHECK(pace.bytes() == Pace::kFirstBytes);
}

TEST_CASE("pace: what is slow shrinks, down to 4 KiB, and grows again") {
  Pace pace(kMiB, kQuick);
  pace.OnTaken(pace.bytes(), Pace::kSlow * kQuick);
  CHECK(pace.bytes() == 64 * kKiB);
  for (const std::size_t expected : {32U, 16U, 8U, 4U, 4U}) {
    pace.OnTaken(pace.bytes(), Pace::kSlow * kQuick + milliseconds(1));
    CHECK(pace.bytes() == expected * kKiB);
  }
  for (int i = 0; i < 300; ++i) pace.OnTaken(pace.bytes(), milliseconds(0));
  CHECK(pace.bytes() == kMiB);
}

TEST_CASE(
    "pace: it keeps to a bound that is smaller than what it begins with") {
  Pace pace(kKiB, kQuick);
  CHECK(pace.bytes() == kKiB);
  pace.OnTaken(kKiB, 5 * kQuick);
  CHECK(pace.bytes() == kKiB);
  for (int i = 0; i < 1'000; ++i) pace.OnTaken(kKiB, milliseconds(0));
  CHECK(pace.bytes() == kKiB);
}

// A line that passes so many bytes a second, after buffers that hold so many.
class Line {
 public:
  Line(double bytes_per_second, double buffer)
      : rate_(bytes_per_second), buffer_(buffer) {}

  // How long a write of so many bytes takes.
  std::chrono::duration<double> Write(double bytes) {
    held_ += bytes;
    const double seconds = held_ > buffer_ ? (held_ - buffer_) / rate_ : 0;
    held_ -= seconds * rate_;
    return std::chrono::duration<double>(seconds);
  }

 private:
  const double rate_;
  const double buffer_;
  double held_ = 0;
};

TEST_CASE("pace: what it sends over a slow line never takes long") {
  for (const double rate : {5e3, 20e3, 50e3, 60e3, 100e3, 1e6}) {
    CAPTURE(rate);
    Pace pace(kMiB, kQuick);
    Line line(rate, 320 * kKiB);
    for (int i = 0; i < 10'000; ++i) {
      const std::size_t bytes = pace.bytes();
      // With those before it on the way, it takes this long to arrive.
      CHECK(static_cast<double>(bytes) / rate < 22.5);
      pace.OnTaken(bytes, std::chrono::duration_cast<std::chrono::nanoseconds>(
                              line.Write(static_cast<double>(bytes))));
    }
    CHECK(static_cast<double>(pace.bytes()) / rate <= 4);
    CHECK(static_cast<double>(pace.bytes()) / rate >= 0.5);
  }
}

}  // namespace
}  // namespace messenger::pace_test
