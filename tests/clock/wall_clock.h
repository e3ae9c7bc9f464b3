// A wall clock that goes back.
#pragma once

#include <thread>

namespace messenger::test {

// Sets this process's wall clock back by an hour.
//
// The machine's own is not touched: the library that this is in stands in for
// what tells the time (clock_gettime, gettimeofday, time) and for what waits
// for a time of the wall clock (futexes, as absl has them, condition variables,
// semaphores), in all of the process, gRPC and absl included. As in the kernel,
// a wait that is under way is not over before its time has come by the clock as
// it is then.
//
// A program that knows nothing of it can be given the library with LD_PRELOAD:
// its clock goes back again and again if MESSENGER_WALL_CLOCK_GOES_BACK is set.
void SetWallClockBack();

// Does so again and again while it exists: a wait for a time of the wall clock
// never ends.
class WallClockGoesBack {
 public:
  WallClockGoesBack();
  ~WallClockGoesBack() = default;
  WallClockGoesBack(const WallClockGoesBack&) = delete;
  WallClockGoesBack& operator=(const WallClockGoesBack&) = delete;

 private:
  std::jthread thread_;
};

}  // namespace messenger::test
