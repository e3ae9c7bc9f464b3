// Which frames a client takes for possible.
#include "client/frame_checks.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "wire/sequence.h"

namespace messenger::frame_checks_test {
namespace {

using std::chrono::milliseconds;
using Change = std::function<void(wire::Frame&)>;

constexpr std::uint64_t kMost = wire::kMaxSequence;

// A first frame of messages 4 to 6 of 10, and where it arrives.
wire::Frame First() {
  wire::Frame frame;
  frame.header = {.epoch = 7,
                  .next_sequence = 4,
                  .head = 10,
                  .heartbeat_interval = milliseconds(1000)};
  frame.message_count = 3;
  return frame;
}
constexpr FramePlace kJoining = {.channel = "c", .joining = true};

// A later one, of messages 4 to 6 of 10.
wire::Frame Later() {
  wire::Frame frame;
  frame.header = {.head = 10};
  frame.message_count = 3;
  return frame;
}
constexpr FramePlace kLater = {.channel = "c", .next_sequence = 4, .head = 9};

absl::Status Check(wire::Frame frame, const FramePlace& place,
                   const Change& change) {
  change(frame);
  return CheckNumbers(frame, place);
}

TEST_CASE("frame checks: what a server sends passes") {
  for (const Change& change : std::vector<Change>{
           [](wire::Frame&) {},
           [](wire::Frame& f) { f.message_count = 0; },
           [](wire::Frame& f) {
             f.message_count = 7;
             f.header.caught_up = true;
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{1, 4};
           },
           // A position that is not of this log.
           [](wire::Frame& f) {
             f.header.gap = Gap{UINT64_MAX, 4};
           },
       }) {
    CHECK(Check(First(), kJoining, change) == absl::OkStatus());
  }
  // A channel that does not exist.
  CHECK(Check(First(), kJoining, [](wire::Frame& f) {
          f.header.next_sequence = 1;
          f.header.head = 0;
          f.header.caught_up = true;
          f.message_count = 0;
        }) == absl::OkStatus());
  for (const Change& change : std::vector<Change>{
           [](wire::Frame&) {},
           [](wire::Frame& f) {
             f.message_count = 7;
             f.header.caught_up = true;
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{4, 8};
           },
           [](wire::Frame& f) {
             f.message_count = 0;
             f.header.next_sequence = 11;
             f.header.gap = Gap{4, 11};
             f.header.caught_up = true;
           },
           [](wire::Frame& f) {
             f.message_count = 0;
             f.header.next_sequence = 4;
           },
       }) {
    CHECK(Check(Later(), kLater, change) == absl::OkStatus());
  }
}

TEST_CASE("frame checks: what cannot be is refused") {
  for (const Change& change : std::vector<Change>{
           [](wire::Frame& f) { f.header.epoch = 0; },
           [](wire::Frame& f) { f.header.next_sequence = 0; },
           [](wire::Frame& f) { f.header.next_sequence = 12; },
           [](wire::Frame& f) {
             f.header.next_sequence = UINT64_MAX;
             f.header.head = UINT64_MAX;
           },
           [](wire::Frame& f) { f.header.head.reset(); },
           [](wire::Frame& f) { f.header.head = kMost + 1; },
           [](wire::Frame& f) { f.header.head = 5; },
           [](wire::Frame& f) { f.message_count = 8; },
           [](wire::Frame& f) { f.message_count = UINT64_MAX; },
           [](wire::Frame& f) {
             f.header.gap = Gap{1, 5};
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{0, 4};
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{1, kMost + 1};
             f.header.next_sequence = kMost + 1;
           },
           [](wire::Frame& f) {
             f.header.heartbeat_interval = std::chrono::hours(24 * 30 + 1);
           },
       }) {
    CHECK(absl::IsDataLoss(Check(First(), kJoining, change)));
  }
  for (const Change& change : std::vector<Change>{
           [](wire::Frame& f) { f.header.head.reset(); },
           [](wire::Frame& f) { f.header.head = 8; },
           [](wire::Frame& f) { f.message_count = 8; },
           [](wire::Frame& f) { f.message_count = 0; },
           [](wire::Frame& f) {
             f.message_count = 0;
             f.header.next_sequence = 5;
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{4, 4};
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{4, 3};
           },
           [](wire::Frame& f) {
             f.header.gap = Gap{4, 12};
           },
       }) {
    CHECK(absl::IsDataLoss(Check(Later(), kLater, change)));
  }
}

TEST_CASE("frame checks: where a reader begins") {
  CHECK(FirstSequence(Start::Earliest()) == 1);
  CHECK(FirstSequence(Start::At(5)) == 5);
  CHECK(FirstSequence(Start::After({7, 5})) == 6);
  CHECK(FirstSequence(Start::After({7, UINT64_MAX})) == UINT64_MAX);
  CHECK(FirstSequence(Start::NewOnly()) == 0);
  CHECK(FirstSequence(Start::Last(5)) == 0);
}

}  // namespace
}  // namespace messenger::frame_checks_test
