// The kinds of logs that the conformance suite runs over.
#pragma once

#include <memory>

#include "log/message_log.h"
#include "messenger/log.h"
#include "support/fake_clock.h"

namespace messenger::test {

// Makes an empty log that reads `clock`, which outlives it. What the log needs
// besides, as its directory, lives as long as it does.
using LogKind = std::shared_ptr<MessageLog>(const LogOptions& options,
                                            const FakeClock& clock);

// A log elsewhere takes part with a line here and one in the list below.
namespace logs {

struct Memory {
  static LogKind Open;
};
// The same, but it completes on another thread.
struct MemoryOnThreads {
  static LogKind Open;
};
// As it is by default, but for the disk, which is in memory.
struct Directory {
  static LogKind Open;
};
// Makes checkpoints all the time, keeps nothing in memory, and opens hardly
// anything.
struct RestlessDirectory {
  static LogKind Open;
};
// The same on a real disk.
struct RestlessDisk {
  static LogKind Open;
};

}  // namespace logs

#define MESSENGER_LOG_KINDS                                                  \
  ::messenger::test::logs::Memory, ::messenger::test::logs::MemoryOnThreads, \
      ::messenger::test::logs::Directory,                                    \
      ::messenger::test::logs::RestlessDirectory,                            \
      ::messenger::test::logs::RestlessDisk

}  // namespace messenger::test
