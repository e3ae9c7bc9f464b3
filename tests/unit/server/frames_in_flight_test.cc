// Who gives way when frames on their way hold too much memory.
#include "server/frames_in_flight.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/seed.h"

namespace messenger::frames_in_flight_test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class FakeFrame final : public FramesInFlight::Frame,
                        public std::enable_shared_from_this<FakeFrame> {
 public:
  std::shared_ptr<Frame> Share() override { return shared_from_this(); }
  void GiveWay() override { ++gave_way; }

  // Puts it on its way, with this.
  void Add(FramesInFlight* flight, std::vector<LogBytes> entries) {
    entries_ = std::move(entries);
    flight->Add(this, entries_);
  }

  int gave_way = 0;

 private:
  std::vector<LogBytes> entries_;
};

using FramePtr = std::shared_ptr<FakeFrame>;

// Log memory of this size, of which this much is sent.
LogBytes Memory(std::size_t owner_bytes, std::size_t sent = 1) {
  static const std::string bytes(kMiB, 'x');
  return {.owner = std::make_shared<int>(),
          .bytes = std::string_view(bytes).substr(0, sent),
          .owner_bytes = owner_bytes};
}

std::vector<FramePtr> Make(int count) {
  std::vector<FramePtr> frames;
  for (int i = 0; i < count; ++i) {
    frames.push_back(std::make_shared<FakeFrame>());
  }
  return frames;
}

TEST_CASE("frames in flight: the oldest give way, until the bound is kept") {
  FramesInFlight flight(10 * kMiB);
  const auto frames = Make(15);
  for (const FramePtr& frame : frames) {
    frame->Add(&flight, {Memory(kMiB)});
    CHECK(flight.bytes() <= 10 * kMiB);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    CHECK(frames[i]->gave_way == (i < 5 ? 1 : 0));
  }
  // One that needs more room than one of them has.
  const auto large = Make(1);
  large[0]->Add(&flight, {Memory(3 * kMiB), Memory(kMiB / 2)});
  CHECK(frames[8]->gave_way == 1);
  CHECK(frames[9]->gave_way == 0);
  CHECK(flight.bytes() == 9 * kMiB + kMiB / 2);
  // What has given way is not counted twice.
  for (const FramePtr& frame : frames) flight.Remove(frame.get());
  CHECK(flight.bytes() == 3 * kMiB + kMiB / 2);
  flight.Remove(large[0].get());
  flight.Remove(large[0].get());
  CHECK(flight.bytes() == 0);
}

