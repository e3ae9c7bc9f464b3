// SIGINT, SIGTERM and SIGHUP, taken by a thread of their own instead of by a
// handler.
#pragma once

#include <atomic>
#include <string_view>
#include <thread>

#include "apps/common/event.h"

namespace messenger::app {

// Construct it in main, before any other thread exists: it blocks the signals
// in the calling thread and in all threads that are started from then on.
//
// A signal ends the process at once, with the exit code that a shell would
// report. After `Defer` the first one only sets the event, and the program ends
// in its own way; a second one ends the process at once. (The default action of
// the signals would not do: the kernel withholds it from the first process of a
// container.) Only a second SIGHUP changes nothing: when a terminal closes, the
// kernel sends one, and its shell another. A signal that was ignored when the
// program was started, as nohup does it with SIGHUP, stays so.
//
// SIGUSR1 and SIGUSR2 mean nothing here, and are ignored. So are SIGPIPE and
// SIGXFSZ: a broken pipe, and a file that becomes too large for ulimit, are
// errors of the write that meets them. SIGQUIT (Ctrl-\) is left as it is: it
// ends the process at once, with a core dump.
//
// Thread safety: all members may be called from any thread.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();

  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void Defer() { deferred_ = true; }

  // The signal that came, or 0.
  int signal() const { return signal_; }

  // Readable as soon as a signal has come.
  int fd() const { return came_.fd(); }

  // Blocks until a signal has come, and returns it.
  int Wait() const;

 private:
  void Run();
  void Take(int signal);

  const int signals_;  // signalfd
  std::atomic<bool> deferred_ = false;
  std::atomic<int> signal_ = 0;
  Event came_;
  Event stop_;
  std::thread thread_;
};

// "SIGTERM", of those that Interrupt takes.
std::string_view NameOfSignal(int signal);

}  // namespace messenger::app
