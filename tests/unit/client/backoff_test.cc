#include "client/backoff.h"

#include <doctest/doctest.h>

#include <chrono>

namespace messenger::backoff_test {
namespace {

using std::chrono::milliseconds;

TEST_CASE("backoff: the wait is random, up to a bound that doubles") {
  Backoff backoff({.initial_backoff = milliseconds(100),
                   .max_backoff = milliseconds(1000)});
  const Backoff::Clock::time_point now;
  for (int round = 0; round < 100; ++round) {
    for (const int most : {100, 200, 400, 800, 1000, 1000}) {
      const auto wait = backoff.Failed(now);
      REQUIRE(wait.has_value());
      CHECK(*wait >= milliseconds(0));
      CHECK(*wait <= milliseconds(most));
    }
    CHECK(backoff.failed_tries() == 6);
    backoff.Progressed();
    CHECK(backoff.failed_tries() == 0);
  }
  // The doubling ends.
  for (int i = 0; i < 1000; ++i) CHECK(backoff.Failed(now).has_value());
}

TEST_CASE("backoff: it is given up after a while") {
  Backoff backoff({.give_up_after = milliseconds(100)});
  const Backoff::Clock::time_point start;
  CHECK(backoff.Failed(start).has_value());
  CHECK(backoff.Failed(start + milliseconds(99)).has_value());
  CHECK_FALSE(backoff.Failed(start + milliseconds(100)).has_value());
  backoff.Progressed();
  CHECK(backoff.Failed(start + milliseconds(200)).has_value());
  Backoff never({.give_up_after = milliseconds(0)});
  CHECK_FALSE(never.Failed(start).has_value());
}

TEST_CASE("backoff: the first try counts, and the last one comes in time") {
  using std::chrono::seconds;
  const Backoff::Clock::time_point start;
  Backoff backoff({.initial_backoff = seconds(60),
                   .max_backoff = seconds(60),
                   .give_up_after = seconds(3)});
  CHECK(backoff.Begin(start, seconds(10)) == seconds(3));
  CHECK(backoff.Begin(start, seconds(2)) == seconds(2));
  for (int i = 0; i < 100; ++i) {
    const auto wait = backoff.Failed(start + seconds(1));
    REQUIRE(wait.has_value());
    CHECK(*wait <= seconds(2));
  }
  // Time for an answer there must be.
  CHECK(backoff.Begin(start + milliseconds(2900), seconds(10)) == seconds(1));
  CHECK_FALSE(backoff.Failed(start + milliseconds(3900)).has_value());

  Backoff once({.give_up_after = milliseconds(0)});
  CHECK(once.Begin(start, seconds(10)) == seconds(10));
  Backoff endless({});
  CHECK(endless.Begin(start, seconds(10)) == seconds(10));
}

TEST_CASE("backoff: what begins after a rest has all the time, but waits") {
  const Backoff::Clock::time_point start;
  Backoff backoff({.give_up_after = milliseconds(100)});
  CHECK(backoff.Failed(start).has_value());
  CHECK(backoff.Failed(start + milliseconds(50)).has_value());
  backoff.Rest();
  CHECK(backoff.failed_tries() == 2);
  CHECK(backoff.Failed(start + milliseconds(1000)).has_value());
  CHECK(backoff.failed_tries() == 3);
  CHECK_FALSE(backoff.Failed(start + milliseconds(1100)).has_value());
}

}  // namespace
}  // namespace messenger::backoff_test
