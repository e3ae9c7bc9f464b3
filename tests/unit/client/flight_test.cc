// How much a sender has in flight (client/flight.h).
#include "client/flight.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>

namespace messenger::flight_test {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kKiB = std::size_t{1} << 10;
constexpr milliseconds kQuick(1'000);

// A flight, and its clock.
class Fixture {
 public:
  // One request of so many bytes, which gets its receipt after this time.
  void Take(std::size_t bytes, milliseconds time) {
    flight.OnWritten(1, bytes, now);
    now += time;
    flight.OnReceipts(1, now);
  }

  Flight flight{kQuick};
  Flight::TimePoint now;
};

TEST_CASE_FIXTURE(Fixture, "flight: what is quick doubles it") {
  CHECK(flight.bytes() == 256 * kKiB);
  Take(256 * kKiB, kQuick);
  CHECK(flight.bytes() == 512 * kKiB);
  Take(256 * kKiB, kQuick);
  CHECK(flight.bytes() == 1'024 * kKiB);
}

TEST_CASE_FIXTURE(Fixture,
                  "flight: that little is quick says nothing of more") {
  for (int i = 0; i < 10; ++i) Take(128 * kKiB - 1, milliseconds(0));
  CHECK(flight.bytes() == 256 * kKiB);
}

TEST_CASE_FIXTURE(Fixture,
                  "flight: what is slow halves it, down to the least") {
  for (int i = 0; i < 2; ++i) Take(flight.bytes(), milliseconds(0));
  Take(flight.bytes(), Flight::kSlow * kQuick);
  CHECK(flight.bytes() == 1'024 * kKiB);
  for (const std::size_t expected : {512U, 256U, 256U}) {
    Take(flight.bytes(), Flight::kSlow * kQuick + milliseconds(1));
    CHECK(flight.bytes() == expected * kKiB);
  }
}

TEST_CASE_FIXTURE(Fixture, "flight: requests that are ahead count as well") {
  flight.OnWritten(1, 64 * kKiB, now);
  flight.OnWritten(2, 128 * kKiB, now);  // is timed
  flight.OnWritten(3, 192 * kKiB, now);
  flight.OnReceipts(1, now + kQuick);
  CHECK(flight.bytes() == 256 * kKiB);
  flight.OnReceipts(2, now + kQuick);
  CHECK(flight.bytes() == 512 * kKiB);
}

TEST_CASE_FIXTURE(Fixture, "flight: what ends with its stream is not timed") {
  flight.OnWritten(1, 256 * kKiB, now);
  flight.OnEnd();
  flight.OnReceipts(1, now);
  CHECK(flight.bytes() == 256 * kKiB);
  Take(256 * kKiB, milliseconds(0));
  CHECK(flight.bytes() == 512 * kKiB);
}

// A sender that always has more, on a line that passes so many bytes a second
// and takes `way` there and back.
class Line {
 public:
  using Seconds = std::chrono::duration<double>;

  Line(double bytes_per_second, Seconds way)
      : rate_(bytes_per_second), way_(way) {}

  // Sends requests of so many bytes for this time. Returns how long a byte that
  // is sent behind them waited at most, and how many bytes were passed.
  struct Passed {
    Seconds longest_wait{0};
    double bytes = 0;
  };
  Passed Send(double request_bytes, Seconds time) {
    Passed passed;
    Seconds now{0};
    Seconds free{0};  // when the line is
    while (now < time) {
      const double in_flight =
          request_bytes * static_cast<double>(receipts_.size());
      if (receipts_.empty() ||
          in_flight + request_bytes <= static_cast<double>(flight_.bytes())) {
        free = std::max(free, now) + Seconds(request_bytes / rate_);
        receipts_.push_back(free + way_);
        passed.longest_wait = std::max(passed.longest_wait, free - now);
        flight_.OnWritten(receipts_.size(),
                          static_cast<std::size_t>(in_flight + request_bytes),
                          At(now));
        continue;
      }
      now = receipts_.front();
      receipts_.pop_front();
      passed.bytes += request_bytes;
      flight_.OnReceipts(1, At(now));
    }
    return passed;
  }

 private:
  static Flight::TimePoint At(Seconds time) {
    return Flight::TimePoint(
        std::chrono::duration_cast<Flight::TimePoint::duration>(time));
  }

  const double rate_;
  const Seconds way_;
  Flight flight_{kQuick};
  std::deque<Seconds> receipts_;  // when they come
};

TEST_CASE("flight: on a slow line little lies ahead of a ping") {
  for (const double rate : {50e3, 100e3, 500e3, 2e6, 1e8}) {
    CAPTURE(rate);
    for (const double bytes : {4e3, 64e3, 256e3, 1e6}) {
      CAPTURE(bytes);
      Line line(rate, milliseconds(20));
      const auto passed = line.Send(bytes, std::chrono::seconds(300));
      const double least = std::max<double>(Flight::kLeastBytes, bytes);
      CHECK(passed.longest_wait.count() <= std::max(4.0, least / rate) + 0.001);
      // And the line is busy, but for the way of a receipt.
      CHECK(passed.bytes / rate >= 300 * 0.9);
    }
  }
}

TEST_CASE("flight: a line that is long is filled") {
  Line line(1e8, milliseconds(200));
  CHECK(line.Send(256e3, std::chrono::seconds(60)).bytes / 1e8 >= 58);
}

}  // namespace
}  // namespace messenger::flight_test
