#include "log/durable/durable_log.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "messenger/log.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/message_log_conformance.h"
#include "support/printing.h"
#include "support/temporary_directory.h"

namespace messenger::durable_log_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

LogClock ClockOf(const FakeClock& clock) {
  return {.now = [&clock] { return clock.now(); },
          .steady_now = [&clock] { return clock.steady_now(); }};
}

std::shared_ptr<MessageLog> MustOpen(const std::string& directory,
                                     const LogOptions& options,
                                     DurableLogOptions durable) {
  auto log = DurableLog::Open(directory, options, std::move(durable));
  if (!log.ok()) throw std::runtime_error(log.status().ToString());
  return *std::move(log);
}

// As it is by default, but for the disk.
class DurableLogFixture {
 public:
  std::shared_ptr<MessageLog> Open(const LogOptions& options,
                                   const FakeClock& clock) {
    return MustOpen("/log", options,
                    {.clock = ClockOf(clock), .files = files_});
  }

 private:
  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
};

// Makes checkpoints all the time, keeps nothing in memory, and opens hardly
// anything.
DurableLogOptions Restless(const FakeClock& clock) {
  return {
      .clock = ClockOf(clock), .max_open_segments = 2, .max_cached_bytes = 0};
}

LogOptions Restless(LogOptions options) {
  options.directory.max_journal_bytes = 4096;
  return options;
}

class RestlessDurableLogFixture {
 public:
  std::shared_ptr<MessageLog> Open(const LogOptions& options,
                                   const FakeClock& clock) {
    DurableLogOptions durable = Restless(clock);
    durable.files = files_;
    return MustOpen("/log", Restless(options), std::move(durable));
  }

 private:
  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
};

// The same on a real disk.
class PosixDurableLogFixture {
 public:
  std::shared_ptr<MessageLog> Open(const LogOptions& options,
                                   const FakeClock& clock) {
    return MustOpen(directory_.path() + "/log", Restless(options),
                    Restless(clock));
  }

 private:
  const TemporaryDirectory directory_;
};

}  // namespace
}  // namespace messenger::durable_log_test

MESSENGER_LOG_CONFORMANCE(
    messenger::durable_log_test::DurableLogFixture,
    messenger::durable_log_test::RestlessDurableLogFixture,
    messenger::durable_log_test::PosixDurableLogFixture);