TEST_CASE("frames in flight: one that was taken gives no way") {
  FramesInFlight flight(10 * kMiB);
  const auto frames = Make(1'000);
  // The first one and the last few are on their way.
  frames[0]->Add(&flight, {Memory(kMiB)});
  for (std::size_t i = 1; i < frames.size(); ++i) {
    frames[i]->Add(&flight, {Memory(kMiB)});
    if (i > 8) flight.Remove(frames[i - 8].get());
    CHECK(flight.bytes() <= 10 * kMiB);
  }
  for (const FramePtr& frame : frames) CHECK(frame->gave_way == 0);
  // A reader's next frame is a new one.
  flight.Remove(frames[0].get());
  frames[0]->Add(&flight, {Memory(4 * kMiB)});
  CHECK(frames[0]->gave_way == 0);
  CHECK(frames[992]->gave_way == 1);
  for (const FramePtr& frame : frames) flight.Remove(frame.get());
  CHECK(flight.bytes() == 0);
}

TEST_CASE("frames in flight: memory that many refer to counts once") {
  FramesInFlight flight(kMiB);
  const auto frames = Make(1'000);
  const LogBytes shared = Memory(kMiB / 2);
  for (const FramePtr& frame : frames) {
    // In two runs of it.
    frame->Add(&flight, {shared, shared});
  }
  CHECK(flight.bytes() == kMiB / 2);
  for (std::size_t i = 1; i < frames.size(); ++i) {
    flight.Remove(frames[i].get());
  }
  CHECK(flight.bytes() == kMiB / 2);
  flight.Remove(frames[0].get());
  CHECK(flight.bytes() == 0);
  for (const FramePtr& frame : frames) CHECK(frame->gave_way == 0);
}

TEST_CASE(
    "frames in flight: memory counts as a whole, however little is sent") {
  FramesInFlight flight(100 * kMiB);
  const auto frames = Make(2);
  frames[0]->Add(&flight, {Memory(kMiB, 10)});
  CHECK(flight.bytes() == kMiB);
  // A log that does not say how much it keeps.
  frames[1]->Add(&flight, {Memory(0, 10)});
  CHECK(flight.bytes() == kMiB + 10);
  flight.Remove(frames[1].get());
  frames[1]->Add(&flight, {});
  CHECK(flight.bytes() == kMiB);
  flight.Remove(frames[1].get());
  flight.Remove(frames[0].get());
}

TEST_CASE("frames in flight: the newest stays, whatever it holds") {
  FramesInFlight flight(kMiB);
  const auto frames = Make(2);
  frames[0]->Add(&flight, {Memory(5 * kMiB)});
  CHECK(frames[0]->gave_way == 0);
  frames[1]->Add(&flight, {Memory(5 * kMiB)});
  CHECK(frames[0]->gave_way == 1);
  CHECK(frames[1]->gave_way == 0);
  CHECK(flight.bytes() == 5 * kMiB);
  flight.Remove(frames[1].get());
}

TEST_CASE("frames in flight: frames are small when little room is left") {
  FramesInFlight flight(256 * kMiB);
  CHECK(flight.FrameBytes(kMiB) == kMiB);
  const auto frames = Make(20'000);
  std::size_t i = 0;
  for (; i < 128; ++i) {
    const std::size_t size = flight.FrameBytes(kMiB);
    CHECK(size == kMiB);
    frames[i]->Add(&flight, {Memory(size)});
  }
  std::size_t last = kMiB;
  for (; i < 7'000; ++i) {
    frames[i]->Add(&flight, {Memory(flight.FrameBytes(kMiB))});
    CHECK(flight.FrameBytes(kMiB) <= last);
    last = flight.FrameBytes(kMiB);
  }
  // So many readers that take nothing: none had to give way.
  CHECK(frames[0]->gave_way == 0);
  CHECK(last >= 4'096);
  CHECK(flight.FrameBytes(1'024) == 1'024);
  for (; i < frames.size(); ++i) {
    frames[i]->Add(&flight, {Memory(flight.FrameBytes(kMiB))});
  }
  CHECK(frames[0]->gave_way == 1);
  CHECK(flight.bytes() <= 256 * kMiB);
  for (const FramePtr& frame : frames) flight.Remove(frame.get());
  CHECK(flight.FrameBytes(kMiB) == kMiB);
}

TEST_CASE("frames in flight: the sum is what is referred to, at any time") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  const auto below = [&](std::size_t n) { return random.Between(0, n - 1); };
  constexpr std::size_t kMax = 40 * kMiB;
  FramesInFlight flight(kMax);
  std::vector<LogBytes> memory;
  for (int i = 0; i < 100; ++i) memory.push_back(Memory(1 + below(kMiB)));
  const auto frames = Make(200);
  // What each refers to; empty if it is not on its way.
  std::vector<std::vector<LogBytes>> held(frames.size());
  for (int step = 0; step < 3'000; ++step) {
    const std::size_t i = below(frames.size());
    if (held[i].empty()) {
      for (std::size_t k = 1 + below(6); k > 0; --k) {
        held[i].push_back(memory[below(memory.size())]);
      }
      frames[i]->Add(&flight, held[i]);
    } else {
      flight.Remove(frames[i].get());
      held[i].clear();
    }
    std::set<const void*> owners;
    std::size_t sum = 0;
    for (std::size_t k = 0; k < frames.size(); ++k) {
      if (frames[k]->gave_way > 0) {
        frames[k]->gave_way = 0;
        held[k].clear();
      }
      for (const LogBytes& bytes : held[k]) {
        if (owners.insert(bytes.owner.get()).second) sum += bytes.owner_bytes;
      }
    }
    REQUIRE(flight.bytes() == sum);
    REQUIRE(sum <= kMax);
  }
  for (const FramePtr& frame : frames) flight.Remove(frame.get());
  CHECK(flight.bytes() == 0);
}

}  // namespace
}  // namespace messenger::frames_in_flight_test
