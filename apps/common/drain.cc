#include "apps/common/drain.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "apps/common/exit_code.h"
#include "apps/common/interrupt.h"
#include "apps/common/standard_streams.h"
#include "apps/common/time.h"

namespace messenger::app {
namespace {

// For the handler, which may not make it.
std::string& LastWords() {
  static std::string words;
  return words;
}

void OnAlarm(int /*signal*/) {
  const std::string& words = LastWords();
  const auto written = write(STDERR_FILENO, words.data(), words.size());
  static_cast<void>(written);
  _exit(kFailed);
}

}  // namespace

DrainGuard::DrainGuard(std::string_view program, int signal,
                       std::chrono::nanoseconds timeout) {
  LastWords() = fmt::format(
      "{}: a call has not ended, though it was given up: exiting without\n",
      program);
  // The kernel's timer needs no thread.
  static_cast<void>(std::signal(SIGALRM, OnAlarm));
  constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24);
  constexpr auto kForTheEndOfCalls = std::chrono::seconds(10);
  using AlarmSeconds = std::chrono::duration<unsigned>;
  alarm(std::chrono::ceil<AlarmSeconds>(std::min(timeout, kLongest) +
                                        kForTheEndOfCalls)
            .count());
  PrintError(program,
             fmt::format("{}: draining for at most {}; a second signal exits "
                         "at once",
                         NameOfSignal(signal), FormatDuration(timeout)));
}

DrainGuard::~DrainGuard() {
  alarm(0);
}

}  // namespace messenger::app
