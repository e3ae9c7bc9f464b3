#include "clock/wall_clock.h"

#include <dlfcn.h>
#include <grpc/support/time.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <thread>

namespace messenger::test {
namespace {

using std::chrono::nanoseconds;

// What the wall clock is behind the machine's.
std::atomic<std::int64_t> behind{0};

nanoseconds Behind() {
  return nanoseconds(behind.load());
}

nanoseconds FromTimespec(const timespec& time) {
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

timespec ToTimespec(nanoseconds time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

// The definition of `symbol` behind the one in this file, of the same type.
template <typename Function>
Function* Next(std::atomic<Function*>& known, const char* symbol) {
  Function* next = known.load(std::memory_order_relaxed);
  if (next == nullptr) {
    next = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, symbol));
    if (next == nullptr) std::abort();
    known.store(next, std::memory_order_relaxed);
  }
  return next;
}

int MachineTime(clockid_t clock, timespec* time) {
  static constinit std::atomic<int (*)(clockid_t, timespec*)> known{nullptr};
  return Next(known, "clock_gettime")(clock, time);
}

bool IsWallClock(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

nanoseconds WallTime() {
  timespec time{};
  MachineTime(CLOCK_REALTIME, &time);
  return FromTimespec(time) - Behind();
}

// Calls `wait` with the machine's time for `deadline`, and again for as long as
// it says that the time has come when it has not.
template <typename Wait, typename TimedOut>
auto WaitUntil(const timespec* deadline, Wait wait, TimedOut timed_out) {
  while (true) {
    const timespec machine = ToTimespec(FromTimespec(*deadline) + Behind());
    const auto result = wait(&machine);
    if (!timed_out(result) || WallTime() >= FromTimespec(*deadline)) {
      return result;
    }
  }
}

bool IsTimeout(int error) {
  return error == ETIMEDOUT;
}

}  // namespace

void SetWallClockBack() {
  behind += nanoseconds(std::chrono::hours(1)).count();
}

WallClockGoesBack::WallClockGoesBack()
    : thread_([](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          SetWallClockBack();
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
      }) {}

namespace {

__attribute__((constructor)) void GoBackIfToldTo() {
  if (std::getenv("MESSENGER_WALL_CLOCK_GOES_BACK") == nullptr) return;
  // The program's signals are not for this thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // For as long as the process lives.
  static_cast<void>(new WallClockGoesBack());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace messenger::test

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

using messenger::test::FromTimespec;
using messenger::test::IsTimeout;
using messenger::test::IsWallClock;
using messenger::test::MachineTime;
using messenger::test::Next;
using messenger::test::ToTimespec;
using messenger::test::WaitUntil;
using messenger::test::WallTime;
using std::chrono::nanoseconds;

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const int result = MachineTime(clock, time);
  if (result == 0 && IsWallClock(clock)) {
    *time = ToTimespec(FromTimespec(*time) - messenger::test::Behind());
  }
  return result;
}

int gettimeofday(timeval* time, void* /*zone*/) noexcept {
  const timespec now = ToTimespec(WallTime());
  *time = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* result) noexcept {
  const time_t now = ToTimespec(WallTime()).tv_sec;
  if (result != nullptr) *result = now;
  return now;
}

// NOLINTBEGIN(google-runtime-int, performance-no-int-to-ptr): its types
long syscall(long number, ...) noexcept {
  std::va_list list;
  va_start(list, number);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  static constinit std::atomic<long (*)(long, ...)> known{nullptr};
  auto* const next = Next(known, "syscall");
  const auto* const deadline = reinterpret_cast<const timespec*>(a[3]);
  const bool waits = number == SYS_futex &&
                     (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET &&
                     (a[1] & FUTEX_CLOCK_REALTIME) != 0 && deadline != nullptr;
  if (!waits) return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return WaitUntil(
      deadline,
      [&](const timespec* machine) {
        return next(number, a[0], a[1], a[2], machine, a[4], a[5]);
      },
      [](long result) { return result == -1 && errno == ETIMEDOUT; });
}
// NOLINTEND(google-runtime-int, performance-no-int-to-ptr)

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const timespec* deadline) {
  using Function = int(pthread_cond_t*, pthread_mutex_t*, const timespec*);
  static constinit std::atomic<Function*> known{nullptr};
  auto* const next = Next(known, "pthread_cond_timedwait");
  return WaitUntil(
      deadline,
      [&](const timespec* machine) { return next(condition, mutex, machine); },
      IsTimeout);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           clockid_t clock, const timespec* deadline) {
  using Function =
      int(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);
  static constinit std::atomic<Function*> known{nullptr};
  auto* const next = Next(known, "pthread_cond_clockwait");
  if (!IsWallClock(clock)) return next(condition, mutex, clock, deadline);
  return WaitUntil(
      deadline,
      [&](const timespec* machine) {
        return next(condition, mutex, clock, machine);
      },
      IsTimeout);
}

int sem_timedwait(sem_t* semaphore, const timespec* deadline) {
  using Function = int(sem_t*, const timespec*);
  static constinit std::atomic<Function*> known{nullptr};
  auto* const next = Next(known, "sem_timedwait");
  return WaitUntil(
      deadline,
      [&](const timespec* machine) { return next(semaphore, machine); },
      [](int result) { return result == -1 && errno == ETIMEDOUT; });
}

// gRPC sleeps for 100 ms in a thread that the end of a channel waits for: it
// reads the wall clock, adds to it, and here reads it again. A step between the
// two, within a fraction of a microsecond, would make it sleep for an hour.
// That is gRPC's to mend, and too rare to matter unless a clock goes back 500
// times a second.
void gpr_sleep_until(gpr_timespec until) {
  const gpr_timespec left = gpr_time_sub(until, gpr_now(until.clock_type));
  const nanoseconds time =
      FromTimespec({.tv_sec = left.tv_sec, .tv_nsec = left.tv_nsec});
  std::this_thread::sleep_for(
      std::min<nanoseconds>(time, std::chrono::seconds(1)));
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
