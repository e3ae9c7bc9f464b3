// The runs, one for each workload.
#pragma once

#include "peers/run.h"

namespace messenger::bench {

// live_runs.cc
Case RunFanOutToClients(const RunOptions& options);
Case RunFanOutToSinks(const RunOptions& options);

// paced_runs.cc
Case RunPaced(const RunOptions& options);

// stored_runs.cc
Case RunReplayOfMany(const RunOptions& options);
Case RunBatched(const RunOptions& options);

// unary_runs.cc
Case RunUnary(const RunOptions& options);

// http_runs.cc
Case RunHttp(const RunOptions& options);

// event_runs.cc
Case RunEventStreams(const RunOptions& options);

// waiting_runs.cc
Case RunIdleReaders(const RunOptions& options);
Case RunStalledReaders(const RunOptions& options);

// limit_runs.cc
Case RunTcpCopy(const RunOptions& options);
Case RunBareStream(const RunOptions& options);
Case RunDiskSync(const RunOptions& options);

}  // namespace messenger::bench
