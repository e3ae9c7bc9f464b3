// When an operator is told of what comes and goes (base/notice_pace.h).
#include "base/notice_pace.h"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>

namespace messenger::notice_pace_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Fixture {
 public:
  std::optional<std::uint64_t> Holds(const char* reason = "why") {
    return pace_.Holds(reason, now_);
  }
  bool Ends() { return pace_.Ends(now_); }
  void Pass(milliseconds time) { now_ += time; }

 private:
  NoticePace pace_;
  NoticePace::TimePoint now_{std::chrono::hours(1)};
};

TEST_CASE_FIXTURE(Fixture, "notices: what comes and goes is told at once") {
  CHECK(Holds() == 0);
  Pass(milliseconds(10));
  CHECK(Holds() == std::nullopt);
  CHECK(Ends());
  CHECK_FALSE(Ends());
}

TEST_CASE_FIXTURE(Fixture, "notices: what soon comes again is counted") {
  CHECK(Holds() == 0);
  CHECK(Ends());
  for (int i = 0; i < 3; ++i) {
    Pass(milliseconds(100));
    CHECK(Holds() == std::nullopt);
    CHECK_FALSE(Ends());
  }
  Pass(seconds(1));
  CHECK(Holds() == 3);
  CHECK(Ends());
}

TEST_CASE_FIXTURE(Fixture, "notices: what lasts is told, though late") {
  CHECK(Holds() == 0);
  CHECK(Ends());
  Pass(milliseconds(100));
  CHECK(Holds() == std::nullopt);
  Pass(milliseconds(899));
  CHECK(Holds() == std::nullopt);
  Pass(milliseconds(1));
  CHECK(Holds() == 0);
  CHECK(Ends());
}

TEST_CASE_FIXTURE(Fixture, "notices: another reason is told if it stays") {
  CHECK(Holds("one") == 0);
  Pass(milliseconds(9999));
  CHECK(Holds("two") == std::nullopt);
  Pass(milliseconds(1));
  CHECK(Holds("one") == std::nullopt);
  CHECK(Holds("two") == 0);
  CHECK(Holds("two") == std::nullopt);
}

TEST_CASE_FIXTURE(Fixture, "notices: after a while it is new again") {
  for (int i = 0; i < 100; ++i) {
    Holds();
    Ends();
    Pass(seconds(1));
  }
  CHECK(Holds() == std::nullopt);
  Ends();
  Pass(std::chrono::hours(1));
  CHECK(Holds().has_value());
  CHECK(Ends());
  Pass(milliseconds(999));
  CHECK(Holds() == std::nullopt);
  Pass(milliseconds(1));
  CHECK(Holds() == 0);
}

TEST_CASE_FIXTURE(Fixture, "notices: twenty times a second are few lines") {
  int told = 0;
  std::uint64_t counted = 0;
  for (int i = 0; i < 25 * 20; ++i) {
    if (const auto untold = Holds()) {
      ++told;
      counted += *untold + 1;
    }
    Ends();
    Pass(milliseconds(50));
  }
  CHECK(told == 5);
  CHECK(counted > 250);
}

TEST_CASE("notices: how often is said only if it was") {
  CHECK(TimesMore(0).empty());
  CHECK(TimesMore(1) == " (1 time more)");
  CHECK(TimesMore(37) == " (37 times more)");
}

}  // namespace
}  // namespace messenger::notice_pace_test
