// Readers of a log in a directory.
#pragma once

#include <memory>
#include <string_view>

#include "log/durable/durable_core.h"
#include "log/durable/task_thread.h"
#include "log/message_log.h"

namespace messenger {

// Reads are answered from memory, or else from segments by the *I/O thread*;
// their `done`s run on a thread of completions.
struct ReadThreads {
  TaskThread io{"log-io"};
  TaskThread completions{"log-read"};

  // Waits until what is under way is completed.
  void Stop() {
    io.Stop();
    completions.Stop();
  }
};

// As MessageLog::OpenReader. `core` and `threads` must outlive what it reads.
std::unique_ptr<LogReader> OpenDurableReader(DurableCore* core,
                                             ReadThreads* threads,
                                             std::string_view channel,
                                             const Start& start,
                                             MessageLog::ReaderOptions options);

}  // namespace messenger
