#include "conformance/kinds.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "log/durable/durable_log.h"
#include "log/durable/file_system.h"
#include "log/memory_log.h"
#include "messenger/log.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/temporary_directory.h"
#include "support/test_log.h"

namespace messenger::test::logs {
namespace {

std::shared_ptr<MessageLog> MustOpen(const std::string& directory,
                                     const LogOptions& options,
                                     DurableLogOptions durable) {
  auto log = DurableLog::Open(directory, options, std::move(durable));
  if (!log.ok()) throw std::runtime_error(log.status().ToString());
  return *std::move(log);
}

std::shared_ptr<MessageLog> MustOpenRestless(
    const std::string& directory, LogOptions options, const FakeClock& clock,
    std::shared_ptr<FileSystem> files) {
  options.directory.max_journal_bytes = 4096;
  return MustOpen(directory, options,
                  {.clock = ClockOf(clock),
                   .files = std::move(files),
                   .max_open_segments = 2,
                   .max_cached_bytes = 0});
}

}  // namespace

std::shared_ptr<MessageLog> Memory::Open(const LogOptions& options,
                                         const FakeClock& clock) {
  return std::make_shared<MemoryLog>(options, ClockOf(clock));
}

std::shared_ptr<MessageLog> MemoryOnThreads::Open(const LogOptions& options,
                                                  const FakeClock& clock) {
  return std::make_shared<TestLog>(options, nullptr, ClockOf(clock));
}

std::shared_ptr<MessageLog> Directory::Open(const LogOptions& options,
                                            const FakeClock& clock) {
  return MustOpen(
      "/log", options,
      {.clock = ClockOf(clock), .files = std::make_shared<FaultyFileSystem>()});
}

std::shared_ptr<MessageLog> RestlessDirectory::Open(const LogOptions& options,
                                                    const FakeClock& clock) {
  return MustOpenRestless("/log", options, clock,
                          std::make_shared<FaultyFileSystem>());
}

std::shared_ptr<MessageLog> RestlessDisk::Open(const LogOptions& options,
                                               const FakeClock& clock) {
  struct OnDisk {
    TemporaryDirectory directory;
    std::shared_ptr<MessageLog> log;
  };
  const auto all = std::make_shared<OnDisk>();
  all->log = MustOpenRestless(all->directory.path() + "/log", options, clock,
                              FileSystem::Posix());
  return {all, all->log.get()};
}

}  // namespace messenger::test::logs
