#include "apps/common/interrupt.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "apps/common/exit_code.h"

namespace messenger::app {
namespace {

// A blocked signal is queued even if it is ignored, as the shell has it for
// SIGINT of a job that a script starts in the background.
bool IsIgnored(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

int BlockAndOpen() {
  for (const int signal : {SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ}) {
    std::signal(signal, SIG_IGN);
  }
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    if (!IsIgnored(signal)) sigaddset(&signals, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const int fd = signalfd(-1, &signals, SFD_CLOEXEC);
  if (fd < 0) std::abort();  // out of descriptors before anything was opened
  return fd;
}

}  // namespace

Interrupt::Interrupt() : signals_(BlockAndOpen()), thread_([this] { Run(); }) {}

Interrupt::~Interrupt() {
  stop_.Set();
  thread_.join();
  close(signals_);
}

int Interrupt::Wait() const {
  WaitForAny({{came_.fd(), POLLIN}});
  return signal_;
}

void Interrupt::Run() {
  while (WaitForAny({{stop_.fd(), POLLIN}, {signals_, POLLIN}}) == 1) {
    signalfd_siginfo info;
    if (read(signals_, &info, sizeof info) == sizeof info) {
      Take(static_cast<int>(info.ssi_signo));
    }
  }
}

void Interrupt::Take(int signal) {
  if (signal == SIGHUP && signal_ != 0) return;
  if (!deferred_ || signal_ != 0) std::_Exit(ExitCodeOfSignal(signal));
  signal_ = signal;
  came_.Set();
}

std::string_view NameOfSignal(int signal) {
  switch (signal) {
    case SIGHUP:
      return "SIGHUP";
    case SIGINT:
      return "SIGINT";
    default:
      return "SIGTERM";
  }
}

}  // namespace messenger::app
